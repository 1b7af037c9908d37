"""Who brings the money: new customers or old ones, by month and quarter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from engine.insight.diagnosis.figures import Period, Revenue, share
from engine.insight.diagnosis.purchases import day_of, month_of, purchases, start_of_month


@dataclass(slots=True)
class _Sum:
    orders: int = 0
    new_customers: int = 0
    amount: int = 0
    old_amount: int = 0


def revenue(connection: Connection) -> Revenue:
    """Sums of completed orders. A customer is old from the day after his first purchase on."""
    p = purchases.c
    is_new = p.place == 1
    rows = connection.execute(
        select(
            p.day,
            func.sum(p.orders),
            func.count(case((is_new, 1))),
            func.sum(p.amount),
            func.sum(case((is_new, 0), else_=p.amount)),
        ).group_by(p.day)
    ).all()
    by_day = [
        (month_of(day_of(day)), _Sum(*(int(figure) for figure in figures)))
        for day, *figures in rows
    ]
    amount, old = sum(s.amount for _, s in by_day), sum(s.old_amount for _, s in by_day)
    return Revenue(
        amount=amount,
        old_amount=old,
        old_share=share(old, amount),
        months=_periods(by_day, 1),
        quarters=_periods(by_day, 3),
    )


def _periods(by_day: Sequence[tuple[int, _Sum]], length: int) -> tuple[Period, ...]:
    sums: dict[int, _Sum] = {}
    for month, day in by_day:
        total = sums.setdefault(month // length, _Sum())
        total.orders += day.orders
        total.new_customers += day.new_customers
        total.amount += day.amount
        total.old_amount += day.old_amount
    return tuple(_period(number * length, sums.get(number, _Sum())) for number in _span(sums))


def _span(numbers: Iterable[int]) -> range:
    found = list(numbers)
    return range(min(found), max(found) + 1) if found else range(0)


def _period(month: int, total: _Sum) -> Period:
    return Period(
        start=start_of_month(month),
        orders=total.orders,
        new_customers=total.new_customers,
        amount=total.amount,
        old_amount=total.old_amount,
        old_share=share(total.old_amount, total.amount),
    )
