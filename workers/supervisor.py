"""`yanshu up`: the embedded broker where none is given, one scheduler, a worker per core, the web, the development inbox.

A child that ends unasked is started again, later and later; a signal stops all of them in order.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import structlog

from engine.clock import OFFSET_VARIABLE, Clock
from engine.errors import ConfigurationError
from engine.rendering.headers import SHOP_SENDER, parse_sender
from engine.settings import InboxSettings, Settings
from workers.children import die_with_parent
from workers.stopping import Stop
from workers.valkey import Embedded

_log = structlog.get_logger()
_STOP_SECONDS = 630.0
"""RFC 5321 §4.5.3.2.6 gives the reply to the final dot ten minutes; a worker that waits for one is not cut off."""
_LONGEST_BACKOFF = 30.0
_HEALTHY_SECONDS = 10.0
_HOPELESS = 3
"""So many failures in a row, each within `_HEALTHY_SECONDS`, end `--until-idle`: somebody waits for it, and a full disk does
not empty itself. A daemon goes on trying."""
_INBOX_SECONDS = 90.0


@dataclass
class Child:
    """One process of the daemon, by its role. `code`: with which it was seen to have ended."""

    role: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    code: int | None = None
    failures: int = 0
    again_at: float = 0.0

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers", *self.role],
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509  # the supervisor has no other threads
        )
        self.started_at = time.monotonic()

    def look(self) -> None:
        """Learn its exit code, if it has ended: once for all that is decided on it."""
        self.code = None if self.process is None else self.process.poll()

    def back_off(self, code: int) -> None:
        """Decide when it may start again: at once the first time, then after 1, 2, 4 … 30 s."""
        healthy = self._was_healthy()
        self.failures = 0 if healthy else self.failures + 1
        wait = 0.0 if healthy else min(_LONGEST_BACKOFF, 2.0 ** (self.failures - 1))
        self.again_at, self.process = time.monotonic() + wait, None
        _log.warning("supervisor.child_ended", role=self.role[0], code=code, again_in=wait)

    @property
    def is_hopeless(self) -> bool:
        """Whether it has failed too often to be started once more."""
        return bool(self.code) and self.is_ailing and self.failures + 1 >= _HOPELESS

    @property
    def is_ailing(self) -> bool:
        """Whether it failed, and has not run for long since."""
        if self.process is None:
            return self.failures > 0
        return bool(self.failures or self.code) and not self._was_healthy()

    def _was_healthy(self) -> bool:
        return time.monotonic() - self.started_at > _HEALTHY_SECONDS


@dataclass
class Supervisor:
    children: list[Child]
    broker: Embedded | None
    stopping: Stop = field(default_factory=Stop)

    def run(self, *, until_idle: bool) -> int:
        """Start what is not running yet, keep all going. Ends on a signal; `until_idle` also where all is done, or a child is
        hopeless."""
        for child in self.children:
            if child.process is None:
                child.start()
        code = None
        while not self.stopping.wait(0.05):
            for child in self.children:
                child.look()
            if until_idle and (code := self._outcome()) is not None:
                break
            self._mend()
        self._stop()
        return code or 0

    def start_first(self, inbox: Child, where: InboxSettings) -> None:
        """The development inbox has to answer before a worker looks for it."""
        inbox.start()
        self.children.append(inbox)
        deadline = time.monotonic() + _INBOX_SECONDS
        while not answers(where.host, where.smtp_port):
            inbox.look()
            if inbox.code is not None or time.monotonic() > deadline:
                raise ConfigurationError(
                    f"the development inbox does not start at {where.host}:{where.smtp_port}"
                )
            time.sleep(0.05)

    def _outcome(self) -> int | None:
        """The exit code of what is hopeless; 0 where the scheduler has found nothing left to do. A worker that has failed just
        now has to show first that it can run: the scheduler looks again meanwhile."""
        hopeless = next((child for child in self.children if child.is_hopeless), None)
        if hopeless is not None:
            return hopeless.code
        scheduler, *others = self.children
        is_done = scheduler.code == 0 and not any(child.is_ailing for child in others)
        return 0 if is_done else None

    def _mend(self) -> None:
        if self.broker is not None:
            self.broker.mend()
        for child in self.children:
            if child.code is not None:
                child.back_off(child.code)
            elif child.process is None and time.monotonic() >= child.again_at:
                child.start()

    def _stop(self) -> None:
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in running:
            try:
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def up(settings: Settings, clock: Clock, *, until_idle: bool = False) -> int:
    """Run everything until SIGTERM or SIGINT, or until idle. Returns the exit code.

    Raises ConfigurationError where there is no SMTP host, sender or key, or a Redis that does not answer.
    """
    settings.require_smtp()
    # Else each worker would start, fail, start.
    parse_sender(settings.smtp.sender, SHOP_SENDER)
    settings.signing_keys()
    if settings.redis_url:
        _require_answer(settings.redis_url)
    with nullcontext() if settings.redis_url else Embedded() as broker:
        environment = child_environment(
            settings, clock, broker.url if broker else settings.redis_url
        )
        supervisor = Supervisor(
            [Child(role, environment) for role in roles(settings, until_idle=until_idle)], broker
        )
        if uses_inbox(settings) and not answers(settings.inbox.host, settings.inbox.smtp_port):
            supervisor.start_first(Child(["inbox"], environment), settings.inbox)
        supervisor.stopping.on_signals()
        return supervisor.run(until_idle=until_idle)


def _require_answer(redis_url: str) -> None:
    """A Redis that goes away later is waited for; one that is not there at the start is a wrong address."""
    from workers.broker import connect  # where Valkey is embedded the supervisor needs none of it

    connect(redis_url).close()


def roles(settings: Settings, *, until_idle: bool) -> list[list[str]]:
    """The processes to start, the scheduler first. The connections are shared out over the workers."""
    wanted = [["scheduler", *(["--until-idle"] if until_idle else [])]]
    processes = settings.worker.processes or os.cpu_count() or 1
    share, rest = divmod(settings.smtp.connections, processes)
    wanted += [
        ["worker", "--connections", str(max(1, share + (place < rest)))]
        for place in range(processes)
    ]
    if not until_idle:
        wanted.append(["web"])
    return wanted


def answers(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def uses_inbox(settings: Settings) -> bool:
    """Whether mail goes to the development inbox, which is then started too."""
    here = {settings.inbox.host, "localhost"}
    return settings.smtp.host in here and settings.smtp.port == settings.inbox.smtp_port


def child_environment(settings: Settings, clock: Clock, redis_url: str) -> Mapping[str, str]:
    return {
        "MALLOC_ARENA_MAX": "2",  # glibc would keep a heap for each thread: 3 MiB more in a worker
        **os.environ,
        "YANSHU_PROJECT": str(settings.project),
        "YANSHU_REDIS_URL": redis_url,
        OFFSET_VARIABLE: str(clock.offset.total_seconds()),
    }
