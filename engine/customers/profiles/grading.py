"""RFM: what recency, frequency and money score, what the scores are worth, and which days they are counted from.

Pure: `profile` asks the same in SQL for all customers at once. All bounds are days of the shop's zone, inclusive.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from engine.clock import from_local
from engine.definitions.policy import Bands, Grading


@dataclass(frozen=True, slots=True)
class Scores:
    """1 to 5 each, `value` weighs them up, `grade` is None where the value is below every grade."""

    r: int
    f: int
    m: int
    value: int
    grade: str | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """The moments that an evaluation compares orders with.

    `period`: the first of the grading period. `recency`: from these on a last order scores 5, 4, 3, 2.
    `newcomers`: a first completed order from then on came after the last yearly evaluation.
    """

    period: datetime
    recency: tuple[datetime, ...]
    newcomers: datetime


def months_back(day: date, months: int) -> date:
    """The same day so many calendar months earlier, or that month's last day.

    >>> months_back(date(2026, 3, 31), 1)
    datetime.date(2026, 2, 28)
    >>> months_back(date(1998, 6, 30), 12)
    datetime.date(1997, 6, 30)
    """
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))


def last_evaluation(day: date, evaluated_on: tuple[int, int]) -> date:
    """The last yearly evaluation up to and including `day`; one set on 29 February falls on the 28th otherwise.

    >>> last_evaluation(date(1998, 6, 30), (1, 1))
    datetime.date(1998, 1, 1)
    >>> last_evaluation(date(1998, 6, 30), (11, 11))
    datetime.date(1997, 11, 11)
    """
    this_year = _evaluation(day.year, evaluated_on)
    return this_year if this_year <= day else _evaluation(day.year - 1, evaluated_on)


def _evaluation(year: int, evaluated_on: tuple[int, int]) -> date:
    month, day = evaluated_on
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def bounds(grading: Grading, now: datetime, zone: str) -> Bounds:
    """The bounds of an evaluation at `now` (aware) in the shop's zone."""
    today = now.astimezone(ZoneInfo(zone)).date()
    evaluated = last_evaluation(today, grading.evaluated_on)
    return Bounds(
        period=_start_of(months_back(today, grading.period_months), zone),
        recency=tuple(
            _start_of(months_back(today, months), zone) for months in grading.bands.recency_months
        ),
        newcomers=_start_of(evaluated + timedelta(days=1), zone),
    )


def _start_of(day: date, zone: str) -> datetime:
    return from_local(datetime.combine(day, time()), zone)


def score_recency(last: date, today: date, bands: Bands) -> int:
    """5 for a last order within a month of `today` … 1 for an older one.

    >>> score_recency(date(2026, 2, 28), date(2026, 3, 31), Bands())
    5
    >>> score_recency(date(2026, 2, 27), date(2026, 3, 31), Bands())
    4
    """
    for score, months in zip((5, 4, 3, 2), bands.recency_months, strict=True):
        if last >= months_back(today, months):
            return score
    return 1


def score_frequency(orders: int, bands: Bands) -> int:
    """5 for six completed orders in the period … 1 for one.

    >>> [score_frequency(orders, Bands()) for orders in (1, 2, 3, 5, 6)]
    [1, 2, 3, 4, 5]
    """
    return _score(Decimal(orders), [Decimal(bound) for bound in bands.frequency])


def score_money(money: Decimal, bands: Bands) -> int:
    """5 for an average order (or a total) of 2,000 … 1 below 300. Bands meet without a gap.

    >>> score_money(Decimal("299.50"), Bands()), score_money(Decimal("1999.99"), Bands())
    (1, 4)
    """
    return _score(money, list(bands.monetary))


def _score(value: Decimal, lower_bounds: list[Decimal]) -> int:
    for score, bound in zip((5, 4, 3, 2), lower_bounds, strict=True):
        if value >= bound:
            return score
    return 1


def score(grading: Grading, last: date, today: date, orders: int, total: Decimal) -> Scores:
    """Score one customer with at least one completed order in the period; `total` in units of the currency.

    The worked case of the trade: last order two months ago, 5 orders, 300 each.

    >>> worked = (date(2026, 3, 1), date(2026, 5, 1), 5, Decimal(1500))
    >>> score(Grading(), *worked)
    Scores(r=4, f=4, m=2, value=24, grade='S')
    >>> score(Grading(monetary="total"), *worked)
    Scores(r=4, f=4, m=4, value=32, grade='G')
    """
    r = score_recency(last, today, grading.bands)
    f = score_frequency(orders, grading.bands)
    m = score_money(total if grading.monetary == "total" else total / orders, grading.bands)
    value = sum(weight * each for weight, each in zip(grading.weights, (r, f, m), strict=True))
    return Scores(r, f, m, value, grade_of(value, grading))


def grade_of(value: int, grading: Grading) -> str | None:
    """The first grade whose lower bound the value reaches.

    >>> [grade_of(value, Grading()) for value in (40, 36, 35, 26, 25, 17, 16, 1)]
    ['P', 'P', 'G', 'G', 'S', 'S', 'B', 'B']
    """
    return next((name for name, least in grading.grades if value >= least), None)
