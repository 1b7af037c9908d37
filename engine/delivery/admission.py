"""Writing what the gate decided, in sets: one statement per kind of decision, whatever the size of the batch."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, insert

from engine.definitions.campaign import Channel
from engine.delivery.wordings import write_variants
from engine.gate.candidates import Candidate
from engine.gate.decision import Defer, Send, Skip
from engine.gate.gate import Decided
from engine.store.catalog import Catalog
from engine.store.recordset import encode_moment, encode_rows, recordset, statement
from engine.store.tables import decisions

T = TypeVar("T")
BATCH = 500
"""Deliveries that one worker claims at once: enough for the claim to cost little, few enough for every worker to get some."""
AT_ONCE = 250
"""Deliveries that one transaction writes. On SQLite the workers can write nothing meanwhile: with a thousand at once they
stood still for fifty milliseconds, three times a second."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one transaction writes: messages that go into `batch`, all on one channel, or decisions not to send now."""

    sends: Sequence[tuple[Candidate, Send]] = ()
    batch: str = ""
    noes: Sequence[tuple[Candidate, Skip | Defer]] = ()


def parts(decided: Sequence[Decided]) -> Iterator[Part]:
    """What the gate decided, in portions. What is admitted comes first: the rest is put off because of it."""
    sends = [(candidate, verdict) for candidate, verdict in decided if isinstance(verdict, Send)]
    for channel in sorted({verdict.channel for _, verdict in sends}):
        mine = [pair for pair in sends if pair[1].channel == channel]
        for of_batch in _portions(mine, BATCH):
            batch = secrets.token_hex(8)
            yield from (Part(portion, batch) for portion in _portions(of_batch, AT_ONCE))
    noes = [(one, verdict) for one, verdict in decided if not isinstance(verdict, Send)]
    yield from (Part(noes=portion) for portion in _portions(noes, AT_ONCE))


def write(connection: Connection, catalog: Catalog, part: Part, now: datetime) -> None:
    """Write a part: send → queued in its batch, defer → later, skip → ended; with a decision row for each that does not go.

    Only rows that are still planned change: what was cancelled meanwhile stays cancelled.
    """
    if part.sends:
        _write_sends(connection, catalog, part.sends, part.batch, now)
        write_variants(connection, catalog, part.sends)
    if part.noes:
        skips = [(one, verdict) for one, verdict in part.noes if isinstance(verdict, Skip)]
        deferrals = [(one, verdict) for one, verdict in part.noes if isinstance(verdict, Defer)]
        _write_noes(connection, skips, deferrals, now)


def _portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


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
    channel = sends[0][1].channel
    steps = {(candidate.digest, candidate.step) for candidate, _ in sends}
    places = {key: _place(connection, catalog, key, channel) for key in steps}
    rows = [
        {
            "id": candidate.id,
            "place": places[candidate.digest, candidate.step],
            "hash": verdict.address_hash,
            "domain": verdict.email_domain,
            "send_at": verdict.send_at,
        }
        for candidate, verdict in sends
    ]
    connection.execute(
        statement(
            "UPDATE deliveries SET state = 'queued', channel = :channel, batch = :batch, worker = NULL,"
            " address_hash = r.hash, email_domain = r.domain, send_at = r.send_at,"
            " channel_index = r.place, admitted_at = :now, enqueued_at = :now"
            f" FROM {columns} WHERE deliveries.id = r.id AND state = 'planned'"
        ),
        {
            "rows": encode_rows(connection, rows),
            "channel": channel,
            "batch": batch,
            "now": encode_moment(connection, now),
        },
    )


def _place(connection: Connection, catalog: Catalog, key: tuple[str, str], channel: Channel) -> int:
    """Where the chosen channel stands in the list of this step (digest, id): after a refusal the next one is tried."""
    step = catalog.version(connection, key[0]).definition.step(key[1])
    assert step is not None, "the gate skips a step that the version does not have"
    return step.channels.index(channel)


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
        statement(
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
        statement(
            "UPDATE deliveries SET reason = r.reason, next_at = r.until,"
            " deferrals = deferrals + r.counts"
            f" FROM {columns} WHERE deliveries.id = r.id AND state = 'planned'"
        ),
        {"rows": encode_rows(connection, rows)},
    )
