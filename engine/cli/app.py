"""Puts the verbs together and turns whatever a command ends with into an exit code and a sentence on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from errno import EACCES, EDQUOT, EFBIG, EIO, EISDIR, EMFILE, ENOSPC, EPERM, EROFS
from typing import Annotated, Any

import typer
import typer.main

from engine.cli import (
    daemon,
    definitions,
    foresee,
    insight,
    membership,
    messages,
    operate,
    people,
    project,
    tagging,
)
from engine.cli.context import Common
from engine.cli.frame import Family, Now, Output, Project, Quiet, Yes
from engine.errors import EXIT_ERROR, EXIT_FINE, EXIT_USAGE, YanshuError

_CLICK_USAGE = (
    2  # the exit code of the library's own usage errors; ours is 64, as sysexits.h has it
)
_OF_THE_MACHINE = frozenset({EACCES, EDQUOT, EFBIG, EIO, EISDIR, EMFILE, ENOSPC, EPERM, EROFS})
"""What no program can prevent: a full, broken or read-only disk, a file that may not be read."""


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"yanshu {version('yanshu')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True),
]


def _root(
    project: Project = None,
    now: Now = None,
    output: Output = None,
    yes: Yes = False,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Yanshu: messages to a shop's customers, from files in git.

    Check with `lint`, look ahead with `plan`, make it so with `apply`; `up` then sends.
    """


def build() -> Any:
    """The whole command, ready to be run."""
    app = typer.Typer(
        cls=Family,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        callback=_root,
    )
    for group in (
        project, definitions, foresee, people, tagging, membership, messages, daemon, operate, insight,
    ):  # fmt: skip
        group.register(app)
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; every ending becomes an exit code, none a traceback unless it is a defect."""
    try:
        result = build().main(
            args=list(arguments), prog_name="yanshu", standalone_mode=False, obj=Common()
        )
    except YanshuError as error:
        return _told(str(error), error.exit_code)
    except typer.TyperException as error:
        return _usage(error)
    except typer.Abort:
        return _told("stopped", EXIT_ERROR)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _refused(error)
    except Exception:
        return _defect()
    return result if isinstance(result, int) else EXIT_FINE


def run_and_flush() -> int:
    """`run` on `sys.argv`; a reader that went away (`yanshu … | head`) ends it quietly."""
    _be_readable()
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        code = EXIT_ERROR
    except OSError as error:  # the answer was sent to a full disk
        code = _refused(error)
    else:
        return code
    # Python flushes once more when it ends; that must not fail, loudly, again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _refused(error: OSError) -> int:
    """Say what the machine refused, and where; any other OSError is a defect."""
    if error.errno not in _OF_THE_MACHINE:
        return _defect()
    where = error.filename or "cannot read or write"
    return _told(f"{where}: {error.strerror}", EXIT_ERROR)


def _defect() -> int:
    """For what nobody expected; called while it is handled."""
    import traceback

    traceback.print_exc()
    return _told("this is a defect of yanshu; please report it with the lines above", EXIT_ERROR)


def _be_readable() -> None:
    """A terminal that cannot show a character gets its escape instead of an exception."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _told(message: str, code: int) -> int:
    from engine.pages.terminal import plain

    for line in message.splitlines():
        typer.echo(plain(line), err=True)
    return code


def _usage(error: typer.TyperException) -> int:
    """Say what is wrong with the command line, and where its help is."""
    context = getattr(error, "ctx", None)
    if context is not None and error.message.startswith("Usage:"):  # a group without its verb
        typer.echo(error.message, err=True)
        return EXIT_USAGE
    lines = [
        error.format_message().replace("Value error, ", "")
    ]  # the library's word for a bad choice
    if context is not None:
        lines.append(f"See `{context.command_path} --help`.")
    return _told("\n".join(lines), EXIT_USAGE if error.exit_code == _CLICK_USAGE else EXIT_ERROR)
