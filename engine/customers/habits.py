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
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Select,
    Table,
    and_,
    case,
    cast,
    func,
    insert,
    or_,
    select,
    union_all,
    update,
)

from engine.audience.scope import COMPLETED
from engine.customers.affinity import refresh_affinities
from engine.customers.chosen import analyze
from engine.customers.clock import DAY, shop_seconds
from engine.customers.median import median_of, whole
from engine.customers.region import forget, place, placed
from engine.definitions.policy import Policy
from engine.store.tables import orders, profiles, zone_offsets
from engine.store.types import BigId, epoch_seconds

_HOUR = 3600
_NEAR = 2  # hours on either side

_metadata = MetaData()
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


def refresh_habits(
    connection: Connection,
    policy: Policy,
    now: datetime,
    chosen: Select[Any] | None = None,
) -> None:
    """Write the habits of the chosen customers, or of all, into the profiles that they have, and their affinities.

    Orders after `now` do not count. The cycles of categories over all customers are written only with all.
    """
    _metadata.create_all(connection)
    place(connection, policy.timezone, now, chosen)
    analyze(connection, placed)
    connection.execute(insert(_hours).from_select(
        ["customer_id", "hour", "confidence"], _usual_hours(policy.timezone, now, chosen)
    ))  # fmt: skip
    connection.execute(
        insert(_cycles).from_select(["customer_id", "seconds"], _order_cycles(now, chosen))
    )
    analyze(connection, _hours, _cycles)
    connection.execute(_write())
    refresh_affinities(connection, now, chosen)
    forget(connection)
    _metadata.drop_all(connection)


def completed(now: datetime, chosen: Select[Any] | None) -> ColumnElement[bool]:
    """The orders that count: completed ones up to `now`, of the chosen customers."""
    counted = and_(orders.c.status.in_(COMPLETED), orders.c.placed_at <= now)
    return counted if chosen is None else and_(counted, orders.c.customer_id.in_(chosen))


def _usual_hours(shop: str, now: datetime, chosen: Select[Any] | None) -> Select[Any]:
    runs = _runs(_hourly(shop, now, chosen))
    best = select(
        *runs.c,
        func.row_number()
        .over(
            partition_by=runs.c.customer_id,
            order_by=[runs.c.near.desc(), runs.c.orders.desc(), runs.c.hour],
        )
        .label("place"),
    ).where(runs.c.hour.between(0, 23), runs.c.timed == 1)
    b = best.subquery("best").c
    # A day is added since a run around midnight may have its mean before it, and whole divisions round to zero.
    hour = ((b.seconds + b.near * DAY) // b.near // _HOUR) % 24
    return select(b.customer_id, hour, (100 * b.near) // (b.all_orders + 1)).where(b.place == 1)


def _hourly(shop: str, now: datetime, chosen: Select[Any] | None) -> CTE:
    """Orders per customer and hour of their own clock, with the sum of the seconds since midnight."""
    epoch = epoch_seconds(orders.c.placed_at)
    since_midnight = (epoch + func.coalesce(placed.c.seconds, _offset(epoch))) % DAY
    one = (
        select(
            orders.c.customer_id,
            cast(since_midnight, Integer).label("since_midnight"),
            cast(case((shop_seconds(orders.c.placed_at, shop) == 0, 0), else_=1), Integer).label("timed"),
        )
        .join(placed, placed.c.customer_id == orders.c.customer_id)
        .where(completed(now, chosen))
        .subquery("one")
    )  # fmt: skip
    hour = one.c.since_midnight // _HOUR
    query = select(
        one.c.customer_id,
        hour.label("hour"),
        func.count().label("orders"),
        func.sum(one.c.since_midnight).label("seconds"),
        func.max(one.c.timed).label("timed"),
    ).group_by(one.c.customer_id, hour)
    return query.cte("hourly").prefix_with("MATERIALIZED")


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


def _runs(hourly: CTE) -> Any:
    """The run around each hour. The day is laid out with its ends repeated on the other side, so that a run over
    midnight is one stretch."""
    h = hourly.c

    def shifted(days: int, which: ColumnElement[bool]) -> Select[Any]:
        return select(
            h.customer_id,
            (h.hour + 24 * days).label("hour"),
            h.orders,
            (h.seconds + h.orders * (days * DAY)).label("seconds"),
            h.timed,
        ).where(which)

    around = union_all(
        shifted(0, h.orders > 0),
        shifted(-1, h.hour >= 24 - _NEAR),
        shifted(1, h.hour < _NEAR),
    ).subquery("around")
    a = around.c
    run: dict[str, Any] = {
        "partition_by": a.customer_id,
        "order_by": a.hour,
        "range_": (-_NEAR, _NEAR),
    }
    everything: dict[str, Any] = {"partition_by": a.customer_id}
    own = case((a.hour.between(0, 23), a.orders), else_=0)
    return select(
        a.customer_id,
        a.hour,
        a.orders,
        whole(func.sum(a.orders).over(**run)).label("near"),
        whole(func.sum(a.seconds).over(**run)).label("seconds"),
        whole(func.sum(own).over(**everything)).label("all_orders"),
        func.max(a.timed).over(**everything).label("timed"),
    ).subquery("runs")


def _order_cycles(now: datetime, chosen: Select[Any] | None) -> Select[Any]:
    epoch = epoch_seconds(orders.c.placed_at)
    before = func.lag(epoch).over(partition_by=orders.c.customer_id, order_by=orders.c.placed_at)
    gaps = (
        select(orders.c.customer_id, (epoch - before).label("gap"))
        .where(completed(now, chosen))
        .subquery("gaps")
    )
    known = select(gaps).where(gaps.c.gap.is_not(None)).subquery("known")
    median = median_of(known, ("customer_id",), "gap")
    return select(median.c.customer_id, median.c.median)


def _write() -> Any:
    """Only the profiles whose habits changed."""
    new = {
        "province": placed.c.province,
        "city": placed.c.city,
        "usual_hour": _hours.c.hour,
        "usual_hour_confidence": _hours.c.confidence,
        "cycle_seconds": _cycles.c.seconds,
    }
    found = (
        select(placed.c.customer_id, *[column.label(name) for name, column in new.items()])
        .join(_hours, _hours.c.customer_id == placed.c.customer_id, isouter=True)
        .join(_cycles, _cycles.c.customer_id == placed.c.customer_id, isouter=True)
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
