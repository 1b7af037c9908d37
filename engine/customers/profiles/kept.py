"""What is kept of counted items, so that a refresh of few customers only adds new orders to it; see decision 015.

A profile keeps which orders its affinities hold: the highest id among them, and their fingerprint. The next refresh works
the fingerprint out anew from the orders themselves. If it is the same, every order that was counted still counts, and
those with higher ids are all that came since: whatever else happened to orders needs no telling. Items and products are
not read again, so who changes them under a counted order calls `forget_items` or `forget_products` first.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, Update, or_, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from engine.store.among import among
from engine.store.tables import affinities, customers, order_items, orders, profiles

MARKS = ("counted_to", "counted_sum")
"""The columns of profiles that say which orders the affinities hold."""
_PRIME, _FACTOR = 2**31 - 1, 48_271
_AS_LONG = (
    2  # orders with a known number of times between them: with more the list of times is kept
)


class fingerprint(FunctionElement[int]):
    """SQL: a number below 2³¹ of an order's id and the moment when it was placed; those of several are added up.

    The middle digits of a square: no sum of ids and moments that happens to agree makes two of them agree.
    """

    type = Integer()
    inherit_cache = True
    name = "fingerprint"


@compiles(fingerprint, "sqlite")
def _fingerprint_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    key, placed_at = (compiler.process(part, **kw) for part in element.clauses)
    mixed = f"(({key} % {_PRIME} * {_FACTOR} + {placed_at} % {_PRIME}) % {_PRIME})"
    return f"(({mixed} * {mixed} >> 20) & {_PRIME})"


@compiles(fingerprint, "postgresql")
def _fingerprint_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    key, placed_at = (compiler.process(part, **kw) for part in element.clauses)
    moment = f"CAST(date_part('epoch', {placed_at}) * 1000000 AS bigint)"
    mixed = f"mod(mod({key}, {_PRIME}) * {_FACTOR} + mod({moment}, {_PRIME}), {_PRIME})"
    return f"CAST(({mixed} * {mixed} >> 20) & {_PRIME} AS integer)"


def has_times(row: Any) -> Any:
    """SQL: this affinity (the columns of such a row) has so many orders that their times are kept."""
    return row.orders > _AS_LONG


def forget_items(connection: Connection, changed: Collection[int]) -> None:
    """The items of these orders (internal ids) are about to change: of whose orders they are among the counted, all are
    counted anew. An order that no refresh has counted costs nothing."""
    _forget(connection, _THESE, list(changed))


def forget_products(connection: Connection, skus: Collection[str]) -> None:
    """The category or brand of these products is about to change: whoever ordered items that have none of their own is
    counted anew."""
    _forget(connection, _OF_PRODUCTS, list(skus))


_THESE = among(orders.c.id, "wanted")
_OF_PRODUCTS = orders.c.id.in_(
    select(order_items.c.order_id).where(
        among(order_items.c.sku, "wanted"),
        or_(order_items.c.category.is_(None), order_items.c.brand.is_(None)),
    )
)


def _forget(connection: Connection, which: ColumnElement[bool], wanted: list[Any]) -> None:
    """A refresh that is under way in another process has read the old items: whoever has the customers' lock first goes
    first, and this sees the mark that it leaves. A refresh of everybody locks the table that is written here."""
    if not wanted:
        return
    if connection.dialect.name != "sqlite":
        connection.execute(_owners(which), {"wanted": wanted}).all()
    connection.execute(_clearing(which), {"wanted": wanted})


@cache
def _owners(which: ColumnElement[bool]) -> Select[Any]:
    found = select(orders.c.customer_id).where(which)
    held = select(customers.c.id).where(customers.c.id.in_(found)).order_by(customers.c.id)
    return held.with_for_update(key_share=True)


@cache
def _clearing(which: ColumnElement[bool]) -> Update:
    p = profiles.c
    is_counted = [p.counted_sum.is_not(None), orders.c.id <= p.counted_to]
    mine = p.customer_id == orders.c.customer_id
    return update(profiles).values(counted_sum=None).where(which, mine, *is_counted)


def forget_times(connection: Connection, of: Select[Any]) -> None:
    """Of the customers that `of` selects: they are laid down anew when the affinities are."""
    a = affinities.c
    emptied = update(affinities).values(times=None)
    connection.execute(emptied.where(a.times.is_not(None), a.customer_id.in_(of)))
