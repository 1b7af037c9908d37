"""When each customer is due of what goes to everybody, in SQL: at the schedule's time, at their usual hour, or within a
window; spread over a while, and done by `finish_by`.

A zone's offsets around the date stand beside its due time, so that a customer's clock is plain arithmetic: in a DST gap
the first valid moment after it, in an overlap the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnClause,
    ColumnElement,
    Text,
    case,
    cast,
    column,
    literal,
    select,
)

from engine.definitions.campaign import Schedule
from engine.definitions.values import Hours
from engine.planning.due import number_of, seconds_of
from engine.planning.finish import UNITS, Piece
from engine.planning.local_time import DAY
from engine.planning.occurrences import Occurrence
from engine.planning.send_time import width_of
from engine.store.given import given
from engine.store.tables import customers, profiles
from engine.store.zones import offsets_between

_SECOND = timedelta(seconds=1)
_AROUND = timedelta(days=2)  # a window over midnight in the zone that is furthest from UTC


def zone_times(schedule: Schedule, when: Occurrence) -> CTE:
    """The occurrence in each zone, in UTC seconds since 1970: `zone`, `due`; `finish` where there is a `finish_by`;
    `before`, `change`, `after` for a `send_time`: local time is UTC + `before` until `change`, then + `after`."""
    names = ["due"]
    names += ["finish"] if schedule.finish_by is not None else []
    names += ["before", "change", "after"] if schedule.send_time is not None else []
    rows = []
    for zone, moment in sorted(when.due.items()):
        facts: list[Any] = [zone, int(moment.timestamp())]
        if schedule.finish_by is not None:  # in a DST gap both may be its end
            facts.append(int(max(when.finish[zone], moment + _SECOND).timestamp()))
        if schedule.send_time is not None:
            facts += offsets_between(zone, *_days_around(when))
        rows.append(tuple(facts))
    columns: list[ColumnClause[Any]] = [column("zone", Text)]
    columns += [column(name, BigInteger) for name in names]
    return given("zones", columns, rows)


@dataclass(frozen=True, slots=True)
class DueTimes:
    """Of one customer: when it is due, and until when it may go, in UTC seconds since 1970."""

    due: ColumnElement[Any]
    not_after: ColumnElement[Any]


def spread_over(found: Mapping[str, Sequence[Piece]]) -> CTE:
    """The pieces of time of each zone over which a run with a `finish_by` is spread."""
    names = ("low", "high", "start", "seconds")
    rows = [
        (zone, *(getattr(piece, name) for name in names))
        for zone, mine in sorted(found.items())
        for piece in mine
    ]
    columns: list[ColumnClause[Any]] = [column("zone", Text)]
    columns += [column(name, BigInteger) for name in names]
    return given("pieces", columns, rows)


def due_times(
    name: str, schedule: Schedule, when: Occurrence, zones: CTE, pieces: CTE | None = None
) -> DueTimes:
    """Those of each customer, in a query over `customers`, `profiles` and their row of `zones`. `pieces`: of a run with a
    `finish_by`."""
    spread = schedule.spread.seconds if schedule.spread else 0
    base: ColumnElement[Any] = zones.c.due
    if schedule.send_time is not None:
        base = _by_the_customers_clock(name, schedule.send_time, when.day, zones)
    due = base + jitter(name, spread)
    if schedule.finish_by is None or pieces is None:
        return DueTimes(due, due + schedule.expires.seconds)
    evenly = _place_among(name, zones, pieces)
    if schedule.send_time is None and not spread:
        due = evenly
    else:  # whose own hour would come too late has a place among the others
        due = case((due < zones.c.finish, due), else_=evenly)
    last = due + schedule.expires.seconds
    return DueTimes(due, case((last < zones.c.finish, last), else_=zones.c.finish))


def _place_among(name: str, zones: CTE, pieces: CTE) -> ColumnElement[Any]:
    place = _share(name, literal(UNITS, BigInteger))
    within = (place - pieces.c.low) * pieces.c.seconds // (pieces.c.high - pieces.c.low)
    return (
        select(pieces.c.start + within)
        .where(pieces.c.zone == zones.c.zone, pieces.c.low <= place, place < pieces.c.high)
        .correlate(zones, customers)
        .scalar_subquery()
    )


def _by_the_customers_clock(
    name: str, send_time: str | Hours, day: date, zones: CTE
) -> ColumnElement[Any]:
    midnight = literal(number_of(day) * DAY, BigInteger)
    if isinstance(send_time, Hours):
        start = midnight + seconds_of(send_time.start)
        return _utc(start + jitter(name, width_of(send_time)), zones)
    hour = profiles.c.usual_hour
    return case((hour.is_(None), zones.c.due), else_=_utc(midnight + hour * 3600, zones))


def _utc(local: ColumnElement[Any], zones: CTE) -> ColumnElement[Any]:
    early, late = local - zones.c.before, local - zones.c.after
    return case(
        (early < zones.c.change, early), (late < zones.c.change, zones.c.change), else_=late
    )


def jitter(name: str, seconds: int) -> ColumnElement[int]:
    """A customer's own place within so many seconds: stable per customer and campaign."""
    if seconds == 0:
        return literal(0, BigInteger)
    return _share(name, literal(seconds, BigInteger))


def _share(name: str, width: ColumnElement[Any]) -> ColumnElement[int]:
    """A place within a width, by steps of the golden section (Knuth's multiplicative hash, taken from the top): people
    whose ids follow one another lie apart, and any number of them evenly."""
    seed = sum(ord(letter) * 31**place for place, letter in enumerate(name)) % 2**31
    mixed = (cast(customers.c.id, BigInteger) * 2_654_435_761 + seed) % 2**32
    place: ColumnElement[int] = mixed * width // 2**32
    return place


def _days_around(when: Occurrence) -> tuple[datetime, datetime]:
    midnight = datetime.combine(when.day, time(), UTC)
    return midnight - _AROUND, midnight + _AROUND + timedelta(days=1)
