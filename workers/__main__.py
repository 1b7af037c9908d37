"""`python -m workers ROLE`: the daemon's processes. The project comes from YANSHU_PROJECT."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.clock import Clock
from engine.errors import EXIT_FINE, ConfigurationError, YanshuError
from engine.imports import rarely_collect, without_plugins
from workers.logs import configure

if TYPE_CHECKING:
    from engine.settings import Settings

_ROLES = ("up", "scheduler", "worker", "web", "inbox")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workers")
    parser.add_argument("role", choices=_ROLES)
    parser.add_argument("--until-idle", action="store_true")
    parser.add_argument("--connections", type=int, default=0)
    options = parser.parse_args()
    rarely_collect()
    without_plugins()
    configure()
    from engine.settings import find_project, load_settings

    try:
        return _run(options, load_settings(find_project(None)), Clock.from_environment())
    except YanshuError as error:
        print(f"yanshu: {error}", file=sys.stderr)
        return error.exit_code


def _run(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    if options.role != "inbox":
        _require_schema(settings)
    if options.role in ("scheduler", "worker"):
        _require_redis(settings)
    job = _loaded(options, settings, clock)
    gc.freeze()  # all that is loaded now stays: nobody has to look for garbage in it again
    return job() or EXIT_FINE


def _loaded(
    options: argparse.Namespace, settings: Settings, clock: Clock
) -> Callable[[], int | None]:
    """What the role does, its modules loaded and not begun."""
    if options.role == "up":
        from workers.supervisor import up

        return lambda: up(settings, clock, until_idle=options.until_idle)
    if options.role == "scheduler":
        from workers import scheduler

        return lambda: scheduler.run(settings, clock, until_idle=options.until_idle)
    if options.role == "worker":
        from workers import actors

        connections = options.connections or settings.smtp.connections
        return lambda: actors.run(settings, clock, connections=connections)
    if options.role == "web":
        from workers.web import server

        return lambda: server.run(settings, clock)
    from workers.inbox.server import run as run_inbox

    return lambda: run_inbox(settings)


def _require_schema(settings: Settings) -> None:
    from engine.store.migrate import require_current
    from engine.store.session import Store

    store = Store(settings.database)
    require_current(store)
    store.close()


def _require_redis(settings: Settings) -> None:
    if not settings.redis_url:
        raise ConfigurationError(
            "no Redis: a separate scheduler or worker needs redis_url in yanshu.toml or YANSHU_REDIS_URL"
            " (`yanshu up` brings its own)"
        )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
