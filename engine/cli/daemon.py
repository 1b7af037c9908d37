"""up, scheduler, worker, web, inbox: becoming the daemon. The engine never imports it: these verbs `exec`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from engine.cli.context import Session
from engine.cli.frame import verb

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
    return become(["workers", "up", *(["--until-idle"] if until_idle else [])], ctx)


def scheduler(ctx: typer.Context) -> int:
    """Run the scheduler alone: it plans, admits and recovers. Needs a Redis URL."""
    return become(["workers", "scheduler"], ctx)


def worker(ctx: typer.Context) -> int:
    """Run the sending processes alone. Needs a Redis URL."""
    return become(["workers", "worker"], ctx)


def web(ctx: typer.Context) -> int:
    """Run the web server alone: links, opens, unsubscribing."""
    return become(["workers", "web"], ctx)


def inbox(ctx: typer.Context) -> int:
    """Run the development inbox: it takes every mail and SMS and shows them in the browser."""
    return become(["workers.inbox"], ctx)


def become(module: Sequence[str], ctx: typer.Context, *, needs_project: bool = True) -> NoReturn:
    """Replace this process by `python -m MODULE ARGUMENTS`; project and clock travel in the environment."""
    session = Session.of(ctx)
    environment = dict(os.environ)
    if needs_project:
        environment["YANSHU_PROJECT"] = str(session.project)
        _ = session.settings  # a setting that is wrong is told here, before anything starts
    if session.common.now is not None:
        from engine.clock import OFFSET_VARIABLE

        environment[OFFSET_VARIABLE] = str(session.clock.offset.total_seconds())
    arguments = [sys.executable, "-m", *module]
    arguments += ["--output", "json"] if session.is_json else []
    arguments += ["--quiet"] if session.common.quiet else []
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, arguments, environment)  # noqa: S606 - our own interpreter, no shell
