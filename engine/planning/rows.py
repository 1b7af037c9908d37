"""Rows of deliveries: what a SELECT must give for them, and how it is inserted: in chunks, each guarded by its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from engine.planning.runs import day_runs
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


def chunks(store: Store) -> Sequence[tuple[int, int]]:
    """All customers in pieces: (first id, last id)."""
    with store.read() as connection:
        low, high = connection.execute(
            select(func.min(customers.c.id), func.max(customers.c.id))
        ).one()
    return [(start, start + CHUNK - 1) for start in range(low or 0, (high or -1) + 1, CHUNK)]


def insert_by_days(
    store: Store,
    days: Select[Any],
    rows_of: Callable[[Mapping[int, int]], Select[Any]],
    version: Version,
    policy: Policy,
    now: datetime,
) -> int:
    """Rows of a care rule that are not there yet, so many in one transaction, each into its day's run, and the later
    steps of those. `days`: SQL for their days; `rows_of`: SQL for them, by the runs' ids (day → run). Both leave out the
    rows that are there. How many rows of the first step that made.

    A run is opened in the transaction that fills it: between two, another scheduler would see an open run in which
    nothing is open, and close it over what then comes.
    """
    made, numbers = 0, None
    while True:
        with store.write() as connection:
            if numbers is None:
                numbers = [int(number) for number in connection.execute(days).scalars()]
            by_day = day_runs(connection, version, numbers, policy, now)
            if not by_day:
                return made
            more = insert_rows(connection, rows_of(by_day).limit(CHUNK))
            if more:
                insert_later_steps(connection, version, by_day.values(), now)
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
