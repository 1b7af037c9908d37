"""When something goes out to everybody: each occurrence's text, and its due time in each zone. Pure.

A campaign has one date, or recurs by cron, festival or solar term; a care rule may be about festivals or solar terms. A
recurring time that falls into a DST gap comes at the first valid moment after it, one that comes twice at the first; two
that fall onto one moment are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from engine.clock import from_local
from engine.definitions.campaign import FestiveDays, Schedule
from engine.definitions.cron import Cron
from engine.planning.due import Span
from engine.planning.festivals import days_between
from engine.planning.send_time import finishes, first_and_last

_SLACK = timedelta(days=2)  # no zone is further than this from UTC, a day's rounding included
_FAR = timedelta(days=366 * 8 + 31)
"""What does not come again within this never does: 29 February is at most eight years away."""
_WEEKS = timedelta(days=62)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """`text` is the run's key and every delivery's anchor: its format never changes, or people would get it again.

    `due`: zone → the schedule's time (UTC); a zone for which a DST change made this one with the occurrence before is left
    out. `finish`: zone → `finish_by`. `day`: its date, for what goes by the customer's clock.
    """

    text: str
    due: Mapping[str, datetime]
    day: date
    starts_at: datetime  # when the first customer is due (UTC)
    ends_at: datetime  # when the last one is, `spread` aside
    finish: Mapping[str, datetime]

    @classmethod
    def of(
        cls, schedule: Schedule, text: str, day: date, due: Mapping[str, datetime], shop_zone: str
    ) -> Occurrence:
        """With all that the schedule says of it."""
        first, last = first_and_last(schedule, day, due)
        return cls(text, due, day, first, last, finishes(schedule, shop_zone, due))


def occurrences(
    schedule: Schedule, shop_zone: str, zones: Iterable[str], span: Span
) -> list[Occurrence]:
    """Those that matter: not past `expires` at the span's beginning, starting by its end. A single date always does.

    `zones`: those of the customers; the shop's own is always among them.
    """
    if schedule.recurs is None:
        return [occurrence(schedule, shop_zone, zones)]
    lifetime = schedule.expires.delta + (schedule.spread.delta if schedule.spread else timedelta())
    found = _recurring(schedule, shop_zone, zones, span.earliest - lifetime, span.latest)
    return [
        one
        for one in found
        if one.starts_at <= span.latest and one.ends_at + lifetime > span.earliest
    ]


def next_occurrence(
    schedule: Schedule, shop_zone: str, zones: Iterable[str], now: datetime
) -> Occurrence | None:
    """The first one that has not begun yet; of a single date that one, be it past. None: it never comes again."""
    if schedule.recurs is None:
        return occurrence(schedule, shop_zone, zones)
    zones = [*zones]
    start = now
    while start < now + _FAR:
        for one in _recurring(schedule, shop_zone, zones, start, start + _WEEKS):
            if one.starts_at >= now:
                return one
        start += _WEEKS
    return None


def occurrence(schedule: Schedule, shop_zone: str, zones: Iterable[str] = ()) -> Occurrence:
    """The one occurrence of a date.

    `at:2026-11-09T10:00+08:00`, or without an offset where it means every customer's own ten o'clock.
    """
    names = {*zones, shop_zone}
    assert schedule.at is not None
    if schedule.fixed is not None:
        due = dict.fromkeys(names, schedule.fixed)
        text = _minutes(schedule.at_text)
    else:
        due = _due(schedule, schedule.at, shop_zone, names)
        text = _text(schedule, schedule.at, shop_zone)
    return Occurrence.of(schedule, f"at:{text}", schedule.at.date(), due, shop_zone)


def _recurring(
    schedule: Schedule, shop_zone: str, zones: Iterable[str], low: datetime, high: datetime
) -> Iterator[Occurrence]:
    names, last = {*zones, shop_zone}, dict[str, datetime]()
    first_day, last_day = (low - _SLACK).date(), (high + _SLACK).date()
    for label, wall in _walls(schedule.recurs, first_day, last_day):
        due = _due(schedule, wall, shop_zone, names)
        once = {zone: moment for zone, moment in due.items() if last.get(zone) != moment}
        last = due
        if once:
            text = label or f"cron:{_text(schedule, wall, shop_zone)}"
            yield Occurrence.of(schedule, text, wall.date(), once, shop_zone)


def _walls(
    recurs: Cron | FestiveDays | None, first: date, last: date
) -> Iterator[tuple[str, datetime]]:
    """The wall-clock times from the first day to the last, with their texts; cron's text is its time."""
    if isinstance(recurs, Cron):
        for count in range((last - first).days + 1):
            for wall in recurs.moments(first + timedelta(days=count)):
                yield "", wall
    elif recurs is not None:
        shift = timedelta(days=recurs.offset)
        days = [
            (day, f"{recurs.prefix}:{year}-{festival.slug}")
            for festival in recurs.festivals
            for year, day in days_between(festival, first - shift, last - shift)
        ]
        for day, label in sorted(days):
            yield label, datetime.combine(day + shift, recurs.time)


def _due(
    schedule: Schedule, wall: datetime, shop_zone: str, names: set[str]
) -> dict[str, datetime]:
    if schedule.per_customer:
        return {name: from_local(wall, name) for name in names}
    return dict.fromkeys(names, from_local(wall, schedule.zone or shop_zone))


def _text(schedule: Schedule, wall: datetime, shop_zone: str) -> str:
    """`2026-11-09T10:00+08:00`; without an offset where each customer's own clock is meant."""
    if schedule.per_customer:
        return f"{wall:%Y-%m-%dT%H:%M}"
    zone = schedule.zone or shop_zone
    offset = from_local(wall, zone).astimezone(ZoneInfo(zone)).isoformat()[-6:]
    return f"{wall:%Y-%m-%dT%H:%M}{offset}"


def _minutes(text: str) -> str:
    """`2026-11-09T10:00:00+08:00` → `2026-11-09T10:00+08:00`, `Z` kept as `+00:00`."""
    moment = datetime.fromisoformat(text)
    return moment.isoformat(timespec="minutes")
