"""A scheduler and a worker in one process, for races: the entry points that the real processes call, on a given clock.

Each sends every batch that it finds queued, whoever made it: as if each job came to all workers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import Connection, func, select, update

from engine.channels.smtp import SmtpConnection
from engine.clock import Clock
from engine.delivery import leases
from engine.delivery.dispatch import Dispatcher, next_look
from engine.delivery.letters import Writer
from engine.delivery.pace import MOST, Pace
from engine.delivery.send import Sender
from engine.foresight.world import arrive
from engine.gate.outlets import outlets
from engine.planning.look import look
from engine.settings import Settings
from engine.store.catalog import CatalogReader
from engine.store.run_rows import IN_HAND
from engine.store.session import Store, waits_out_an_outage
from engine.store.tables import State, deliveries
from engine.store.tables import leases as lease_rows
from engine.tokens import Signer

NEAR = timedelta(hours=1)
_PAUSE = 0.01
RESIGNS = 0.3
"""How often one that leads lets another lead: at most once in a while would be no race."""

TAKES = 2
"""How many times in a race each takes the lease, as if it had just run out; more often, and nobody would end a look."""


class Hands(Clock):
    """A clock that stands where it was put."""

    at: datetime

    def __init__(self, at: datetime) -> None:
        object.__setattr__(self, "offset", timedelta())
        object.__setattr__(self, "at", at)

    def put(self, at: datetime) -> None:
        object.__setattr__(self, "at", at)

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True)
class Did:
    """What one process did in one race."""

    made: int
    admitted: int
    sent: int


class Scheduler:
    """Given a moment: look, then admit and send until nothing that is due is left, by whomever."""

    def __init__(self, place: int, url: str, settings: Settings, seed: int) -> None:
        self._store, self._random = Store(url), Random(f"{seed} {place}")
        self._clock = Hands(datetime.fromisoformat("2026-01-01T00:00+00:00"))
        self._reader = CatalogReader()
        self._dispatcher = Dispatcher(
            self._store, _nobody, f"s{place}", settings.channels(), outlets=outlets(settings)
        )
        signer = Signer(settings.signing_keys())
        self._sender = Sender(
            self._store, self._clock, f"w{place}", lambda zone: Writer(settings, signer, zone),
            {"email": [lambda: SmtpConnection(settings.smtp)] * 2},
        )  # fmt: skip
        self._sender.start()

    def __call__(self, now: datetime) -> Did:
        self._clock.put(now)
        made = self._look()
        admitted = sent = 0
        while self._is_something_due(now):
            tick = self._tick(now)
            admitted += tick.admitted
            took = sum(self._sender.send_batch(batch) for batch in self._queued())
            sent += took
            if not took and not tick.admitted:  # the others are at it: leave them the processor
                time.sleep(_PAUSE)
            if self._random.random() < RESIGNS:
                self._resign()
        self._look()
        return Did(made, admitted, sent)

    def close(self) -> None:
        self._sender.stop()
        self._store.close()

    @waits_out_an_outage
    def _look(self) -> int:
        with self._store.read() as connection:
            catalog = self._reader.read(connection)
        return look(self._store, catalog, self._clock.now(), NEAR).expanded.total

    @waits_out_an_outage
    def _tick(self, now: datetime) -> Any:
        return self._dispatcher.tick(now)

    @waits_out_an_outage
    def _resign(self) -> None:
        self._dispatcher.resign()

    @waits_out_an_outage
    def _queued(self) -> list[str]:
        unclaimed = (deliveries.c.state == State.QUEUED, deliveries.c.worker.is_(None))
        with self._store.read() as connection:
            query = select(deliveries.c.batch).where(IN_HAND, *unclaimed).distinct()
            found = [batch for batch in connection.execute(query).scalars() if batch]
        self._random.shuffle(found)
        return found

    @waits_out_an_outage
    def _is_something_due(self, now: datetime) -> bool:
        with self._store.read() as connection:
            following = next_look(connection, due_by=now)
            return (following is not None and following <= now) or in_hand(connection) > 0


class AtOnce(Pace):
    """No worker is waited for."""

    def room(self, outstanding: int) -> int:  # nothing is ever sent here
        return MOST


class Watcher:
    """Admits until nothing that is due at the word's moment is left, by whomever, and never sends. The batches that it
    announced."""

    def __init__(self, place: int, url: str, settings: Settings) -> None:
        self._store = Store(url)
        self._announced: list[str] = []
        self._dispatcher = Dispatcher(
            self._store, self._announce, f"s{place}", settings.channels(), pace=AtOnce(),
            outlets=outlets(settings),
        )  # fmt: skip

    def __call__(self, now: datetime) -> list[str]:
        self._announced = []
        deadline = time.monotonic() + 60
        while self._is_something_planned(now) and time.monotonic() < deadline:
            self._tick(now)
            time.sleep(_PAUSE)
        self._tick(now)
        return self._announced

    def close(self) -> None:
        self._store.close()

    def _announce(self, batch: str) -> None:
        self._announced.append(batch)

    @waits_out_an_outage
    def _tick(self, now: datetime) -> None:
        self._dispatcher.tick(now)

    @waits_out_an_outage
    def _is_something_planned(self, now: datetime) -> bool:
        with self._store.read() as connection:
            following = next_look(connection, due_by=now)
        return following is not None and following <= now


class Rival:
    """Admits until nothing that is due at the word's moment is left, by whomever, and now and then takes the lease
    from whoever holds it, be it amid a look. What is admitted arrives at once. How many decisions it wrote."""

    def __init__(self, place: int, url: str, settings: Settings, seed: int) -> None:
        self._store, self._random = Store(url), Random(f"{seed} {place}")
        self._dispatcher = Dispatcher(
            self._store, _nobody, f"s{place}", settings.channels(), pace=AtOnce(),
            outlets=outlets(settings),
        )  # fmt: skip

    def __call__(self, now: datetime) -> int:
        decided, takes = 0, TAKES
        while self._is_something_planned(now):
            if takes and self._random.random() < 0.5:
                takes -= 1
                self._take_the_lease()
            decided += self._tick(now)
            time.sleep(_PAUSE)
        return decided

    def close(self) -> None:
        self._store.close()

    @waits_out_an_outage
    def _take_the_lease(self) -> None:
        with self._store.write() as connection:
            run_out(connection)

    @waits_out_an_outage
    def _tick(self, now: datetime) -> int:
        tick = self._dispatcher.tick(now)
        if tick.admitted:
            with self._store.write() as connection:
                arrive(connection)
        return tick.decided

    @waits_out_an_outage
    def _is_something_planned(self, now: datetime) -> bool:
        with self._store.read() as connection:
            following = next_look(connection, due_by=now)
        return following is not None and following <= now


def in_hand(connection: Connection) -> int:
    moving = deliveries.c.state.in_((State.QUEUED, State.SENDING))
    return int(connection.execute(select(func.count()).where(IN_HAND, moving)).scalar_one())


def dispatcher_of(connection: Connection) -> tuple[str, int]:
    """Who leads, and the epoch; ("", 0) before the first."""
    row = connection.execute(
        select(lease_rows.c.holder, lease_rows.c.epoch).where(
            lease_rows.c.name == leases.DISPATCHER
        )
    ).first()
    return ("", 0) if row is None else (row.holder, row.epoch)


def run_out(connection: Connection) -> None:
    """The dispatcher's lease runs out now."""
    connection.execute(
        update(lease_rows).where(lease_rows.c.name == leases.DISPATCHER).values(expires=0.0)
    )


def _nobody(_batch: str) -> None:
    """The batches are found in the database."""
