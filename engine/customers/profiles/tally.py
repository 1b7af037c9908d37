"""The orders of few customers, added up per customer in one look at them: what `counted` is for many, in one row each.

Beside the sums stand all times, from which habits are worked out, and what came since the affinities were counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    select,
)

from engine.audience.money import worth
from engine.audience.scope import COMPLETED
from engine.customers.profiles.grading import bounds
from engine.customers.profiles.kept import fingerprint
from engine.definitions.policy import Policy
from engine.store.median import whole
from engine.store.tables import orders, profiles
from engine.store.temporary import analyze, drop, make_of
from engine.store.types import BigId, Moment, epoch_seconds

_NOW, _PERIOD = bindparam("now", type_=Moment()), bindparam("period", type_=Moment())
tallies = Table(
    "tallies", MetaData(),
    Column("customer_id", BigId, primary_key=True, autoincrement=False),
    Column("orders", BigId), Column("amount", BigId),
    Column("first_order_at", Moment), Column("last_order_at", Moment),
    Column("period_orders", BigId), Column("period_amount", BigId),
    Column("counted_to", BigId), Column("counted_sum", BigId),
    Column("times", Text),  # in seconds since 1970, with commas between
    Column("holds", BigId),  # 1: the affinities hold exactly the orders that are not `added`
    Column("added", Text),  # their ids, with commas between
    prefixes=["TEMPORARY"],
)  # fmt: skip


@contextmanager
def tallying(
    connection: Connection, policy: Policy, now: datetime, chosen: Select[Any]
) -> Iterator[None]:
    """`tallies` is there for as long as it lasts, with a row per chosen customer, also where there are no orders."""
    period = bounds(policy.grading, now, policy.timezone).period
    question = _question(policy.prices.currency, chosen)
    make_of(connection, tallies, question, {"now": now, "period": period})
    analyze(connection, tallies)
    yield
    drop(connection, tallies)


@lru_cache(maxsize=8)
def _question(currency: str, chosen: Select[Any]) -> Select[Any]:
    chosen_ones = chosen.subquery("who")
    who, o, p = chosen_ones.c, orders.c, profiles.c
    counts = and_(o.customer_id == who.id, o.status.in_(COMPLETED), o.placed_at <= _NOW)
    amount, recent, mark = worth(orders, currency), o.placed_at >= _PERIOD, fingerprint(o.id, o.placed_at)  # fmt: skip
    # Who has no profile yet has no affinities either.
    counted_to = case((p.customer_id.is_(None), 0), else_=p.counted_to)
    was_there = case((p.customer_id.is_(None), 0), else_=p.counted_sum)
    # Of each order one of the two is worked out: neither database would see that the same stands in two places.
    old = _sum(case((o.id <= counted_to, mark), else_=0))
    new = _sum(case((o.id <= counted_to, 0), else_=mark))
    return (
        select(
            who.id, func.count(o.id), _sum(amount), func.min(o.placed_at), func.max(o.placed_at),
            func.count(case((recent, 1))), _sum(case((recent, amount))),
            func.coalesce(func.max(o.id), 0), old + new, _together(epoch_seconds(o.placed_at)),
            case((func.max(was_there) == old, 1), else_=0), _together(case((o.id > counted_to, o.id))),
        )
        .select_from(chosen_ones)
        .outerjoin(profiles, p.customer_id == who.id)
        .outerjoin(orders, counts)
        .group_by(who.id)
    )  # fmt: skip


def _sum(numbers: ColumnElement[Any]) -> ColumnElement[int]:
    return func.coalesce(whole(func.sum(numbers)), 0)


def _together(numbers: ColumnElement[Any]) -> ColumnElement[str]:
    return func.aggregate_strings(cast(numbers, Text), ",")
