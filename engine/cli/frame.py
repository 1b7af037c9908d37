"""How every verb looks: the options that all share, accepted before or after any verb, and help in plain sections.

Help is plain text on purpose: `yanshu --help` and usage errors then need none of the libraries that draw boxes,
which take two thirds of a bare typer program's help.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

_SHARED = ("project", "now", "output", "yes", "quiet")


def _remember(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    """Keep what was given, wherever it stood; the innermost wins."""
    if param.name == "now" and value is not None:
        _check_moment(value)
    if value not in (None, False):
        setattr(ctx.obj, str(param.name), value)
    return value


def _check_moment(text: str) -> None:
    """Refuse nonsense at once, also where the command would never look at its clock."""
    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a date or time; write 2026-11-09T10:00+08:00"
        ) from None


def _shared(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, callback=_remember, expose_value=False)


Project = Annotated[
    Path | None,
    _shared("--project", metavar="DIR", help="The project; default: YANSHU_PROJECT, or upward from here."),
]  # fmt: skip
Now = Annotated[
    str | None,
    _shared("--now", metavar="MOMENT", help="Act as if it were this moment (without an offset: the shop's zone)."),
]  # fmt: skip
Output = Annotated[
    Literal["text", "json"] | None,
    _shared("--output", "-o", metavar="text|json", help="For people, or one JSON document on stdout."),
]  # fmt: skip
Yes = Annotated[bool, _shared("--yes", "-y", help="Do not ask.")]
Quiet = Annotated[bool, _shared("--quiet", "-q", help="No notes and no progress on stderr.")]


def examples(*lines: str) -> str:
    """The foot of a command's help."""
    head = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", head, *(f"  {line}" for line in lines)])


def _with_shared(own: list[Any], ctx: Any) -> list[Any]:
    there = {param.name for param in own}
    root = ctx.find_root().command.params
    return [*own, *(p for p in root if p.name in _SHARED and p.name not in there)]


def _write_options(command: Any, ctx: Any, formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], "Everywhere": []}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if param.param_type_name == "argument":
            section = "Arguments"
        else:
            section = "Everywhere" if param.name in _SHARED else "Options"
        if record is not None:
            sections[section].append(record)
    for name, records in sections.items():
        if records:
            with formatter.section(name):
                formatter.write_dl(records)


class Verb(TyperCommand):
    """One command."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _with_shared(super().get_params(ctx), ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)


class Family(TyperGroup):
    """A verb that has verbs of its own; the root of all is one too."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _with_shared(super().get_params(ctx), ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The verbs under the headings that they were registered with."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                heading = command.rich_help_panel or "Commands"
                summary = (command.short_help or command.help or "").partition("\n")[0]
                sections.setdefault(heading, []).append((name, summary))
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


def family(name: str, summary: str, *, section: str | None = None) -> typer.Typer:
    """A group of verbs under one name, to be filled and added with `app.add_typer`."""
    return typer.Typer(
        name=name,
        cls=Family,
        help=summary,
        rich_help_panel=section,
        rich_markup_mode=None,
        no_args_is_help=True,
    )


def verb(app: typer.Typer, name: str, *lines: str, section: str | None = None) -> Any:
    """Decorator: a command of `app`; its docstring is its help, `lines` are its examples."""
    return app.command(name, cls=Verb, rich_help_panel=section, epilog=examples(*lines))
