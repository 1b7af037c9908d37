"""Habits in sets: where customers live, at which hour they order, and after how long they order again.

The usual hour, on the clock of `placed.zone`: of all runs of five neighbouring hours around the clock, such as 21 to 1,
that have an order in the middle one, the run with most orders is taken (of several, that with most in its middle hour,
then that with the earliest middle hour). The mean time of its orders falls into the usual hour: 23:30 and 00:30 give 0.
Confidence is the percentage `100 · orders of the run ÷ (all orders + 1)`, rounded down: a single order says 50. A
customer all of whose orders were placed exactly at midnight on the shop's clock is known by dates only: no hour.
The cycle is the median time between completed orders that follow each other.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Integer,
    MetaData,
    Select,
    Table,
    and_,
    case,
    cast,
    func,
    or_,
    select,
    union_all,
    update,
)

from engine.customers.clock import DAY, shop_offset
from engine.customers.profiles.affinity import liked_points, refresh_affinities
from engine.customers.profiles.counted import counted
from engine.customers.profiles.region import forget, place, placed
from engine.definitions.policy import Policy
from engine.store.median import median_of, whole
from engine.store.tables import profiles, zone_offsets
from engine.store.temporary import analyze, drop, keyed, make_of
from engine.store.types import BigId, epoch_seconds

_HOUR = 3600
_CENTURY = 36_525 * DAY  # added, since SQL has a remainder below zero for times before 1970
_NEAR = 2  # hours on either side
_OWN = 2**5  # above it the orders of the middle hour, below it the hour
_RUN = _OWN * 2**29  # above it the orders of the run

_metadata = MetaData()
_hourly = Table(
    "hourly_orders", _metadata,
    Column("customer_id", BigId), Column("hour", BigId),  # on the customer's own clock
    Column("orders", BigId), Column("seconds", BigId),  # the sum of those since midnight
    Column("timed", BigId),  # 0: all were placed at midnight on the shop's clock
    keyed("customer_id", "hour"),
    prefixes=["TEMPORARY"], sqlite_with_rowid=False,
)  # fmt: skip
_runs = Table(
    "best_runs", _metadata,
    Column("customer_id", BigId, primary_key=True, autoincrement=False),
    Column("rank", BigId),
    prefixes=["TEMPORARY"],
)  # fmt: skip
_hours = Table(
    "usual_hours", _metadata,
    Column("customer_id", BigId, primary_key=True, autoincrement=False),
    Column("hour", BigId), Column("confidence", BigId),
    prefixes=["TEMPORARY"],
)  # fmt: skip
_cycles = Table(
    "order_cycles", _metadata,
    Column("customer_id", BigId, primary_key=True, autoincrement=False),
    Column("seconds", BigId),
    prefixes=["TEMPORARY"],
)  # fmt: skip


def refresh_habits(connection: Connection, policy: Policy, now: datetime) -> None:
    """Write the habits of all customers into the profiles that they have, and their affinities. Their orders are in `counted`
    already."""
    place(connection, policy.timezone, now)
    analyze(connection, placed)
    make_of(connection, _hourly, _orders_by_hour(policy.timezone))
    analyze(connection, _hourly)
    make_of(connection, _runs, _best_runs())
    make_of(connection, _hours, _usual_hours())
    make_of(connection, _cycles, _order_cycles())
    refresh_affinities(connection, now)
    connection.execute(_write())
    forget(connection)
    drop(connection, liked_points, *_metadata.tables.values())


@cache
def _orders_by_hour(shop: str) -> Select[Any]:
    """Orders per customer and hour of their own clock, with the sum of the seconds since midnight."""
    epoch = counted.c.epoch
    since_midnight = (epoch + _CENTURY + func.coalesce(placed.c.seconds, _offset(epoch))) % DAY
    one = (
        select(
            counted.c.customer_id,
            cast(since_midnight, Integer).label("since_midnight"),
            cast(case(((epoch + shop_offset(epoch, shop)) % DAY == 0, 0), else_=1), Integer).label("timed"),
        )
        .join(placed, placed.c.customer_id == counted.c.customer_id)
        .subquery("one")
    )  # fmt: skip
    hour = one.c.since_midnight // _HOUR
    return select(
        one.c.customer_id,
        hour.label("hour"),
        cast(func.count(), Integer),  # whose sums are none of PostgreSQL's decimals
        func.sum(one.c.since_midnight),
        func.max(one.c.timed),
    ).group_by(one.c.customer_id, hour)


def _offset(epoch: ColumnElement[Any]) -> ColumnElement[int]:
    return (
        select(zone_offsets.c.seconds)
        .where(
            zone_offsets.c.zone == placed.c.zone,
            zone_offsets.c.from_epoch <= epoch,
            epoch < zone_offsets.c.to_epoch,
        )
        .scalar_subquery()
    )


@cache
def _best_runs() -> Select[Any]:
    """The run that is taken. What decides is one number: how many orders the run has, then those of its middle hour, then
    how early that is; the greatest wins."""
    own, near = _hourly.c, _hourly.alias("near")
    rank = whole(func.sum(near.c.orders)) * _RUN + own.orders * _OWN + (_OWN - 1 - own.hour)
    runs = (
        select(own.customer_id, rank.label("rank"))
        .join_from(_hourly, near, _are_near(own, near.c))
        .group_by(own.customer_id, own.hour, own.orders)
        .subquery("runs")
    )
    return select(runs.c.customer_id, func.max(runs.c.rank)).group_by(runs.c.customer_id)


def _are_near(one: Any, other: Any) -> ColumnElement[bool]:
    """Around the clock: 23 and 1 are two hours apart."""
    return and_(
        other.customer_id == one.customer_id,
        (other.hour - one.hour + 24 + _NEAR) % 24 <= 2 * _NEAR,
    )


@cache
def _usual_hours() -> Select[Any]:
    """The mean time of the best run's orders. Of a run over midnight, those on the other side of it are a day away."""
    middle = (_OWN - 1 - _runs.c.rank % _OWN).label("hour")
    best = select(_runs.c.customer_id, middle).subquery("best")
    near = _hourly.alias("near")
    apart = near.c.hour - best.c.hour
    days = case((apart > 2 * _NEAR, -1), (apart < -2 * _NEAR, 1), else_=0)
    mean = (
        select(
            best.c.customer_id,
            whole(func.sum(near.c.orders)).label("near"),
            whole(func.sum(near.c.seconds + near.c.orders * days * DAY)).label("seconds"),
        )
        .join_from(best, near, _are_near(best.c, near.c))
        .group_by(best.c.customer_id)
        .subquery("mean")
    )
    everything = (
        select(_hourly.c.customer_id, whole(func.sum(_hourly.c.orders)).label("orders"))
        .group_by(_hourly.c.customer_id)
        .having(func.max(_hourly.c.timed) == 1)
        .subquery("everything")
    )
    m, of_all = mean.c, everything.c
    # A day is added since a run around midnight may have its mean before it, and whole divisions round to zero.
    hour = ((m.seconds + m.near * DAY) // m.near // _HOUR) % 24
    confidence = (100 * m.near) // (of_all.orders + 1)
    joined = mean.join(everything, of_all.customer_id == m.customer_id)
    return select(m.customer_id, hour, confidence).select_from(joined)


@cache
def _order_cycles() -> CompoundSelect[Any]:
    """Between two or three orders the median is the mean: only more have to be sorted. How many there are, and when the
    first and last were, is in the profiles already."""
    p, o = profiles.c, counted.c
    here = placed.c.customer_id == p.customer_id  # looked up: a few of many profiles
    span = epoch_seconds(p.last_order_at) - epoch_seconds(p.first_order_at)
    few = (
        select(p.customer_id, (span // (p.orders - 1)).label("seconds"))
        .join_from(placed, profiles, here)
        .where(p.orders.in_((2, 3)))
    )
    before = func.lag(o.epoch).over(partition_by=p.customer_id, order_by=o.placed_at)
    gaps = (
        select(p.customer_id, (o.epoch - before).label("gap"), (p.orders - 1).label("many"))
        .join_from(placed, profiles, here)
        .join(counted, o.customer_id == p.customer_id)
        .where(p.orders > 3)
        .subquery("gaps")
    )
    known = select(gaps).where(gaps.c.gap.is_not(None)).subquery("known")
    median = median_of(known, ("customer_id",), "gap").c
    return union_all(few, select(median.customer_id, median.median))


@cache
def _write() -> Any:
    """Only the profiles whose habits changed."""
    new = {
        "province": placed.c.province,
        "city": placed.c.city,
        "usual_hour": _hours.c.hour,
        "usual_hour_confidence": _hours.c.confidence,
        "cycle_seconds": _cycles.c.seconds,
        "category_points": liked_points.c.categories,
        "brand_points": liked_points.c.brands,
    }
    found = (
        select(placed.c.customer_id, *[column.label(name) for name, column in new.items()])
        .join(_hours, _hours.c.customer_id == placed.c.customer_id, isouter=True)
        .join(_cycles, _cycles.c.customer_id == placed.c.customer_id, isouter=True)
        .join(liked_points, liked_points.c.customer_id == placed.c.customer_id, isouter=True)
        .subquery("found")
    )
    return (
        update(profiles)
        .values({name: found.c[name] for name in new})
        .where(
            profiles.c.customer_id == found.c.customer_id,
            or_(*[profiles.c[name].is_distinct_from(found.c[name]) for name in new]),
        )
    )
