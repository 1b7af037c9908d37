"""Cron expressions: minute, hour, day of the month, month, day of the week; the last by name. Pure.

Crontabs disagree about two things, so both are refused instead of guessed: whether day 0 is Sunday or Monday, and whether
a day of the month and a day of the week must both hold or one of them.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from engine.errors import did_you_mean

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FORM = "minute hour day month weekday"
_PART = re.compile(r"(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:/([0-9]+))?")
_LEAP_YEAR = 2028


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five: its bounds, and the names of its values where it has any (`names_only`: no numbers)."""

    what: str
    low: int
    high: int
    names: Sequence[str] = ()
    names_only: bool = False
    wraps: bool = False


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day of the week", 0, 6, WEEKDAYS, names_only=True, wraps=True),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """When: each field's values in order; `weekdays` 0 is Monday. `text` is as written."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def holds_on(self, day: date) -> bool:
        return day.month in self.months and day.day in self.days and day.weekday() in self.weekdays

    def moments(self, day: date) -> list[datetime]:
        """The wall-clock times of this day, in order.

        >>> [str(moment) for moment in parse_cron("30 9,18 * * mon").moments(date(2026, 11, 9))]
        ['2026-11-09 09:30:00', '2026-11-09 18:30:00']
        """
        if not self.holds_on(day):
            return []
        return [
            datetime.combine(day, time(hour, minute))
            for hour in self.hours
            for minute in self.minutes
        ]


def parse_cron(text: str) -> Cron:
    """`"0 10 * * mon"` → Cron. Raises ValueError with what is wrong and what would be right.

    >>> parse_cron("0 10 * * mon-fri").weekdays == frozenset(range(5))
    True
    """
    parts = text.lower().split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f'{text!r} is not five fields: cron has {_FORM}, as in "0 10 * * mon"')
    if parts[0].startswith("*"):
        raise ValueError(
            f'{text!r} would go out again and again within an hour: name the minute, as in "0 10 * * mon"'
        )
    if parts[2] != "*" and parts[4] != "*":
        raise ValueError(
            f"{text!r} names a day of the month and a day of the week; crontabs disagree whether both"
            " must hold: write * for one of them"
        )
    minutes, hours, days, months, weekdays = (
        _values(field, part) for field, part in zip(_FIELDS, parts, strict=True)
    )
    if min(days) > max(monthrange(_LEAP_YEAR, month)[1] for month in months):
        raise ValueError(f"{text!r} never comes: no such month has {min(days)} days")
    found = (frozenset(days), frozenset(months), frozenset(weekdays))
    return Cron(text, tuple(minutes), tuple(hours), *found)


def _values(field: _Field, written: str) -> list[int]:
    return sorted({value for part in written.split(",") for value in _part(field, part)})


def _part(field: _Field, part: str) -> Sequence[int]:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(
            f"{part!r} stands for no {field.what}; write *, a value, 1-5, 1,3 or */2 with its values"
        )
    first, last, step = match[1], match[2], int(match[3] or 1)
    if first == "*":
        low, high = field.low, field.high
    else:
        low = _value(field, first)
        high = _value(field, last) if last else (field.high if match[3] else low)
    if step < 1 or (first == "*" and last):
        raise ValueError(f"{part!r} stands for no {field.what}: a step is at least 1, as in */2")
    if low > high:
        if not field.wraps:
            raise ValueError(f"{part!r} is empty: {first} comes after {last}")
        return [*range(low, field.high + 1), *range(field.low, high + 1)][::step]
    return range(low, high + 1, step)


def _value(field: _Field, word: str) -> int:
    if word in field.names:
        return field.names.index(word) + field.low
    if field.names_only and word.isdigit():
        raise ValueError(
            f"{word} as a {field.what}: crontabs disagree whether 0 is Sunday or Monday;"
            f" write a name: {', '.join(field.names)}"
        )
    if not word.isdigit():
        hint = did_you_mean(word, field.names) if field.names else ""
        known = f"; known: {', '.join(field.names)}" if field.names and not hint else hint
        raise ValueError(f"{word!r} is no {field.what}{known}")
    number = int(word)
    if not field.low <= number <= field.high:
        raise ValueError(f"{word} is no {field.what}: from {field.low} to {field.high}")
    return number
