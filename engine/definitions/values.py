"""Small values that YAML spells as text: durations, sizes of windows, times of day."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Literal

ID = r"[a-z0-9-]{1,100}"
"""Of a file, a step, a variant."""
_DURATION = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
STATUSES = ("placed", "paid", "shipped", "arrived", "received", "refunded", "closed")
"""Of an order, from first to last."""
_OFFSET = re.compile(r"([+-]?)(\d{1,3})d")
MAX_OFFSET = 180
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Duration:
    """`30s 15m 2h 7d`. In a frequency cap days are the customer's calendar days; elsewhere a day is 24 hours."""

    amount: int
    unit: Literal["s", "m", "h", "d"]

    @property
    def delta(self) -> timedelta:
        return timedelta(seconds=self.seconds)

    @property
    def seconds(self) -> int:
        return self.amount * _SECONDS[self.unit]

    @property
    def is_days(self) -> bool:
        return self.unit == "d"

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"


def parse_duration(text: str) -> Duration:
    """`7d` → Duration(7, "d"). Raises ValueError for anything else.

    >>> parse_duration("15m").seconds
    900
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"{text!r} is not a duration; write a whole number and s, m, h or d, as in 7d"
        )
    return Duration(int(match[1]), match[2])  # type: ignore[arg-type]


def parse_offset(text: str) -> int:
    """`-7d` → -7: days before a day, or after it. Raises ValueError for anything else.

    >>> parse_offset("-7d")
    -7
    """
    match = _OFFSET.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"{text!r} is not an offset in days; write -7d for a week before, 3d for three days after"
        )
    days = int(match[2])
    if days > MAX_OFFSET:
        raise ValueError(f"{text} is out of range: from -{MAX_OFFSET}d to {MAX_OFFSET}d")
    return -days if match[1] == "-" else days


def parse_time(text: str) -> time:
    """`"08:30"` → time(8, 30). Raises ValueError; 24:00 is written 00:00.

    >>> parse_time("08:30")
    datetime.time(8, 30)
    """
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f'{text!r} is not a time of day; write it quoted with two digits each, as in "08:30"'
        )
    return time(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class Hours:
    """A daily window, `"20:00-08:00"`: from the start inclusive to the end exclusive, over midnight if it must."""

    start: time
    end: time

    def holds(self, moment: time) -> bool:
        """
        >>> parse_hours("20:00-08:00").holds(time(23, 30))
        True
        >>> parse_hours("20:00-08:00").holds(time(8, 0))
        False
        """
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


def parse_hours(text: str) -> Hours:
    """`"20:00-08:00"` → Hours. The order is kept as written: it is never swapped. Raises ValueError."""
    start, dash, end = text.partition("-") if isinstance(text, str) else ("", "", "")
    if not dash:
        raise ValueError(f'{text!r} is not a window of hours; write it as in "20:00-08:00"')
    hours = Hours(parse_time(start.strip()), parse_time(end.strip()))
    if hours.start == hours.end:
        raise ValueError(f"{text!r} is empty: it starts when it ends")
    return hours
