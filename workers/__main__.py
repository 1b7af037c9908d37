"""`python -m workers ROLE`: the daemon's processes. The project comes from YANSHU_PROJECT."""

from __future__ import annotations

import argparse
import os
import sys

from engine.clock import Clock
from engine.errors import EXIT_FINE, ConfigurationError, YanshuError
from engine.settings import Settings, find_project, load_settings
from engine.store.migrate import require_current
from engine.store.session import Store
from workers.logs import configure

_ROLES = ("up", "scheduler", "worker", "web", "inbox")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workers")
    parser.add_argument("role", choices=_ROLES)
    parser.add_argument("--until-idle", action="store_true")
    parser.add_argument("--connections", type=int, default=0)
    options = parser.parse_args()
    configure()
    try:
        return _run(options, load_settings(find_project(None)), Clock.from_environment())
    except YanshuError as error:
        print(f"yanshu: {error}", file=sys.stderr)
        return error.exit_code


def _run(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    if options.role != "inbox":
        store = Store(settings.database)
        require_current(store)
        store.close()
    if options.role == "up":
        from workers.supervisor import up

        return up(settings, clock, until_idle=options.until_idle)
    if options.role in ("scheduler", "worker"):
        _require_redis(settings)
    if options.role == "scheduler":
        from workers import scheduler

        return scheduler.run(settings, clock, until_idle=options.until_idle)
    if options.role == "worker":
        from workers import actors

        return actors.run(
            settings, clock, connections=options.connections or settings.smtp.connections
        )
    if options.role == "web":
        from workers.web import server

        server.run(settings, clock)
        return EXIT_FINE
    from workers.inbox.server import run as run_inbox

    run_inbox(settings)
    return EXIT_FINE


def _require_redis(settings: Settings) -> None:
    if not settings.redis_url:
        raise ConfigurationError(
            "no Redis: a separate scheduler or worker needs redis_url in yanshu.toml or YANSHU_REDIS_URL"
            " (`yanshu up` brings its own)"
        )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
