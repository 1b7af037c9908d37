"""When they order: hour of the day by weekday, on the shop's clock."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, case, func, select

from engine.insight.diagnosis.figures import Hours
from engine.insight.diagnosis.purchases import DAY, hour_of_week, local_orders

_FEW = 0.05
"""Below this share of orders the ones at midnight to the second are chance, and above 1 − it all of them are dates."""


def hours(connection: Connection, zone: str, now: datetime) -> Hours:
    """Completed orders per hour of the week. Where many stand at midnight to the second, those are dates without an
    hour: they are left out, and nothing is drawn where hardly any other is left."""
    timed = local_orders(zone, now)
    hour = hour_of_week(timed.c.seconds).label("hour")
    at_midnight = func.count(case((timed.c.seconds % DAY == 0, 1)))
    rows = connection.execute(
        select(hour, func.count().label("orders"), at_midnight.label("midnight")).group_by(hour)
    ).all()
    total, midnight = sum(row.orders for row in rows), sum(row.midnight for row in rows)
    dates = midnight if midnight > _FEW * total else 0
    if total - dates <= _FEW * total:
        return Hours(orders=None, without_hour=dates)
    found = {row.hour: row.orders - (row.midnight if dates else 0) for row in rows}
    week = tuple(tuple(found.get(24 * day + hour, 0) for hour in range(24)) for day in range(7))
    return Hours(orders=week, without_hour=dates)
