"""The orders that a refresh counts, as a temporary table that its parts share: completed ones up to now of the customers
that it is about, a customer's together and in the order of time, so that nobody has to find or sort them again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Select, Table, select

from engine.audience.money import worth
from engine.audience.scope import COMPLETED
from engine.store.tables import orders
from engine.store.temporary import analyze, drop, keyed, make_of
from engine.store.types import BigId, Moment, epoch_seconds

counted = Table(
    "counted_orders", MetaData(),
    Column("customer_id", BigId), Column("placed_at", Moment), Column("order_id", BigId),
    Column("epoch", BigId),  # `placed_at` in whole seconds
    Column("amount", BigId),  # in the shop's currency: orders in another one count with 0
    keyed("customer_id", "placed_at", "order_id"),
    prefixes=["TEMPORARY"], sqlite_with_rowid=False,
)  # fmt: skip


@contextmanager
def counting(
    connection: Connection, currency: str, now: datetime, chosen: Select[Any] | None
) -> Iterator[None]:
    """`counted` is there, filled, for as long as it lasts."""
    o = orders.c
    epoch, amount = epoch_seconds(o.placed_at), worth(orders, currency)
    found = select(o.customer_id, o.placed_at, o.id, epoch, amount).where(
        o.status.in_(COMPLETED), o.placed_at <= now
    )
    if chosen is not None:
        found = found.where(o.customer_id.in_(chosen))
    make_of(connection, counted, found.order_by(o.customer_id, o.placed_at, o.id))
    analyze(connection, counted)
    yield
    drop(connection, counted)
