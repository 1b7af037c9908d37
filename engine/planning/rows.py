"""Rows of deliveries: what a SELECT must give for them, and how it is inserted: in chunks, each guarded by its key."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Select,
    Text,
    cast,
    func,
    literal,
    null,
    select,
)

from engine.definitions.policy import Policy
from engine.planning.holdout import state_and_reason
from engine.planning.series import insert_later_steps, is_followed
from engine.store.catalog import Version
from engine.store.session import Store, insert_ignoring
from engine.store.tables import customers, deliveries
from engine.store.types import Moment, from_epoch_seconds, random_public_id

CHUNK = 10_000
_COLUMNS = (
    "public_id", "run_id", "definition", "step", "customer_id", "anchor", "order_id", "event_id", "digest",
    "class", "priority", "state", "due_at", "next_at", "not_after", "deferrals", "channel_index",
    "attempts", "created_at", "followed", "reason",
)  # fmt: skip


def chunks(store: Store) -> Iterator[tuple[int, int]]:
    """All customers in pieces: (first id, last id)."""
    with store.read() as connection:
        low, high = connection.execute(
            select(func.min(customers.c.id), func.max(customers.c.id))
        ).one()
    for start in range(low or 0, (high or -1) + 1, CHUNK):
        yield start, start + CHUNK - 1


def insert_in_chunks(
    store: Store, query: Select[Any], version: Version, run_ids: Collection[int], now: datetime
) -> int:
    """Rows that are not there yet, so many in one transaction, and the later steps of those: the query itself leaves out
    the rows that are there. How many rows of the first step that made."""
    made = 0
    while True:
        with store.write() as connection:
            more = insert_rows(connection, query.limit(CHUNK))
            if more:
                insert_later_steps(connection, version, run_ids, now)
        made += more
        if more < CHUNK:
            return made


def delivery_rows(
    version: Version,
    policy: Policy,
    *,
    run_id: ColumnElement[Any],
    customer_id: ColumnElement[Any],
    anchor: ColumnElement[Any],
    order_id: ColumnElement[Any],
    event_id: ColumnElement[Any],
    due: ColumnElement[Any],
    not_after: ColumnElement[Any],
    now: datetime,
) -> Select[Any]:
    """The SELECT of deliveries of a version's first step, planned or held out; `due` and `not_after` in UTC seconds since
    1970. The caller adds FROM and WHERE."""
    definition = version.definition
    due_at = from_epoch_seconds(due)
    state, reason = state_and_reason(customer_id, definition, policy)
    return select(
        random_public_id(),
        run_id,
        literal(definition.id, Text),
        literal(definition.steps[0].id, Text),
        customer_id,
        anchor,
        order_id,
        event_id,
        literal(version.digest, Text),
        literal(definition.message_class, Text),
        literal(definition.priority, BigInteger),
        state,
        due_at,
        due_at,
        from_epoch_seconds(not_after),
        literal(0, BigInteger),
        literal(0, BigInteger),
        literal(0, BigInteger),
        literal(now, Moment),
        literal(True, Boolean)
        if is_followed(definition, definition.steps[0])
        else cast(null(), Boolean),
        reason,
    )


def insert_rows(connection: Connection, query: Select[Any]) -> int:
    """Insert what `delivery_rows` selects and is not there yet; how many rows that were."""
    made = insert_ignoring(
        connection, deliveries, ("definition", "step", "customer_id", "anchor")
    ).from_select(_COLUMNS, query)
    inserted = connection.execute(made).rowcount
    if connection.dialect.name == "sqlite":
        # Its driver counts no rows for a statement that begins with WITH.
        return int(connection.execute(select(func.changes())).scalar_one())
    return inserted
