"""init, demo, doctor, db: laying a project down, and whether it stands."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from engine.cli.context import Session
from engine.cli.frame import family, verb
from engine.errors import EXIT_ERROR, EXIT_FINE, YanshuError

SECTION = "The project"
GITIGNORE = "var/\n"


def register(app: typer.Typer) -> None:
    verb(app, "init", "yanshu init my-shop", section=SECTION)(init)
    verb(app, "demo", "yanshu demo", section=SECTION)(demo)
    verb(app, "doctor", "yanshu doctor", "yanshu doctor -o json", section=SECTION)(doctor)
    db = family("db", "The database's schema: upgrade it, or show where it stands.")
    verb(db, "upgrade", "yanshu db upgrade")(upgrade)
    verb(db, "status", "yanshu db status")(status)
    app.add_typer(db, rich_help_panel=SECTION)


def init(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
) -> int:
    """Lay down a working example shop in a new directory."""
    session = Session.of(ctx)
    _refuse_if_used(directory)
    count = _lay_down(directory)
    session.answer(
        {"project": str(directory.resolve()), "files": count},
        lambda: (
            f"{directory}: {count} files of the example shop.\n"
            f"Next: cd {quote(str(directory))} && yanshu lint && yanshu import customers FILE"
        ),
    )
    return EXIT_FINE


def _refuse_if_used(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise YanshuError(f"{directory}: a file has this name")
    if directory.is_dir() and any(directory.iterdir()):
        raise YanshuError(f"{directory}: not empty; choose a new directory")


def _lay_down(directory: Path) -> int:
    import shutil

    config, templates = _starter()
    was_there = directory.is_dir()
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc", "var")
    try:
        shutil.copytree(config, directory, ignore=unwanted, dirs_exist_ok=True)
        shutil.copytree(templates, directory / "templates", ignore=unwanted, dirs_exist_ok=True)
        (directory / ".gitignore").write_text(GITIGNORE)
    except OSError as error:
        _clear(directory, was_there)
        raise YanshuError(f"{directory}: {_first_reason(error)}") from error
    return sum(1 for path in directory.rglob("*") if path.is_file())


def _clear(directory: Path, was_there: bool) -> None:
    """Take away what half of a project was laid down, so that `init` can be said again."""
    import shutil

    for path in directory.iterdir() if directory.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if not was_there:
        shutil.rmtree(directory, ignore_errors=True)


def _first_reason(error: OSError) -> str:
    """What went wrong, of the first file: `copytree` goes on and raises a list of all, as (from, to, reason)."""
    import shutil

    found = error.args[0] if isinstance(error, shutil.Error) and error.args else None
    if isinstance(found, list) and found:
        return str(found[0][-1]).partition("] ")[2].partition(": ")[0] or str(found[0][-1])
    return error.strerror or str(error)


def _starter() -> tuple[Path, Path]:
    """The example shop: packed into the wheel, or at the root of a source checkout."""
    package = Path(__file__).resolve().parent.parent
    for root in (package / "starter", package.parent):
        config, templates = root / "config", root / "templates"
        if (config / "yanshu.toml").is_file() and templates.is_dir():
            return config, templates
    raise YanshuError("this installation holds no example shop")


def demo(_ctx: typer.Context) -> int:
    """Play the whole thing through on sample data, with made-up addresses and no way out."""
    import os
    import sys

    command = [sys.executable, "-m", "workers.demo"]
    os.execve(command[0], command, dict(os.environ))  # noqa: S606 - our own interpreter, no shell


def doctor(ctx: typer.Context) -> int:
    """Check the database, broker, mail server, clock, zones, secrets and addresses."""
    from engine.cli.doctor import examine
    from engine.pages.terminal import table

    session = Session.of(ctx)
    checks = examine(session)
    failed = [check for check in checks if check.state == "error"]
    session.answer(
        {
            "healthy": not failed,
            "checks": [
                {"name": check.name, "state": check.state, "detail": check.detail}
                for check in checks
            ],
        },
        lambda: table(
            ["check", "state", "detail"],
            [(check.name, check.state, check.detail) for check in checks],
        ),
    )
    return EXIT_ERROR if failed else EXIT_FINE


def upgrade(ctx: typer.Context) -> int:
    """Bring the database to this program's schema; safe to run twice."""
    from engine.store.migrate import upgrade as migrate

    session = Session.of(ctx)
    found = migrate(session.open_store())
    session.answer(
        {"current": found.current, "wanted": found.wanted, "is_current": found.is_current},
        lambda: f"the database is at revision {found.current}",
    )
    return EXIT_FINE


def status(ctx: typer.Context) -> int:
    """Show the database's revision and the one that this program wants; exit 1 where they differ."""
    from engine.store.migrate import status as look

    session = Session.of(ctx)
    found = look(session.open_store())
    current = found.current or "empty"
    session.answer(
        {"current": found.current, "wanted": found.wanted, "is_current": found.is_current},
        lambda: (
            f"the database is at revision {current}, as this program wants"
            if found.is_current
            else f"the database is {current}, this program wants {found.wanted}; run `yanshu db upgrade`"
        ),
    )
    return EXIT_FINE if found.is_current else EXIT_ERROR
