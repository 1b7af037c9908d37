"""The edge where time is read. The domain takes `now` as an argument and never looks here for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from engine.errors import UsageError, did_you_mean

OFFSET_VARIABLE = "YANSHU_CLOCK_OFFSET"
"""Seconds by which a process's clock is ahead; how `up --now` reaches the processes that it starts."""

_FIRST_YEAR, _LAST_YEAR = 1900, 2199  # as of imports: periods before and after it are dates still


@dataclass(frozen=True, slots=True)
class Clock:
    """The system's clock, shifted by `offset` (rehearsals and demos live at another date)."""

    offset: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    @classmethod
    def starting_at(cls, now: datetime) -> Clock:
        """A clock that reads `now` at this moment and goes on from there."""
        return cls(check_aware(now) - datetime.now(UTC))

    @classmethod
    def from_environment(cls) -> Clock:
        return cls(timedelta(seconds=float(os.environ.get(OFFSET_VARIABLE, "0"))))


def check_aware(moment: datetime) -> datetime:
    """Refuse a naive datetime at the door; hand back the same instant in UTC."""
    if moment.tzinfo is None:
        raise ValueError(f"naive datetime {moment!r}: every moment carries its zone")
    return moment.astimezone(UTC)


def parse_moment(text: str, zone: str) -> datetime:
    """An ISO 8601 text as a UTC datetime; one without an offset is in `zone`.

    >>> parse_moment("2026-11-09T10:00", "Asia/Shanghai").isoformat()
    '2026-11-09T02:00:00+00:00'
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{text!r} is not a date or time; write 2026-11-09T10:00+08:00") from None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise UsageError(f"{text!r} is not of the years {_FIRST_YEAR} to {_LAST_YEAR}")
    if moment.tzinfo is None:
        return from_local(moment, zone)
    return moment.astimezone(UTC)


def from_local(naive: datetime, zone: str) -> datetime:
    """A wall-clock time in `zone` as UTC: in a DST gap the first valid moment after it, in an overlap the first.

    >>> from_local(datetime(2026, 3, 29, 2, 30), "Europe/Berlin").isoformat()
    '2026-03-29T01:00:00+00:00'
    """
    info = ZoneInfo(zone)
    early = naive.replace(tzinfo=info, fold=0)
    utc = early.astimezone(UTC)
    if utc.astimezone(info).replace(tzinfo=None) == naive.replace(fold=0):
        return utc
    return _end_of_gap(naive, info)


def _end_of_gap(naive: datetime, info: ZoneInfo) -> datetime:
    before = naive.replace(tzinfo=info, fold=0).utcoffset()
    after = naive.replace(tzinfo=info, fold=1).utcoffset()
    assert before is not None and after is not None
    # In a gap fold=0 carries the offset before it and fold=1 the one after; the gap opens where both agree.
    low, high = (naive - after).replace(tzinfo=UTC), (naive - before).replace(tzinfo=UTC)
    low, high = min(low, high), max(low, high)
    start = low.astimezone(info).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(info).utcoffset() == start:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every IANA zone that this machine knows."""
    return frozenset(available_timezones())


def check_zone(name: str) -> str:
    """The zone's name if it is known; else a `ValueError` with the nearest one."""
    if name not in zone_names():
        raise ValueError(f"unknown time zone {name!r}{did_you_mean(name, zone_names())}")
    return name
