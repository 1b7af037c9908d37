"""The broker: Dramatiq over Redis (or the embedded Valkey). It carries only batch ids; the database is the truth.

No middleware: nothing may retry, delay, time-limit or expire a message behind the engine's back. What a lost message
stood for is queued again by `engine.delivery.recover`.
"""

from __future__ import annotations

import os

# Read by dramatiq when it is imported: hold few batches per process, so that the other processes get theirs.
os.environ.setdefault("dramatiq_queue_prefetch", "2")

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from engine.errors import ConfigurationError

QUEUE = "deliveries"
ACTOR = "send_batch"
_CONNECT_SECONDS = 5


def connect(url: str) -> RedisBroker:
    """A broker on this Redis. Raises ConfigurationError where it does not answer at start."""
    try:
        client = redis.Redis.from_url(
            url, socket_connect_timeout=_CONNECT_SECONDS, health_check_interval=30
        )
        client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"Redis does not answer at {_without_secret(url)}: {error}"
        ) from None
    broker: RedisBroker = RedisBroker(client=client, middleware=[], namespace="yanshu")  # type: ignore[no-untyped-call]  # dramatiq types only part of itself
    broker.declare_queue(QUEUE)
    return broker


class Queue:
    """What the dispatcher enqueues with. Raises ConnectionError while Redis is away; the engine waits it out."""

    def __init__(self, broker: RedisBroker) -> None:
        self._broker = broker

    def __call__(self, batch: str) -> None:
        message: dramatiq.Message[None] = dramatiq.Message(
            queue_name=QUEUE, actor_name=ACTOR, args=(batch,), kwargs={}, options={}
        )
        try:
            self._broker.enqueue(message)
        except (redis.RedisError, dramatiq.errors.ConnectionError, OSError) as error:
            raise ConnectionError(str(error)) from error


def _without_secret(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
