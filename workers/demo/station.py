"""The daemon's parts in one process, on a clock that the demo sets: planner, dispatcher, broker, worker, web.

Each is the real one; only the supervisor is left out, which would start each of them as a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import uvicorn

from engine.clock import Clock
from engine.delivery.dispatch import Dispatcher
from engine.delivery.letters import Writer
from engine.delivery.send import Sender
from engine.delivery.transports import transports
from engine.errors import YanshuError
from engine.gate.outlets import outlets
from engine.settings import Settings
from engine.store.session import Store
from engine.tokens import Signer
from workers.actors import start_actor
from workers.broker import Queue, connect
from workers.children import die_with_parent
from workers.planner import Planner
from workers.scheduler import is_idle
from workers.supervisor import answers
from workers.valkey import Embedded
from workers.web.app import create_app
from workers.web.server import listen

_START_SECONDS = 90.0  # a busy machine takes its time to start a Python


@dataclass(frozen=True, slots=True)
class DemoClock(Clock):
    """A clock that can be put to another date; everything that holds it sees the new time."""

    shift: list[timedelta] = field(default_factory=lambda: [timedelta()])

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift[0]

    def set(self, moment: datetime) -> None:
        self.shift[0] = moment - datetime.now(UTC)


@dataclass
class Station:
    """A running daemon. `work_off` moves everything that is due at the clock's time."""

    store: Store
    clock: DemoClock
    planner: Planner
    dispatcher: Dispatcher

    def work_off(self) -> None:
        began = self.clock.now()
        self.planner.look(self.clock)
        while True:
            look = self.dispatcher.tick(self.clock.now())
            if not look.decided and is_idle(self.store, began, self.clock.now()):
                return
            if not look.decided:
                time.sleep(0.02)


@contextmanager
def running(settings: Settings, clock: DemoClock) -> Iterator[Station]:
    """Start the parts, and stop every one of them at the end."""
    with ExitStack() as stack:
        stack.enter_context(_inbox(settings))
        store = Store(settings.database)
        stack.callback(store.close)
        broker = connect(stack.enter_context(Embedded()).url)
        signer = Signer(settings.signing_keys())
        stack.enter_context(_web(store, settings, signer, clock))
        sender = Sender(
            store,
            clock,
            "demo",
            lambda timezone: Writer(settings, signer, timezone),
            transports(settings, settings.smtp.connections),
        )
        sender.start()
        stack.callback(sender.stop)
        stack.callback(start_actor(broker, sender).stop)
        dispatcher = Dispatcher(
            store, Queue(broker), "demo", settings.channels(), outlets=outlets(settings)
        )
        stack.callback(dispatcher.resign)
        yield Station(store, clock, Planner(store), dispatcher)


@contextmanager
def _inbox(settings: Settings) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", "inbox"],
        preexec_fn=die_with_parent,  # noqa: PLW1509  # nothing else runs yet
    )
    try:
        _wait_for(settings.inbox.host, settings.inbox.smtp_port, process)
        _wait_for(settings.inbox.host, settings.inbox.http_port, process)
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(host: str, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers(host, port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise YanshuError(f"the development inbox does not start at {host}:{port}")
        time.sleep(0.05)


class _Server(uvicorn.Server):
    """uvicorn in a thread: signals are for the main one."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextmanager
def _web(store: Store, settings: Settings, signer: Signer, clock: Clock) -> Iterator[None]:
    app = create_app(store, settings, signer, clock)
    server = _Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    with listen(settings.web.host, settings.web.port) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="web")
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()
