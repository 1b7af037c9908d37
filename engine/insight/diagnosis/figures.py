"""What a diagnosis consists of: the figures of each chapter. The names of the fields are the keys of the JSON document.

Shares are between 0 and 1, None where there is nothing to take a share of; money is whole numbers of the smallest unit
of the shop's currency; days are days of the shop's clock. Only completed orders up to `at` count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeFigures:
    """Customers of one grade, their share of all who have a grade, and what they spent in the grading period.

    `grade` is None, and there are no shares, for those without a completed order in the period.
    """

    grade: str | None
    customers: int
    share: float | None
    amount: int
    amount_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RfmCell:
    """Customers with these scores of recency and frequency; shares are of all scored customers and of their amount."""

    r: int
    f: int
    customers: int
    share: float
    amount: int
    amount_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who the customers are. `ordering`: those who ever completed an order; `period_amount`: of the grading period.

    `recency_months`, `frequency`: the bounds of the scores 5, 4, 3, 2 in the grid, as the policy has them.
    """

    total: int
    ordering: int
    classes: Mapping[str, int]
    stages: Mapping[str, int]
    dormant_after_days: int
    period_months: int
    period_amount: int
    grades: tuple[GradeFigures, ...]
    recency_months: tuple[int, ...]
    frequency: tuple[int, ...]
    rfm: tuple[RfmCell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """`name` is None for those whose province or city is not known; `amount` is of a lifetime."""

    name: str | None
    customers: int
    orders: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """`…_known`: customers whose province, city is known. Both lists: most customers first, the unknown last."""

    provinces_known: int
    cities_known: int
    provinces: tuple[Region, ...]
    cities: tuple[Region, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Orders by weekday (Monday first) and hour in the shop's zone; None where the data hold dates without hours.

    `without_hour`: orders that have only a date (they stand at midnight to the second) and are in no cell.
    """

    orders: tuple[tuple[int, ...], ...] | None
    without_hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """The share that came back within so many days; `at_risk`: how many were watched for that long."""

    days: int
    share: float
    at_risk: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repurchase:
    """How soon a purchase is followed by the next one, by the estimate of Kaplan and Meier (`curves`).

    `within`: the share at 30, 60, … days, None beyond what was watched. `median_days`: after so many days half of all
    have come back; None where fewer ever did. `returned_median_days`: the median wait of those who did come back;
    `returned_days`: the days within which half, and nine in ten, of them did.
    """

    purchases: int
    returned: int
    within: Mapping[int, float | None]
    median_days: int | None
    returned_median_days: float | None
    returned_days: tuple[int, int] | None
    curve: tuple[Return, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Customers who made their n-th purchase, the share of them who made one more, and after how many days (median).

    `purchase` 0: all customers; there only where some are prospects, and without days.
    """

    purchase: int
    customers: int
    went_on: int
    share: float | None
    median_days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Customers by the time of their first purchase. `retention`: the share of them who bought in the 1st, 2nd, …
    month or quarter after it; the last one of each row is not over yet."""

    start: date
    customers: int
    active: tuple[int, ...]
    retention: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohorts:
    """`unit`: quarter, or month where all customers came within two quarters."""

    unit: str
    rows: tuple[Cohort, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """A category or brand: completed orders with it, what its items cost, its buyers, and the share of them who
    bought it on more than one day."""

    name: str
    orders: int
    customers: int
    quantity: int
    amount: int
    repeat_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A month or quarter: what was sold, and how much of it to customers who had bought on an earlier day."""

    start: date
    orders: int
    new_customers: int
    amount: int
    old_amount: int
    old_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revenue:
    """All that was ever sold, and by month and quarter, without gaps."""

    amount: int
    old_amount: int
    old_share: float | None
    months: tuple[Period, ...]
    quarters: tuple[Period, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What the figures call for: a code, and what it is derived from."""

    code: str
    figures: Mapping[str, int | str | tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All chapters. `other_currencies`: completed orders in those; they count as orders, and no amount holds them. `since`, `until`: days of the first and last completed order, None without any."""

    at: datetime
    timezone: str
    currency: str
    other_currencies: Mapping[str, int]
    since: date | None
    until: date | None
    people: People
    regions: Regions
    hours: Hours
    repurchase: Repurchase
    second: Repurchase
    steps: tuple[Step, ...]
    cohorts: Cohorts
    categories: tuple[Goods, ...]
    brands: tuple[Goods, ...]
    revenue: Revenue
    reach: Mapping[str, Mapping[str, int]]
    advice: tuple[Advice, ...]


def share(part: int, whole: int) -> float | None:
    """A share between 0 and 1; None of nothing."""
    return part / whole if whole else None
