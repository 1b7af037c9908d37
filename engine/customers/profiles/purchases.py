"""Purchases of categories and brands: who bought what, when, one row per customer, name and order.

An item's category and brand are its own, else those of the product with its sku. Names are numbers here, categories
above zero and brands below, since both databases sort millions of whole numbers sooner than as many texts.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    MetaData,
    Select,
    Table,
    Text,
    UniqueConstraint,
    and_,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
)

from engine.audience.scope import COMPLETED
from engine.customers.profiles.counted import counted
from engine.store.median import total
from engine.store.tables import order_items, orders, products
from engine.store.temporary import analyze, drop, keyed, make, make_of
from engine.store.types import BigId, Moment

Kind = Literal["category", "brand"]
KINDS: tuple[Kind, Kind] = ("category", "brand")

_metadata = MetaData()
names = Table(
    "names_of_liking", _metadata,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("kind", Text), Column("name", Text),
    UniqueConstraint("kind", "name"),
    prefixes=["TEMPORARY"],
)  # fmt: skip
purchases = Table(
    "purchases", _metadata,
    Column("customer_id", BigId), Column("name_id", BigId),
    Column("placed_at", Moment), Column("order_id", BigId),
    Column("quantity", BigId), Column("amount", BigId),
    keyed("customer_id", "name_id", "placed_at", "order_id"),
    prefixes=["TEMPORARY"], sqlite_with_rowid=False,
)  # fmt: skip
_goods = Table(
    "goods", _metadata,
    Column("sku", Text, primary_key=True), Column("category", BigId), Column("brand", BigId),
    prefixes=["TEMPORARY"], sqlite_with_rowid=False,
)  # fmt: skip
_items = Table(
    "items_counted", _metadata,
    Column("customer_id", BigId), Column("placed_at", Moment), Column("order_id", BigId),
    Column("category", BigId), Column("brand", BigId),  # of the product
    Column("own_category", Text), Column("own_brand", Text),
    Column("quantity", BigId), Column("amount", BigId),
    prefixes=["TEMPORARY"],
)  # fmt: skip


def gather(
    connection: Connection, now: datetime, chosen: Select[Any] | None, *more: Select[Any]
) -> None:
    """Fill `names` and `purchases` from the items of `counted` orders; `more`: categories that have a number as well."""
    make(connection, names)
    for kind in KINDS:
        connection.execute(_known(kind, more if kind == "category" else ()))
    make_of(connection, _goods, _numbered_products())
    in_turn = chosen is None and connection.dialect.name == "sqlite"
    make_of(connection, _items, _bought(now if in_turn else None))
    analyze(connection, _items)
    for kind in KINDS:
        connection.execute(_own(kind))
    make_of(connection, purchases, _grouped())
    analyze(connection, purchases)
    drop(connection, _items)


def forget(connection: Connection) -> None:
    """Drop what `gather` made."""
    drop(connection, names, purchases, _goods)


def is_category(name_id: ColumnElement[Any]) -> ColumnElement[bool]:
    return name_id > 0


@cache
def _known(kind: Kind, others: tuple[Select[Any], ...]) -> Insert:
    """The names of the shop's products, and others."""
    of_products = select(products.c[kind].label("name")).where(products.c[kind].is_not(None))
    return _numbering(kind, union_all(of_products, *others).subquery("found"))


@cache
def _own(kind: Kind) -> Insert:
    own = _items.c[f"own_{kind}"]
    found = select(own.label("name")).where(own.is_not(None))
    return _numbering(kind, found.subquery("found"))


def _numbering(kind: Kind, found: FromClause) -> Insert:
    """Numbers for new names, so that the order of all numbers is that of kinds and names, as far as they come at once:
    affinities are then written in the order of their key."""
    sign = 1 if kind == "category" else -1
    f = select(found.c.name).distinct().subquery("once")
    last = select(func.count()).where(names.c.kind == kind).scalar_subquery()
    turn = func.row_number().over(order_by=f.c.name if sign > 0 else f.c.name.desc())
    known = select(names.c.name).where(names.c.kind == kind)
    numbered = select(sign * (last + turn), literal(kind, Text), f.c.name).where(
        f.c.name != "", f.c.name.not_in(known)
    )
    return insert(names).from_select(["id", "kind", "name"], numbered)


@cache
def _numbered_products() -> Select[Any]:
    of = {kind: names.alias(f"{kind}_names") for kind in KINDS}
    query = select(products.c.sku, *[of[kind].c.id for kind in KINDS])
    joined: Any = products
    for kind in KINDS:
        n = of[kind].c
        joined = joined.outerjoin(of[kind], and_(n.kind == kind, n.name == products.c[kind]))
    return query.select_from(joined)


def _bought(until_now: datetime | None) -> Select[Any]:
    """The items. SQLite reads those of everybody's orders, up to now, as they lie in the table, from first to last; else
    they are found by the orders that are counted."""
    o: Any
    if until_now is not None:
        o, order_id = orders, orders.c.id
        # Not the bare column: SQLite would take its index, which nearly all orders meet, and jump about the table.
        now = literal(until_now, Moment())
        until = func.coalesce(orders.c.placed_at, now) <= now
        which = [orders.c.status.in_(COMPLETED), until]
    else:
        o, order_id, which = counted, counted.c.order_id, []
    i = order_items.c
    quantity = func.coalesce(i.quantity, 1)
    return (
        select(
            o.c.customer_id, o.c.placed_at, order_id, _goods.c.category, _goods.c.brand,
            i.category, i.brand, quantity, quantity * func.coalesce(i.price, 0),
        )
        .select_from(o)
        .join(order_items, i.order_id == order_id)
        .join(_goods, _goods.c.sku == i.sku, isouter=True)
        .where(*which)
    )  # fmt: skip


@cache
def _grouped() -> Select[Any]:
    """Several items of one category in one order are one purchase of it."""
    i = _items.c

    def of(kind: Kind) -> Select[Any]:
        own, known = i[f"own_{kind}"], names.alias()
        name_id = func.coalesce(known.c.id, i[kind])
        return (
            select(i.customer_id, name_id.label("name_id"), i.placed_at, i.order_id, i.quantity, i.amount)
            .join(known, and_(known.c.kind == kind, known.c.name == own), isouter=True)
            .where(name_id.is_not(None), or_(own.is_(None), own != ""))
        )  # fmt: skip

    both = union_all(*[of(kind) for kind in KINDS]).subquery("both").c
    key = (both.customer_id, both.name_id, both.placed_at, both.order_id)
    return select(*key, total(both.quantity), total(both.amount)).group_by(*key)
