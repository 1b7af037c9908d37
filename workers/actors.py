"""A worker process: one actor that hands batch ids to the engine's sender, until it is told to stop."""

from __future__ import annotations

import os
import secrets
import socket

import dramatiq
import structlog
from dramatiq.brokers.redis import RedisBroker

import engine.rendering.premailing  # noqa: F401 - the slowest import of all: before work comes, not with the first letter
from engine.clock import Clock
from engine.delivery.letters import Writer
from engine.delivery.send import Sender
from engine.delivery.transports import transports
from engine.settings import Settings
from engine.store.session import Store
from engine.tokens import Signer
from workers.broker import ACTOR, QUEUE, connect
from workers.stopping import Stop

_log = structlog.get_logger()
_ACTOR_THREADS = 2
"""Batches in hand at once: while the last windows of one go out, the next one is there."""
_MILLISECONDS_TO_TELL = 2_000
"""At the end, to tell the broker which batches are done. One that is gone, with the supervisor that was killed, is never told:
what became of each message stands in the database by then."""


def run(settings: Settings, clock: Clock, *, connections: int) -> int:
    """Work until SIGTERM or SIGINT. `connections`: this process's share of SMTP connections. Returns the exit code."""
    store = Store(settings.database)
    broker = connect(settings.redis_url)
    signer = Signer(settings.signing_keys())
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    sender = Sender(
        store,
        clock,
        name,
        lambda timezone: Writer(settings, signer, timezone),
        transports(settings, connections),
    )
    ended = Stop().on_signals()
    sender.start()
    worker = start_actor(broker, sender)
    while not ended.wait(0.2) and not sender.failed.is_set():
        pass
    sender.stop()
    worker.stop(_MILLISECONDS_TO_TELL)
    store.close()
    _log.info("worker.stopped", worker=name)
    return 1 if sender.failed.is_set() else 0


def start_actor(broker: RedisBroker, sender: Sender) -> dramatiq.Worker:
    """Consume batch ids until the returned worker is stopped."""

    def send_batch(batch: str) -> None:
        sender.send_batch(batch)

    dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=QUEUE)(send_batch)
    worker = dramatiq.Worker(broker, worker_threads=_ACTOR_THREADS, worker_timeout=100)
    worker.start()
    return worker
