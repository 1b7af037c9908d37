"""Dispatch: one elected process admits due deliveries through the gate and queues them, in batches, for the workers.

Decisions are read and made first, then written in one transaction that locks the dispatcher's lease and checks its
epoch. Only the holder admits, so counts cannot be outrun by another dispatcher; one that slept through its lease writes
nothing. Pause and cancel lock the same row: what they changed is seen, or comes after.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, func, insert, select, text

from engine.definitions.campaign import Channel
from engine.delivery import leases
from engine.delivery.ledger import IN_HAND
from engine.delivery.pace import Pace
from engine.delivery.pauses import Held, held
from engine.delivery.recover import ENQUEUE_AGAIN_AFTER, recover
from engine.gate.candidates import Candidate, load_candidates
from engine.gate.decision import Defer, Send, Skip
from engine.gate.gate import Decided, decide
from engine.gate.traffic import Traffic
from engine.store.catalog import Catalog, CatalogReader
from engine.store.recordset import encode_moment, encode_rows, recordset
from engine.store.session import Store
from engine.store.tables import State, decisions, deliveries, runs

_log = structlog.get_logger()
BATCH = 1_000
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
    _lease: leases.Lease | None = None
    _renew_at: float = 0.0
    _traffic: Traffic = field(default_factory=Traffic)
    _recovered_at: datetime | None = None

    def tick(self, now: datetime) -> Tick:
        """One look: recover what died, admit what is due, queue it."""
        lost = self._lead(now)
        if lost is None:
            return Tick(leads=False)
        with self.store.read() as connection:
            look = self._look(connection, now)
        admission = self._admit(look, now) if look.decided else _Admission()
        if admission is None:
            self._lease = None
            return Tick(leads=False)
        for batch in (*lost, *admission.batches):
            self._queue(batch)
        self.pace.admitted(admission.admitted)
        outstanding = look.outstanding + admission.admitted
        return Tick(True, admission.admitted, len(look.decided), outstanding)

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
            self._renew_at = time.monotonic() + leases.DISPATCHER_SECONDS / 4
            return self._recover(connection, now) if due else ()

    def _leads(self, connection: Connection) -> bool:
        seconds = leases.DISPATCHER_SECONDS
        if self._lease is None or not leases.still_holds(connection, self._lease, seconds):
            self._lease = leases.take(connection, leases.DISPATCHER, self.holder, seconds)
            self._traffic = (
                Traffic()
            )  # what another dispatcher let through meanwhile is counted anew
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

    def _look(self, connection: Connection, now: datetime) -> _Look:
        """Read and decide, without a lock: on SQLite the workers could write nothing meanwhile."""
        catalog = self.reader.read(connection)
        stopped = held(connection)
        outstanding = _outstanding(connection)
        room = self.pace.room(outstanding)
        ids = due_ids(connection, stopped, min(room, BATCH), now) if room else ()
        decided = decide(
            connection,
            catalog,
            load_candidates(connection, ids),
            now,
            channels=self.channels,
            traffic=self._traffic,
        )
        until = now + PAUSED_FOR
        kept = [stopped.put_off(candidate, verdict, until) for candidate, verdict in decided]
        return _Look(catalog, stopped, outstanding, kept)

    def _admit(self, look: _Look, now: datetime) -> _Admission | None:
        """Write what was decided, if it still holds: the lease and its epoch are ours, so nobody else admitted since;
        nothing was paused since. None where the lease is lost."""
        assert self._lease is not None
        with self.store.write() as connection:
            if not leases.still_holds(connection, self._lease, leases.DISPATCHER_SECONDS):
                return None
            if held(connection) != look.stopped:
                return _Admission()  # the next look sees the new pauses
            return _write(connection, look.catalog, look.decided, now)

    def _queue(self, batch: str) -> None:
        try:
            self.enqueue(batch)
        except ConnectionError as error:
            # The rows are queued in the database; the next recovery queues the batch again.
            _log.warning("dispatch.broker_away", error=str(error))


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look found, to be written if it still holds."""

    catalog: Catalog
    stopped: Held
    outstanding: int
    decided: Sequence[Decided]


@dataclass(frozen=True, slots=True)
class _Admission:
    batches: Sequence[str] = ()
    admitted: int = 0


def due_ids(connection: Connection, stopped: Held, limit: int, now: datetime) -> Sequence[int]:
    """The next due deliveries, by priority and then by time, of runs that nobody holds.

    Run by run: rows of a paused or blocked run are never walked over, however many stand at the head.
    """
    due = (deliveries.c.state == "planned") & (deliveries.c.next_at <= now)
    waiting = select(deliveries.c.id).where(deliveries.c.run_id == runs.c.id, due).exists()
    open_runs = (
        connection.execute(
            select(runs.c.id)
            .where(runs.c.state == "open", stopped.allows_run(), waiting)
            .order_by(runs.c.priority.desc(), runs.c.starts_at, runs.c.id)
        )
        .scalars()
        .all()
    )
    ids: list[int] = []
    for run_id in open_runs:
        ids += connection.execute(
            select(deliveries.c.id)
            .where(deliveries.c.run_id == run_id, due)
            .order_by(deliveries.c.next_at, deliveries.c.id)
            .limit(limit - len(ids))
        ).scalars()
        if len(ids) >= limit:
            break
    return ids


def next_look(connection: Connection, *, due_by: datetime) -> datetime | None:
    """When the gate looks again at something that was due by then, of runs that are open."""
    return connection.execute(
        select(func.min(deliveries.c.next_at))
        .join(runs, runs.c.id == deliveries.c.run_id)
        .where(
            deliveries.c.state == "planned",
            deliveries.c.due_at <= due_by,
            runs.c.state == "open",
            held(connection).allows_run(),
        )
    ).scalar()


def _outstanding(connection: Connection) -> int:
    """Rows that workers still have before them."""
    return connection.execute(
        select(func.count()).where(IN_HAND, deliveries.c.state == State.QUEUED)
    ).scalar_one()


def _write(
    connection: Connection, catalog: Catalog, decided: Sequence[Decided], now: datetime
) -> _Admission:
    sends = [(candidate, verdict) for candidate, verdict in decided if isinstance(verdict, Send)]
    skips = [(candidate, verdict) for candidate, verdict in decided if isinstance(verdict, Skip)]
    deferrals = [
        (candidate, verdict) for candidate, verdict in decided if isinstance(verdict, Defer)
    ]
    _write_noes(connection, skips, deferrals, now)
    batches = []
    for channel in sorted({verdict.channel for _, verdict in sends}):
        batch = secrets.token_hex(8)
        batches.append(batch)
        mine = [pair for pair in sends if pair[1].channel == channel]
        _write_sends(connection, catalog, mine, batch, now)
    return _Admission(batches, len(sends))


def _write_sends(
    connection: Connection,
    catalog: Catalog,
    sends: Sequence[tuple[Candidate, Send]],
    batch: str,
    now: datetime,
) -> None:
    columns = recordset(
        connection,
        {"id": "bigint", "place": "bigint", "hash": "text", "domain": "text", "send_at": "moment"},
    )
    rows = [
        {
            "id": candidate.id,
            "place": _place(connection, catalog, candidate, verdict),
            "hash": verdict.address_hash,
            "domain": verdict.email_domain,
            "send_at": verdict.send_at,
        }
        for candidate, verdict in sends
    ]
    connection.execute(
        text(
            "UPDATE deliveries SET state = 'queued', channel = :channel, batch = :batch, worker = NULL,"
            " address_hash = r.hash, email_domain = r.domain, send_at = r.send_at,"
            " channel_index = r.place, admitted_at = :now, enqueued_at = :now"
            f" FROM {columns} WHERE deliveries.id = r.id AND state = 'planned'"
        ),
        {
            "rows": encode_rows(connection, rows),
            "channel": sends[0][1].channel,
            "batch": batch,
            "now": encode_moment(connection, now),
        },
    )


def _place(connection: Connection, catalog: Catalog, candidate: Candidate, verdict: Send) -> int:
    """Where the chosen channel stands in the step's list: after a refusal the next one is tried."""
    channels = catalog.version(connection, candidate.digest).definition.steps[0].channels
    return channels.index(verdict.channel)


def _write_noes(
    connection: Connection,
    skips: Sequence[tuple[Candidate, Skip]],
    deferrals: Sequence[tuple[Candidate, Defer]],
    now: datetime,
) -> None:
    if skips:
        _write_skips(connection, skips, now)
    if deferrals:
        _write_deferrals(connection, deferrals)
    rows = [
        *(_decision_row(candidate, skip, None, now) for candidate, skip in skips),
        *(
            _decision_row(candidate, defer, defer.until, now)
            for candidate, defer in deferrals
            if defer.record
        ),
    ]
    if rows:
        connection.execute(insert(decisions), rows)


def _decision_row(
    candidate: Candidate, verdict: Skip | Defer, until: datetime | None, now: datetime
) -> dict[str, Any]:
    return {
        "delivery_id": candidate.id,
        "at": now,
        "verdict": "skip" if until is None else "defer",
        "reason": verdict.because.reason,
        "until": until,
        "rule": dict(verdict.because.rule),
        "evidence": dict(verdict.because.evidence),
    }


def _write_skips(
    connection: Connection, skips: Sequence[tuple[Candidate, Skip]], now: datetime
) -> None:
    columns = recordset(connection, {"id": "bigint", "reason": "text"})
    rows = [{"id": candidate.id, "reason": verdict.because.reason} for candidate, verdict in skips]
    connection.execute(
        text(
            "UPDATE deliveries SET state = 'skipped', reason = r.reason, ended_at = :now"
            f" FROM {columns} WHERE deliveries.id = r.id AND state = 'planned'"
        ),
        {"rows": encode_rows(connection, rows), "now": encode_moment(connection, now)},
    )


def _write_deferrals(connection: Connection, deferrals: Sequence[tuple[Candidate, Defer]]) -> None:
    columns = recordset(
        connection, {"id": "bigint", "reason": "text", "until": "moment", "counts": "bigint"}
    )
    rows = [
        {
            "id": candidate.id,
            "reason": verdict.because.reason,
            "until": verdict.until,
            "counts": int(verdict.record),
        }
        for candidate, verdict in deferrals
    ]
    connection.execute(
        text(
            "UPDATE deliveries SET reason = r.reason, next_at = r.until,"
            " deferrals = deferrals + r.counts"
            f" FROM {columns} WHERE deliveries.id = r.id AND state = 'planned'"
        ),
        {"rows": encode_rows(connection, rows)},
    )
