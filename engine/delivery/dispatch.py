"""Dispatch: one elected process admits due deliveries through the gate and queues them, in batches, for the workers.

Decisions are read and made first, then written in short transactions that lock the dispatcher's lease and check its
epoch. Only the holder admits, so counts cannot be outrun by another dispatcher; one that slept through its lease writes
nothing. Pause and cancel lock the same row: what they changed is seen, or comes after.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Connection, Integer, bindparam, func, select

from engine.definitions.campaign import Channel
from engine.delivery import leases
from engine.delivery.admission import Part, parts, write
from engine.delivery.pace import Pace
from engine.delivery.pauses import Held, held
from engine.delivery.recover import ENQUEUE_AGAIN_AFTER, recover
from engine.gate.candidates import load_candidates
from engine.gate.gate import Decided, decide
from engine.gate.outlets import Outlets
from engine.gate.traffic import Traffic
from engine.planning.series import any_ended, go_on
from engine.store.catalog import Catalog, CatalogReader
from engine.store.run_rows import IN_HAND, PLANNED
from engine.store.session import Store
from engine.store.tables import State, deliveries, runs

_log = structlog.get_logger()
MOST_AT_ONCE = 1_000
"""Deliveries that one look decides about, and one transaction admits."""
RECOVER_EVERY = timedelta(seconds=5)
PAUSED_FOR = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Tick:
    """What one look did. `admitted` went to the workers, `decided` counts every decision; `leads` is False where
    another process holds the lease."""

    leads: bool
    admitted: int = 0
    decided: int = 0
    outstanding: int = 0


@dataclass
class Dispatcher:
    """Admits what is due. `enqueue` hands a batch's id to the broker; it may fail, the database still knows."""

    store: Store
    enqueue: Callable[[str], None]
    holder: str
    channels: frozenset[Channel]  # those that this installation can send on
    reader: CatalogReader = field(default_factory=CatalogReader)
    pace: Pace = field(default_factory=Pace)
    outlets: Outlets = field(default_factory=Outlets)
    _lease: leases.Lease | None = None
    _renew_at: float = 0.0
    _traffic: Traffic = field(default_factory=Traffic)
    _recovered_at: datetime | None = None

    def tick(self, now: datetime) -> Tick:
        """One look: recover what died, admit what is due, queue it."""
        lost = self._lead(now)
        if lost is None:
            return Tick(leads=False)
        self._let_series_go_on(now)
        with self.store.read() as connection:
            look = self._look(connection, now)
        written = self._admit(look, now)
        # Each once, in their order; also where the lease was lost amid them: they are in the database.
        for batch in dict.fromkeys((*lost, *(part.batch for part in written if part.sends))):
            self._queue(batch)
        admitted = sum(len(part.sends) for part in written)
        self.pace.admitted(admitted)
        decided = admitted + sum(len(part.noes) for part in written)
        return Tick(self._lease is not None, admitted, decided, look.outstanding + admitted)

    def resign(self) -> None:
        """Give the lease back, so that the next dispatcher need not wait for it to run out."""
        if self._lease is not None:
            with self.store.write() as connection:
                leases.release(connection, self._lease)

    def _lead(self, now: datetime) -> Sequence[str] | None:
        """Take or renew the lease now and then, and recover with it; the batches to queue again, None without it."""
        renew = time.monotonic() >= self._renew_at
        due = self._recovered_at is None or now - self._recovered_at >= RECOVER_EVERY
        if self._lease is not None and not renew and not due:
            return ()
        with self.store.write() as connection:
            if not self._leads(connection):
                return None
            self._renew_at = time.monotonic() + leases.DISPATCHER_SECONDS / 2
            return self._recover(connection, now) if due else ()

    def _leads(self, connection: Connection) -> bool:
        seconds = leases.DISPATCHER_SECONDS
        if self._lease is None or not leases.still_holds(connection, self._lease, seconds):
            self._lease = leases.take(connection, leases.DISPATCHER, self.holder, seconds)
            # What another dispatcher let through meanwhile is counted anew.
            self._traffic = Traffic(self.outlets)
        return self._lease is not None

    def _recover(self, connection: Connection, now: datetime) -> Sequence[str]:
        # A new dispatcher may come with a new, empty broker: what no worker holds is queued again at once.
        patience = ENQUEUE_AGAIN_AFTER if self._recovered_at else timedelta()
        self._recovered_at = now
        found = recover(connection, self.reader.read(connection), now, patience)
        if found.planned or found.uncertain or found.batches:
            _log.warning(
                "dispatch.recovered",
                planned=found.planned,
                uncertain=found.uncertain,
                batches=len(found.batches),
            )
        return found.batches

    def _let_series_go_on(self, now: datetime) -> None:
        """Tell later steps how those that they wait for ended. Where the lease is lost meanwhile, another process does."""
        with self.store.read() as connection:
            more = any_ended(connection)
        while more:
            with self.store.write() as connection:
                if self._lease is None or not leases.still_holds(
                    connection, self._lease, leases.DISPATCHER_SECONDS
                ):
                    return
                more = go_on(connection, self.reader.read(connection), now)

    def _look(self, connection: Connection, now: datetime) -> _Look:
        """Read and decide, without a lock: on SQLite the workers could write nothing meanwhile."""
        outstanding = connection.execute(_QUEUED).scalar_one()
        room = self.pace.room(outstanding)
        if not room or connection.execute(_ANY_DUE, {"now": now}).first() is None:
            return _Look(outstanding)
        stopped = held(connection)
        ids = due_ids(connection, stopped, min(room, MOST_AT_ONCE), now)
        if not ids:
            return _Look(outstanding)
        catalog = self.reader.read(connection)
        until = now + PAUSED_FOR
        decided = decide(
            connection,
            catalog,
            load_candidates(connection, ids),
            now,
            channels=self.channels,
            traffic=self._traffic,
            put_off=partial(stopped.put_off, until=until) if stopped.others else None,
        )
        return _Look(outstanding, catalog, stopped, decided)

    def _admit(self, look: _Look, now: datetime) -> Sequence[Part]:
        """Write what was decided, part by part, as long as it still holds. Returns what was written; the lease is None
        where it was lost."""
        written: list[Part] = []
        for part in parts(look.decided):
            if written:
                self.store.give_way()
            if not self._write(look, part, now):
                # The next look sees the new pauses, and counts anew what was let through and not admitted.
                self._traffic = Traffic(self.outlets)
                break
            written.append(part)
        return written

    def _write(self, look: _Look, part: Part, now: datetime) -> bool:
        """One part, in a transaction, if it still holds: the lease and its epoch are ours, so nobody else admitted since;
        nothing was paused since."""
        assert self._lease is not None and look.catalog is not None
        with self.store.write() as connection:
            if not leases.still_holds(connection, self._lease, leases.DISPATCHER_SECONDS):
                self._lease = None
                return False
            if held(connection) != look.stopped:
                return False
            write(connection, look.catalog, part, now)
            self._traffic.remember(connection, now)
            return True

    def _queue(self, batch: str) -> None:
        try:
            self.enqueue(batch)
        except ConnectionError as error:
            # The rows are queued in the database; the next recovery queues the batch again.
            _log.warning("dispatch.broker_away", error=str(error))


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look found, to be written if it still holds; without a catalog where there was nothing to decide."""

    outstanding: int
    catalog: Catalog | None = None
    stopped: Held | None = None
    decided: Sequence[Decided] = ()


def due_ids(connection: Connection, stopped: Held, limit: int, now: datetime) -> Sequence[int]:
    """The next due deliveries, by priority and then by time, of runs that nobody holds.

    Run by run: rows of a paused or blocked run are never walked over, however many stand at the head.
    """
    ids: list[int] = []
    for run_id, definition in connection.execute(_RUNS_WITH_DUE, {"now": now}).all():
        if not stopped.allows(run_id, definition):
            continue
        asked = {"run": run_id, "now": now, "room": limit - len(ids)}
        ids += connection.execute(_DUE_OF_RUN, asked).scalars().all()
        if len(ids) >= limit:
            break
    return ids


# Made once: the dispatcher looks ten times a second, mostly to find nothing.
_DUE = (deliveries.c.state == "planned") & (deliveries.c.next_at <= bindparam("now"))
_ANY_DUE = select(deliveries.c.id).where(_DUE).limit(1)
_RUNS_WITH_DUE = (
    select(runs.c.id, runs.c.definition)
    .where(
        runs.c.state == "open",
        select(deliveries.c.id).where(deliveries.c.run_id == runs.c.id, _DUE).exists(),
    )
    .order_by(runs.c.priority.desc(), runs.c.starts_at, runs.c.id)
)
_DUE_OF_RUN = (
    select(deliveries.c.id)
    .where(deliveries.c.run_id == bindparam("run"), _DUE)
    .order_by(deliveries.c.next_at, deliveries.c.id)
    .limit(bindparam("room", type_=Integer))
)
_QUEUED = select(func.count()).where(IN_HAND, deliveries.c.state == State.QUEUED)
"""Rows that workers still have before them."""


def next_look(connection: Connection, *, due_by: datetime) -> datetime | None:
    """When the gate looks again at something that was due by then, of runs that are open."""
    return connection.execute(
        select(func.min(deliveries.c.next_at))
        .join(runs, runs.c.id == deliveries.c.run_id)
        .where(
            PLANNED,
            deliveries.c.due_at <= due_by,
            runs.c.state == "open",
            held(connection).allows_run(),
        )
    ).scalar()
