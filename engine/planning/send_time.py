"""The first and the last moment of what goes to everybody, by the schedule's `send_time` and `finish_by`. Pure.

Usual hours and windows are on the customer's own clock, on the occurrence's date.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta

from engine.clock import from_local
from engine.definitions.campaign import Schedule
from engine.definitions.values import Hours
from engine.planning.local_time import DAY

USUAL_HOUR = "usual_hour"


def width_of(hours: Hours) -> int:
    """How many seconds a window lasts, over midnight if it must.

    >>> from engine.definitions.values import parse_hours
    >>> width_of(parse_hours("23:00-01:30"))
    9000
    """
    start, end = (moment.hour * 3600 + moment.minute * 60 for moment in (hours.start, hours.end))
    return (end - start) % DAY


def first_and_last(
    schedule: Schedule, day: date, due: Mapping[str, datetime]
) -> tuple[datetime, datetime]:
    """When the first customer may be due, and the last one, `spread` aside. `due`: the schedule's time in each zone."""
    send_time, moments = schedule.send_time, due.values()
    if isinstance(send_time, Hours):
        start = datetime.combine(day, send_time.start)
        end = start + timedelta(seconds=width_of(send_time))
        return min(_in_zones(start, due)), max(_in_zones(end, due))
    if send_time == USUAL_HOUR:
        first, last = (_in_zones(datetime.combine(day, time(hour)), due) for hour in (0, 23))
        return min(*first, *moments), max(*last, *moments)
    return min(moments), max(moments)


def finishes(schedule: Schedule, shop_zone: str, zones: Iterable[str]) -> dict[str, datetime]:
    """`finish_by` in each zone (UTC), as its date is; empty without it."""
    finish = schedule.finish_by
    if finish is None:
        return {}
    if finish.tzinfo is not None:
        return dict.fromkeys(zones, finish)
    if schedule.per_customer:
        return {zone: from_local(finish, zone) for zone in zones}
    return dict.fromkeys(zones, from_local(finish, schedule.zone or shop_zone))


def _in_zones(wall: datetime, zones: Iterable[str]) -> list[datetime]:
    return [from_local(wall, zone) for zone in zones]
