"""Public holidays of a country and the weekend days that are worked instead, from the package `holidays`.

Its data are those that a government has announced; years that it has not announced yet hold the days that the law fixes,
without any that are moved. Loaded only where a rule names a country: it takes half a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from engine.errors import did_you_mean

CHINA = "CN"
_DAY = timedelta(days=1)


def country(written: str) -> str:
    """`CN` if it is a country whose holidays are known; else a ValueError with the nearest one."""
    from holidays import list_supported_countries

    known = {code for code in list_supported_countries() if len(code) == 2}
    if written not in known:
        hint = did_you_mean(written, known)
        raise ValueError(f"{written!r} is no country whose holidays are known; write a code such as CN{hint}")  # fmt: skip
    return written


def is_holiday(code: str, day: date) -> bool:
    """Whether the day is free by law. In China with the weekend that a holiday joins (国庆 2025: 1 to 8 October, the
    weekend of the 4th too).

    >>> [is_holiday("CN", date(2025, 10, day)) for day in (1, 4, 8, 9, 11)]
    [True, True, True, False, False]
    """
    return day in _holidays(code, day.year)


def is_worked(code: str, day: date) -> bool:
    """Whether it is a weekend day that is worked instead of another (调休补班).

    >>> is_worked("CN", date(2025, 10, 11)), is_worked("CN", date(2025, 10, 18))
    (True, False)
    """
    return day in _worked(code, day.year)


@lru_cache(maxsize=64)
def _holidays(code: str, year: int) -> frozenset[date]:
    named = {day for near in (year - 1, year, year + 1) for day in _of(code, near)}
    if code == CHINA:
        named |= {day for holiday in set(named) for day in _joined(code, holiday, named)}
    return frozenset(day for day in named if day.year == year)


def _joined(code: str, holiday: date, named: set[date]) -> Iterator[date]:
    """The weekend days next to a holiday, before and after it, with nothing between that is worked."""
    for step in (-_DAY, _DAY):
        day = holiday + step
        while day in named or (day.weekday() >= 5 and not is_worked(code, day)):
            yield day
            day += step


@lru_cache(maxsize=64)
def _worked(code: str, year: int) -> frozenset[date]:
    return frozenset(_of(code, year).weekend_workdays)


@lru_cache(maxsize=64)
def _of(code: str, year: int) -> Any:
    from holidays import country_holidays

    return country_holidays(code, years=year, expand=False)
