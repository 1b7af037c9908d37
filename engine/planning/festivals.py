"""When festivals, solar terms and days of the lunar calendar are, as dates. Pure.

The Chinese calendar is that of China, whoever keeps a day of it: 七夕 is the same date in New York. Its tables reach from
1900 to 2100; beyond them nothing happens. A lunar festival counts to its lunar year (除夕 of 2026 is on 2027-02-05): of
solar years some have two 腊八 and others none.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from borax.calendars.lunardate import (
    MAX_SOLAR_DATE,
    MIN_SOLAR_DATE,
    LCalendars,
    LunarDate,
    TermUtils,
)

from engine.definitions.festivals import Festival, Lunar, Solar, Term, Weekday

FIRST_YEAR, LAST_YEAR = 1901, 2099
_WEEK = 7


class LunarDay(NamedTuple):
    """A date in the lunar calendar. `is_last`: the last day of its month, which has 29 or 30."""

    year: int
    month: int
    day: int
    in_leap_month: bool
    is_last: bool


@lru_cache(maxsize=2048)
def date_of(festival: Festival, year: int) -> date | None:
    """The date of this year's festival; None beyond the tables.

    >>> from engine.definitions.festivals import festival
    >>> date_of(festival("七夕"), 2026)
    datetime.date(2026, 8, 19)
    """
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    rule = festival.rule
    if isinstance(rule, Solar):
        return date(year, rule.month, rule.day)
    if isinstance(rule, Weekday):
        return _weekday(rule, year)
    if isinstance(rule, Term):
        found: date = TermUtils.nth_term_day(year, rule.index)
        return found
    return _lunar(rule, year)


def days_between(festival: Festival, first: date, last: date) -> list[tuple[int, date]]:
    """The festival's years and dates from the first day to the last, both included."""
    years = range(first.year - 1, last.year + 1)
    found = ((year, date_of(festival, year)) for year in years)
    return [(year, day) for year, day in found if day is not None and first <= day <= last]


@lru_cache(maxsize=4096)
def lunar_day(day: date) -> LunarDay | None:
    """The date in the lunar calendar; None beyond the tables.

    >>> lunar_day(date(2025, 7, 25))
    LunarDay(year=2025, month=6, day=1, in_leap_month=True, is_last=False)
    """
    if not MIN_SOLAR_DATE <= day < MAX_SOLAR_DATE:
        return None
    lunar, following = (LunarDate.from_solar(moment) for moment in (day, day + timedelta(days=1)))
    return LunarDay(lunar.year, lunar.month, lunar.day, bool(lunar.leap), following.day == 1)


def _lunar(rule: Lunar, year: int) -> date:
    """Never in a leap month: festivals are kept in the month before it."""
    day = rule.day or LCalendars.ndays(year, rule.month)
    found: date = LunarDate(year, rule.month, day).to_solar_date()
    return found


def _weekday(rule: Weekday, year: int) -> date:
    first = date(year, rule.month, 1)
    ahead = (rule.weekday - first.weekday()) % _WEEK + (rule.nth - 1) * _WEEK
    return first + timedelta(days=ahead + rule.later)
