"""What customers like: categories and brands from the items of completed orders and from clicks, and how soon they buy
of a category again.

A link whose `data-label` names a category counts as a click on it, once per message; scanners' clicks do not count. The
points of all names of a kind, five for an order and one for a click, go into the profile: a name's share in them is
worked out where it is asked for (`audience.liking`), else one new order would change every row of its customer.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Insert,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from engine.audience.liking import is_of, points
from engine.customers.profiles.kept import has_times
from engine.customers.profiles.purchases import forget, gather, is_category, names, purchases
from engine.store.indexes import indexes_after
from engine.store.median import median_of, total, whole
from engine.store.tables import (
    Engagement,
    affinities,
    category_cycles,
    deliveries,
    engagements,
    links,
)
from engine.store.temporary import analyze, drop, fill, keyed, make_of
from engine.store.types import BigId, Moment, epoch_seconds

_KEY = ("customer_id", "kind", "name")
_VALUES = ("orders", "quantity", "amount", "clicks", "first_at", "last_at", "cycle_seconds")
_PAIR = ("customer_id", "name_id")
_FEW = 3  # so many orders have a median time between them that needs no sorting

_metadata = MetaData()
_likes = Table(
    "likes", _metadata,
    Column("customer_id", BigId), Column("name_id", BigId),
    Column("orders", BigId), Column("quantity", BigId), Column("amount", BigId),
    Column("first_at", Moment), Column("last_at", Moment), Column("clicks", BigId),
    Column("cycle_seconds", BigId),
    keyed("customer_id", "name_id"),
    prefixes=["TEMPORARY"], sqlite_with_rowid=False,
)  # fmt: skip
_clicked = Table(
    "clicks", _metadata,
    Column("customer_id", BigId), Column("name_id", BigId), Column("clicks", BigId),
    keyed("customer_id", "name_id"),
    prefixes=["TEMPORARY"], sqlite_with_rowid=False,
)  # fmt: skip
_gaps = Table(
    "gaps", _metadata,
    Column("customer_id", BigId), Column("name_id", BigId), Column("many", BigId),
    Column("gap", BigId),  # seconds since the customer's order of this name before it
    prefixes=["TEMPORARY"],
)  # fmt: skip
_changed = Table(
    "changed_likes", _metadata,
    Column("customer_id", BigId), Column("name_id", BigId),
    keyed("customer_id", "name_id"),
    prefixes=["TEMPORARY"], sqlite_with_rowid=False,
)  # fmt: skip
_times = Table(
    "times_of_likes", _metadata,
    Column("customer_id", BigId), Column("name_id", BigId), Column("times", Text),
    keyed("customer_id", "name_id"),
    prefixes=["TEMPORARY"], sqlite_with_rowid=False,
)  # fmt: skip
liked_points = Table(
    "liked_points", MetaData(),
    Column("customer_id", BigId, primary_key=True, autoincrement=False),
    Column("categories", BigId), Column("brands", BigId),
    prefixes=["TEMPORARY"],
)  # fmt: skip


def refresh_affinities(
    connection: Connection, now: datetime, chosen: Select[Any] | None = None
) -> None:
    """Write the affinities of the customers that `chosen` selects, or of all; with all, the cycles of categories too.

    Their orders are in `counted` already. Leaves `liked_points` behind.
    """
    gather(connection, now, chosen, *_known_of_others(chosen))
    make_of(connection, _likes, _bought())
    make_of(connection, _clicked, _clicks(now, chosen))
    if connection.execute(select(_clicked.c.name_id).limit(1)).first() is not None:
        connection.execute(_add_clicks())
        fill(connection, _likes, _only_clicked())
    analyze(connection, _likes)
    make_of(connection, _gaps, _between_orders(of_all=chosen is None))
    analyze(connection, _gaps)
    connection.execute(_set_cycles())
    make_of(connection, liked_points, _added_up())
    make_of(connection, _changed, _different(chosen))
    analyze(connection, _changed)
    make_of(connection, _times, _spelt())
    with indexes_after(connection, affinities, _changed):
        connection.execute(_write(connection.dialect.name))
    _remove_what_is_gone(connection, chosen)
    if chosen is None:
        _write_category_cycles(connection)
    forget(connection)
    drop(connection, *_metadata.tables.values())


@cache
def _known_of_others(chosen: Select[Any] | None) -> tuple[Select[Any], ...]:
    """Labels of links that are categories, since others bought of them, as far as they are counted."""
    if chosen is None:
        return ()
    bought = exists().where(
        is_of("category", affinities.c), affinities.c.name == links.c.label, affinities.c.orders > 0
    )
    return (select(links.c.label).where(links.c.label.is_not(None), bought).distinct(),)


@cache
def _bought() -> Select[Any]:
    """The times between two or three orders add up to that between the first and the last: with one or two of them the
    median is their mean."""
    p, orders = purchases.c, cast(func.count(), Integer)  # sums of such are none of decimals
    first, last = func.min(p.placed_at), func.max(p.placed_at)
    mean = (epoch_seconds(last) - epoch_seconds(first)) // (orders - 1)
    return select(
        p.customer_id, p.name_id, orders, total(p.quantity), total(p.amount),
        first, last, literal(0, Integer), case((orders.between(2, _FEW), mean)),
    ).group_by(p.customer_id, p.name_id)  # fmt: skip


def _clicks(now: datetime, chosen: Select[Any] | None) -> Select[Any]:
    """One row per customer and category whose name is the label of a link that was clicked."""
    clicked = (
        select(deliveries.c.customer_id, names.c.id, deliveries.c.id.label("delivery_id"))
        .select_from(engagements)
        .join(deliveries, deliveries.c.id == engagements.c.delivery_id)
        .join(
            links,
            and_(links.c.digest == deliveries.c.digest, links.c.number == engagements.c.link),
        )
        .join(names, and_(names.c.kind == "category", names.c.name == links.c.label))
        .where(
            engagements.c.kind == Engagement.CLICKED.value,
            engagements.c.scanner.is_(None),
            engagements.c.at <= now,
        )
        .distinct()
    )
    if chosen is not None:
        clicked = clicked.where(deliveries.c.customer_id.in_(chosen))
    c = clicked.subquery("clicked").c
    return select(c.customer_id, c.id, cast(func.count(), Integer)).group_by(c.customer_id, c.id)


@cache
def _add_clicks() -> Any:
    same = [_likes.c[key] == _clicked.c[key] for key in _PAIR]
    return update(_likes).values(clicks=_clicked.c.clicks).where(*same)


@cache
def _only_clicked() -> Select[Any]:
    c, none, zero = _clicked.c, literal(None, Moment()), literal(0, BigId)
    bought = exists().where(*[_likes.c[key] == c[key] for key in _PAIR])
    return select(
        c.customer_id, c.name_id, zero, zero, zero, none, none, c.clicks, literal(None, BigId)
    ).where(~bought)


@cache
def _between_orders(*, of_all: bool) -> Select[Any]:
    """The times between orders of one name, where medians need them: those of categories over all customers all of them."""
    p, likes = purchases.c, _likes.c
    epoch = epoch_seconds(p.placed_at)
    before = func.lag(epoch).over(
        partition_by=[likes.customer_id, likes.name_id], order_by=p.placed_at
    )
    needed = likes.orders > _FEW
    if of_all:
        needed = or_(needed, and_(is_category(likes.name_id), likes.orders > 1))
    many = (likes.orders - 1).label("many")
    gaps = (
        select(likes.customer_id, likes.name_id, many, (epoch - before).label("gap"))
        .join(purchases, and_(*[likes[key] == p[key] for key in _PAIR]))
        .where(needed)
        .subquery("between")
    )
    return select(gaps).where(gaps.c.gap.is_not(None))


@cache
def _set_cycles() -> Any:
    """Of more than a few orders."""
    many = select(_gaps).where(_gaps.c.many >= _FEW).subquery("of_many")
    median = median_of(many, _PAIR, "gap")
    return (
        update(_likes)
        .values(cycle_seconds=median.c.median)
        .where(*[_likes.c[key] == median.c[key] for key in _PAIR])
    )


@cache
def _added_up() -> Select[Any]:
    likes = _likes.c
    is_one = is_category(likes.name_id)
    categories, brands = case((is_one, points(likes))), case((~is_one, points(likes)))
    return select(likes.customer_id, whole(func.sum(categories)), whole(func.sum(brands))).group_by(
        likes.customer_id
    )


@cache
def _different(chosen: Select[Any] | None) -> Select[Any]:
    """What is new or other than it stands there, or lacks the times that are kept of it."""
    likes, a = _likes.c, affinities.c
    same = and_(a.customer_id == likes.customer_id, a.kind == names.c.kind, a.name == names.c.name)
    if chosen is not None:  # else PostgreSQL reads all affinities to compare a few
        same = and_(same, a.customer_id.in_(chosen))
    is_other = [a[name].is_distinct_from(likes[name]) for name in _VALUES]
    is_untimed = and_(has_times(likes), a.times.is_(None))
    return (
        select(likes.customer_id, likes.name_id)
        .join_from(_likes, names, names.c.id == likes.name_id)
        .join(affinities, same, isouter=True)
        .where(or_(a.customer_id.is_(None), *is_other, is_untimed))
    )


@cache
def _spelt() -> Select[Any]:
    """The times to be kept of what is different."""
    p, likes, c = purchases.c, _likes.c, _changed.c
    times = func.aggregate_strings(cast(epoch_seconds(p.placed_at), Text), ",")
    return (
        select(c.customer_id, c.name_id, times)
        .join_from(_changed, _likes, and_(*[likes[key] == c[key] for key in _PAIR]))
        .join(purchases, and_(*[p[key] == c[key] for key in _PAIR]))
        .where(has_times(likes))
        .group_by(c.customer_id, c.name_id)
    )


@cache
def _write(dialect: str) -> Insert:
    """In the order of their key, as numbers of names are: PostgreSQL would jump about in its indexes."""
    likes, c = _likes.c, _changed.c
    new = (
        select(c.customer_id, names.c.kind, names.c.name, *[likes[name] for name in _VALUES], _times.c.times)
        .join_from(_changed, _likes, and_(*[likes[key] == c[key] for key in _PAIR]))
        .join(names, names.c.id == c.name_id)
        .join(_times, and_(*[_times.c[key] == c[key] for key in _PAIR]), isouter=True)
        .where(c.name_id.is_not(None))
        .order_by(c.customer_id, c.name_id)
    )  # fmt: skip
    of = sqlite if dialect == "sqlite" else postgresql
    written = (*_VALUES, "times")
    statement = of.insert(affinities).from_select([*_KEY, *written], new)
    values = {name: statement.excluded[name] for name in written}
    upsert: Insert = statement.on_conflict_do_update(index_elements=list(_KEY), set_=values)
    return upsert


def _remove_what_is_gone(connection: Connection, chosen: Select[Any] | None) -> None:
    """Every new row is there by now: where there are no more rows than new ones, nothing is gone."""
    there = select(func.count()).select_from(affinities)
    gone = delete(affinities).where(
        ~exists()
        .where(
            names.c.kind == affinities.c.kind,
            names.c.name == affinities.c.name,
            _likes.c.customer_id == affinities.c.customer_id,
            _likes.c.name_id == names.c.id,
        )
        .correlate(affinities)
    )
    if chosen is not None:
        there = there.where(affinities.c.customer_id.in_(chosen))
        gone = gone.where(affinities.c.customer_id.in_(chosen))
    new = select(func.count()).select_from(_likes)
    if connection.execute(there).scalar_one() != connection.execute(new).scalar_one():
        connection.execute(gone)


def _write_category_cycles(connection: Connection) -> None:
    g = _gaps.c
    of_all = is_category(g.name_id)
    counts = select(g.name_id, func.count().label("many")).where(of_all).group_by(g.name_id)
    count = counts.subquery("counts")
    gaps = (
        select(g.name_id, g.gap, count.c.many)
        .join(count, count.c.name_id == g.name_id)
        .subquery("gaps_of_all")
    )
    median = median_of(gaps, ("name_id",), "gap").c
    found = (
        select(names.c.name, count.c.many, median.median)
        .join(names, names.c.id == median.name_id)
        .join(count, count.c.name_id == median.name_id)
    )
    connection.execute(delete(category_cycles))
    connection.execute(
        insert(category_cycles).from_select(["category", "gaps", "cycle_seconds"], found)
    )
