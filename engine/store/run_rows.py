"""Which rows a run has, asked of indexes that a message on its way hardly touches: planned, in hand, at rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, func, literal, or_, select, text

from engine.store.tables import AT_REST, State, deliveries, runs
from engine.store.types import Moment

IN_HAND = deliveries.c.batch.is_not(None)
"""Queued or sending: the few rows that the index of batches holds, however large the table."""
PLANNED = (deliveries.c.state == "planned") & (
    deliveries.c.next_at > literal(datetime(1970, 1, 1, tzinfo=UTC), Moment())
)
"""With a moment, which leads SQLite to the index of these: to that of all rows of a run it would go as soon."""
_AT_REST = text(AT_REST)
_KEYS = (deliveries.c.run_id, deliveries.c.state)


def has_open_rows() -> ColumnElement[bool]:
    """Whether a row of `runs` has deliveries that are planned, wait, are in hand, or of which nobody knows what became."""
    mine = select(deliveries.c.id).where(deliveries.c.run_id == runs.c.id)
    waits = deliveries.c.state.in_((State.WAITING, State.UNCERTAIN))
    return or_(
        mine.where(PLANNED).exists(),
        runs.c.id.in_(select(deliveries.c.run_id).where(IN_HAND)),
        mine.where(_AT_REST, waits).exists(),
    )


def count_by_run(connection: Connection) -> Mapping[tuple[int, str], int]:
    """(run, state) → how many deliveries, for all that there are."""
    planned = select(deliveries.c.run_id, literal("planned"), func.count()).where(PLANNED)
    at_rest = select(*_KEYS, func.count()).where(_AT_REST)
    in_hand = connection.execute(select(*_KEYS).where(IN_HAND))
    found = Counter((run_id, state) for run_id, state in in_hand)
    for query in (planned.group_by(deliveries.c.run_id), at_rest.group_by(*_KEYS)):
        for run_id, state, count in connection.execute(query):
            found[run_id, state] = count
    return found
