"""What customers like: categories and brands from the items of completed orders and from clicks, and how soon they buy
of a category again.

An item's category and brand are its own, else those of the product with its sku. A link whose `data-label` names a
category counts as a click on it, once per message; scanners' clicks do not count. The score of a name is its share, in
thousandths rounded down, of the customer's points of that kind: five for an order, one for a click.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    union,
)
from sqlalchemy.dialects import postgresql, sqlite

from engine.audience.scope import COMPLETED
from engine.customers.chosen import analyze
from engine.customers.median import median_of, whole
from engine.store.tables import (
    Engagement,
    affinities,
    category_cycles,
    deliveries,
    engagements,
    links,
    order_items,
    orders,
    products,
)
from engine.store.types import BigId, Moment, epoch_seconds

ORDER_POINTS, CLICK_POINTS = 5, 1
Kind = Literal["category", "brand"]
_KEY = ("customer_id", "kind", "name")
_COUNTED = ("orders", "quantity", "amount", "clicks", "score", "first_at", "last_at", "cycle_seconds")  # fmt: skip

_metadata = MetaData()
_signs = Table(
    "signs_of_liking", _metadata,
    Column("customer_id", BigId), Column("kind", Text), Column("name", Text),
    Column("at", Moment),  # of an order; NULL for clicks
    Column("gap", BigId),  # seconds since the order of this name before it
    Column("quantity", BigId), Column("amount", BigId), Column("clicks", BigId),
    prefixes=["TEMPORARY"],
)  # fmt: skip


def refresh_affinities(
    connection: Connection, now: datetime, chosen: Select[Any] | None = None
) -> None:
    """Write the affinities of the customers that `chosen` selects, or of all; with all, the cycles of categories too."""
    _metadata.create_all(connection)
    kinds: tuple[Kind, Kind] = ("category", "brand")
    for kind in kinds:
        connection.execute(_insert(_purchases(kind, now, chosen)))
    connection.execute(_insert(_clicks(now, chosen)))
    analyze(connection, _signs)
    _write(connection, chosen)
    if chosen is None:
        _write_cycles(connection)
    _metadata.drop_all(connection)


def _insert(signs: Select[Any]) -> Any:
    return insert(_signs).from_select([column.name for column in _signs.c], signs)


def _purchases(kind: Kind, now: datetime, chosen: Select[Any] | None) -> Select[Any]:
    """One row per order and name: several items of one category are one purchase of it."""
    name = func.coalesce(order_items.c[kind], products.c[kind])
    quantity = func.coalesce(order_items.c.quantity, 1)
    query = (
        select(
            orders.c.customer_id,
            name.label("name"),
            orders.c.id,
            orders.c.placed_at,
            whole(func.sum(quantity)).label("quantity"),
            whole(func.sum(quantity * func.coalesce(order_items.c.price, 0))).label("amount"),
        )
        .join(order_items, order_items.c.order_id == orders.c.id)
        .join(products, products.c.sku == order_items.c.sku, isouter=True)
        .where(
            orders.c.status.in_(COMPLETED), orders.c.placed_at <= now, name.is_not(None), name != ""
        )
        .group_by(orders.c.customer_id, name, orders.c.id, orders.c.placed_at)
    )
    if chosen is not None:
        query = query.where(orders.c.customer_id.in_(chosen))
    p = query.subquery("purchases").c
    epoch = epoch_seconds(p.placed_at)
    before = func.lag(epoch).over(partition_by=[p.customer_id, p.name], order_by=p.placed_at)
    return select(
        p.customer_id, literal(kind, Text), p.name, p.placed_at, epoch - before,
        p.quantity, p.amount, literal(0, BigId),
    )  # fmt: skip


def _clicks(now: datetime, chosen: Select[Any] | None) -> Select[Any]:
    """One row per customer and category whose name is the label of a link that was clicked."""
    clicked = (
        select(deliveries.c.customer_id, links.c.label, deliveries.c.id)
        .select_from(engagements)
        .join(deliveries, deliveries.c.id == engagements.c.delivery_id)
        .join(
            links,
            and_(links.c.digest == deliveries.c.digest, links.c.number == engagements.c.link),
        )
        .where(
            engagements.c.kind == Engagement.CLICKED.value,
            engagements.c.scanner.is_(None),
            engagements.c.at <= now,
            links.c.label.in_(_categories(chosen)),
        )
        .distinct()
    )
    if chosen is not None:
        clicked = clicked.where(deliveries.c.customer_id.in_(chosen))
    c = clicked.subquery("clicked").c
    return select(
        c.customer_id, literal("category", Text), c.label, literal(None, Moment()),
        literal(None, BigId), literal(0, BigId), literal(0, BigId), func.count(),
    ).group_by(c.customer_id, c.label)  # fmt: skip


def _categories(chosen: Select[Any] | None) -> Any:
    """The names that are categories: of products, and of what was bought (by others too, as far as it is counted)."""
    bought = select(_signs.c.name).where(_signs.c.kind == "category")
    of_products = select(products.c.category).where(products.c.category.is_not(None))
    if chosen is None:
        return union(bought, of_products)
    by_others = select(affinities.c.name).where(
        affinities.c.kind == "category",
        affinities.c.orders > 0,
        affinities.c.name.in_(select(links.c.label)),
    )
    return union(bought, of_products, by_others)


def _counted() -> Any:
    """The new affinities, shaped as the table's columns."""
    s = _signs.c
    gaps = select(s.customer_id, s.kind, s.name, s.gap).where(s.gap.is_not(None)).subquery("gaps")
    median = median_of(gaps, _KEY, "gap")
    bought = func.count(s.at)
    clicks = whole(func.sum(s.clicks))
    query = (
        select(
            s.customer_id, s.kind, s.name,
            bought.label("orders"),
            whole(func.sum(s.quantity)).label("quantity"),
            whole(func.sum(s.amount)).label("amount"),
            clicks.label("clicks"),
            (ORDER_POINTS * bought + CLICK_POINTS * clicks).label("points"),
            func.min(s.at).label("first_at"),
            func.max(s.at).label("last_at"),
        )
        .group_by(s.customer_id, s.kind, s.name)
        .subquery("named")
    )  # fmt: skip
    n = query.c
    everything = whole(func.sum(n.points).over(partition_by=[n.customer_id, n.kind]))
    return (
        select(
            n.customer_id, n.kind, n.name, n.orders, n.quantity, n.amount, n.clicks,
            (1000 * n.points // everything).label("score"),
            n.first_at, n.last_at, median.c.median.label("cycle_seconds"),
        )
        .select_from(query)
        .join(median, and_(*[median.c[key] == n[key] for key in _KEY]), isouter=True)
    )  # fmt: skip


def _write(connection: Connection, chosen: Select[Any] | None) -> None:
    """What is gone goes, what is new or different is written; the rest is left alone: most of it, on most days."""
    _remove_what_is_gone(connection, chosen)
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    new = _counted().subquery("counted")
    names = [*_KEY, *_COUNTED]
    statement = dialect.insert(affinities).from_select(
        names, select(*[new.c[name] for name in names]).where(new.c.customer_id.is_not(None))
    )
    excluded = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(_KEY),
            set_={name: excluded[name] for name in _COUNTED},
            where=or_(*[affinities.c[name].is_distinct_from(excluded[name]) for name in _COUNTED]),
        )
    )


def _remove_what_is_gone(connection: Connection, chosen: Select[Any] | None) -> None:
    if chosen is not None:
        connection.execute(delete(affinities).where(affinities.c.customer_id.in_(chosen)))
        return
    if connection.execute(select(affinities.c.customer_id).limit(1)).first() is None:
        return
    index = "CREATE INDEX ix_signs ON signs_of_liking (customer_id, kind, name)"
    if connection.dialect.name == "sqlite":
        index = index.replace("ix_signs", "temp.ix_signs")
    connection.exec_driver_sql(index)
    still: ColumnElement[bool] = exists().where(
        *[_signs.c[key] == affinities.c[key] for key in _KEY]
    )
    connection.execute(delete(affinities).where(~still))


def _write_cycles(connection: Connection) -> None:
    s = _signs.c
    gaps = (
        select(s.name.label("category"), s.gap)
        .where(s.kind == "category", s.gap.is_not(None))
        .subquery("gaps")
    )
    median = median_of(gaps, ("category",), "gap")
    connection.execute(delete(category_cycles))
    connection.execute(
        insert(category_cycles).from_select(
            ["category", "gaps", "cycle_seconds"],
            select(median.c.category, median.c.many, median.c.median),
        )
    )
