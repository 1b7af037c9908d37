"""up, scheduler, worker, web, inbox: becoming the daemon. The engine never imports it: these verbs `exec`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from engine.cli.context import Session
from engine.cli.frame import verb
from engine.errors import EXIT_ERROR, EXIT_FINE

SECTION = "The daemon"


def register(app: typer.Typer) -> None:
    verb(app, "up", "yanshu up", "yanshu up --until-idle -o json", section=SECTION)(up)
    verb(app, "scheduler", "yanshu scheduler", section=SECTION)(scheduler)
    verb(app, "worker", "yanshu worker", section=SECTION)(worker)
    verb(app, "web", "yanshu web", section=SECTION)(web)
    verb(app, "inbox", "yanshu inbox", section=SECTION)(inbox)


def up(
    ctx: typer.Context,
    until_idle: Annotated[
        bool,
        typer.Option("--until-idle", help="End when nothing is due, queued or being sent."),
    ] = False,
) -> int:
    """Run everything in one place: scheduler, workers, web, and a broker of its own."""
    session = Session.of(ctx)
    if not until_idle:
        become(session, "workers", "up")
    code = _attend(session, "workers", "up", "--until-idle")
    return code or _tell_idle(session)


def _tell_idle(session: Session) -> int:
    """What has been done so far, and when there is something to do again."""
    from engine.insight.status import status

    with session.store.read() as connection:
        found = status(connection, session.now())
    shown = found.as_json()
    session.answer(
        {name: shown[name] for name in ("now", "next_due_at", "states")},
        lambda: found.as_text(session.zone),
    )
    return EXIT_FINE


def scheduler(ctx: typer.Context) -> int:
    """Run the scheduler alone: it plans, admits and recovers. Needs a Redis URL."""
    become(Session.of(ctx), "workers", "scheduler")


def worker(ctx: typer.Context) -> int:
    """Run one sending process alone. Needs a Redis URL."""
    become(Session.of(ctx), "workers", "worker")


def web(ctx: typer.Context) -> int:
    """Run the web server alone: links, opens, unsubscribing, the push API."""
    become(Session.of(ctx), "workers", "web")


def inbox(ctx: typer.Context) -> int:
    """Run the development inbox: it takes every mail and SMS and shows them in the browser."""
    become(Session.of(ctx), "workers", "inbox")


def become(session: Session, module: str, *arguments: str) -> NoReturn:
    """Replace this process by `python -m MODULE ARGUMENTS` on this project and clock."""
    command, environment = _command(module, arguments), project_environment(session)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, environment)  # noqa: S606 - our own interpreter, no shell


def _attend(session: Session, module: str, *arguments: str) -> int:
    """Run the same as a child and wait for it; signals to stop go on to it. Its exit code, 1 if it was killed."""
    import subprocess

    child = subprocess.Popen(_command(module, arguments), env=project_environment(session))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _frame: child.send_signal(caught))
    code = child.wait()
    return code if code >= 0 else EXIT_ERROR


def _command(module: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def project_environment(session: Session) -> dict[str, str]:
    """The environment in which the project and the clock travel. A wrong setting is told here, before anything starts."""
    _ = session.settings
    environment = {**os.environ, "YANSHU_PROJECT": str(session.project)}
    if session.common.now is not None:
        from engine.clock import OFFSET_VARIABLE

        environment[OFFSET_VARIABLE] = str(session.clock.offset.total_seconds())
    return environment
