"""Affinities of few customers, to which new orders are added: what was counted before is not counted again.

Everything about them is sums, first and last moments, and the median of the times between orders, for which the times are
kept: new orders may lie anywhere among the old.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    Text,
    and_,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from engine.audience.liking import ORDER_POINTS
from engine.customers.profiles.purchases import KINDS
from engine.customers.profiles.rhythm import cycle
from engine.store.among import among
from engine.store.tables import affinities, order_items, orders, products
from engine.store.types import epoch_seconds
from engine.store.upsert import Upsert

_KEY = ("customer_id", "kind", "name")
_COLUMNS = (
    *_KEY, "orders", "quantity", "amount", "clicks", "first_at", "last_at", "cycle_seconds", "times",
)  # fmt: skip
_UPSERT = Upsert(affinities, _KEY, _COLUMNS)
_ENDS = 2  # so many orders are known by the first and the last
Moment = Any
"""A number on SQLite, else text in UTC; either way a later one is greater."""
Key = tuple[int, str, str]
"""Customer, kind and name of an affinity."""


@dataclass(slots=True)
class Added:
    """`points`: what came to those of (customer, kind). `unsure`: customers whose affinities are not what they should be,
    and were left alone."""

    points: dict[tuple[int, str], int] = field(default_factory=dict)
    unsure: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Bought:
    """What new orders bring to one affinity. `there`: what it has already, as `_question` says it."""

    there: Sequence[Any]
    quantity: int
    amount: int
    orders: dict[int, tuple[Moment, int]]  # placed, also in seconds


def add_orders(connection: Connection, new: Collection[int]) -> Added:
    """Add these orders (internal ids), which are in no affinity yet, to those of their customers."""
    added = Added()
    if not new:
        return added
    rows: list[tuple[Any, ...]] = []
    found = connection.execute(_question(), {"new": list(new)}).all()
    for key, bought in _grouped(found).items():
        row = _added_to(key, bought)
        if row is None:
            added.unsure.add(key[0])
        else:
            rows.append(row)
            of_kind = key[:2]
            points = ORDER_POINTS * len(bought.orders)
            added.points[of_kind] = added.points.get(of_kind, 0) + points
    sure = sorted((row for row in rows if row[0] not in added.unsure), key=itemgetter(0, 1, 2))
    _UPSERT.run(connection, sure)
    return added


def _grouped(rows: Iterable[Any]) -> dict[Key, _Bought]:
    found: dict[Key, _Bought] = {}
    for customer, kind, name, order, placed, seconds, quantity, amount, *there in rows:
        key = (customer, kind, name)
        bought = found.get(key)
        if bought is None:
            found[key] = _Bought(there, quantity, amount, {order: (placed, seconds)})
        else:
            bought.quantity += quantity
            bought.amount += amount
            bought.orders[order] = placed, seconds
    return found


def _added_to(key: Key, bought: _Bought) -> tuple[Any, ...] | None:
    """The values of _COLUMNS; None where it is not known what to add to."""
    count, quantity, amount, clicks, *ends, began, ended, text = bought.there
    count = count or 0
    if count > _ENDS:
        before = [] if text is None else [int(time) for time in text.split(",")]
    else:
        before = [began, ended][:count]
    if len(before) != count:
        return None
    new = bought.orders.values()
    moments = [placed for placed, _ in new]
    if count:
        moments += ends
    times = sorted([*before, *[seconds for _, seconds in new]])
    return (
        *key, len(times), (quantity or 0) + bought.quantity, (amount or 0) + bought.amount, clicks or 0,
        min(moments), max(moments), cycle(times), ",".join(map(str, times)) if len(times) > _ENDS else None,
    )  # fmt: skip


@cache
def _question() -> Select[Any]:
    """The items of new orders by category and brand, each with the affinity that it belongs to."""
    o, i, p, a = orders.c, order_items.c, products.c, affinities.c
    quantity = func.coalesce(i.quantity, 1)
    of_kind = [func.coalesce(i[kind], p[kind]).label(kind) for kind in KINDS]
    bought = (
        select(
            o.customer_id, o.id, _raw(o.placed_at).label("placed"), epoch_seconds(o.placed_at).label("seconds"),
            quantity.label("quantity"), (quantity * func.coalesce(i.price, 0)).label("amount"), *of_kind,
        )
        .join_from(orders, order_items, i.order_id == o.id)
        .join(products, p.sku == i.sku, isouter=True)
        .where(among(o.id, "new"))
        .cte("bought")
    )  # fmt: skip
    b = bought.c
    rest = (b.id, b.placed, b.seconds, b.quantity, b.amount)
    named = union_all(*[
        select(b.customer_id, literal(kind, Text).label("kind"), b[kind].label("name"), *rest).where(b[kind] != "")
        for kind in KINDS
    ]).subquery("named")  # fmt: skip
    same = and_(*[a[key] == named.c[key] for key in _KEY])
    there = (
        a.orders, a.quantity, a.amount, a.clicks, _raw(a.first_at), _raw(a.last_at),
        epoch_seconds(a.first_at), epoch_seconds(a.last_at), a.times,
    )  # fmt: skip
    return select(*named.c, *there).join_from(named, affinities, same, isouter=True)


class _raw(FunctionElement[Any]):
    """SQL: a moment that Python only compares and hands back: reading thousands as datetimes was half of the work."""

    type = NullType()
    inherit_cache = True
    name = "raw"


@compiles(_raw, "sqlite")
def _raw_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(element.clauses, **kw))


@compiles(_raw, "postgresql")
def _raw_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"(CAST(timezone('UTC', {compiler.process(element.clauses, **kw)}) AS text) || '+00')"
