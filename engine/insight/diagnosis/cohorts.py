"""Do they stay: customers by the quarter of their first purchase, and the share who bought in each quarter after it."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

from sqlalchemy import Connection, distinct, func, select

from engine.insight.diagnosis.figures import Cohort, Cohorts
from engine.insight.diagnosis.purchases import calendar, month_of, purchases, start_of_month

_FEWEST = 3
"""With fewer quarters than this of first purchases, months show more."""


def cohorts(connection: Connection, today: date) -> Cohorts:
    """The first comers first; each row reaches to the quarter (or month) of `today`."""
    firsts = (
        connection.execute(
            select(calendar.c.month)
            .join(purchases, purchases.c.day == calendar.c.day)
            .where(purchases.c.place == 1)
            .distinct()
        )
        .scalars()
        .all()
    )
    length = 3 if len({month // 3 for month in firsts}) >= _FEWEST else 1
    counts = _counted(connection, length)
    last = month_of(today) // length
    return Cohorts(
        unit="quarter" if length == 3 else "month",
        rows=tuple(_cohort(first, counts[first], last, length) for first in sorted(counts)),
    )


def _counted(connection: Connection, length: int) -> dict[int, dict[int, int]]:
    """Customers who bought, by the period of their first purchase and by how many periods later."""
    then, now = calendar.alias("first_days"), calendar.alias("days")
    first = (then.c.month // length).label("first")
    later = (now.c.month // length - then.c.month // length).label("later")
    number = func.count(distinct(purchases.c.customer_id)).label("number")
    question = (
        select(first, later, number)
        .select_from(
            purchases.join(then, then.c.day == purchases.c.first_day).join(
                now, now.c.day == purchases.c.day
            )
        )
        .group_by(first, later)
    )
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for row in connection.execute(question):
        found[row.first][row.later] = row.number
    return found


def _cohort(first: int, counts: dict[int, int], last: int, length: int) -> Cohort:
    active = tuple(counts.get(later, 0) for later in range(1, last - first + 1))
    return Cohort(
        start=start_of_month(first * length),
        customers=counts[0],
        active=active,
        retention=tuple(number / counts[0] for number in active),
    )
