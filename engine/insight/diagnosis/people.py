"""Who the customers are: class, stage of the life cycle, grade, and the grid of recency and frequency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, select

from engine.audience.malicious import class_of_customer
from engine.customers.profiles.stages import STAGES, stage
from engine.definitions.policy import Policy
from engine.insight.diagnosis.figures import GradeFigures, People, RfmCell, share
from engine.store.tables import customers, profiles

CLASSES = ("new", "active", "lapsed", "unsold", "prospect", "malicious")
_Rows = Sequence[Row[*tuple[Any, ...]]]


def people(connection: Connection, policy: Policy, now: datetime) -> People:
    """The profiles counted in one pass; they must be fresh."""
    rows = connection.execute(_question(policy, now)).all()
    classes, stages = _counted(rows, "class_"), _counted(rows, "stage")
    return People(
        total=sum(row.customers for row in rows),
        ordering=sum(row.ordering for row in rows),
        classes=_sorted(classes, CLASSES),
        stages=_sorted(stages, STAGES),
        dormant_after_days=policy.dormant_after.delta.days,
        period_months=policy.grading.period_months,
        period_amount=sum(int(row.amount) for row in rows),
        grades=_grades(rows, [name for name, _ in policy.grading.grades]),
        recency_months=policy.grading.bands.recency_months,
        frequency=policy.grading.bands.frequency,
        rfm=_grid(rows),
    )


def _question(policy: Policy, now: datetime) -> Any:
    p = profiles.c
    # A profile that was never evaluated since stages are kept has none.
    kept = func.coalesce(p.stage, stage(p.orders, p.last_order_at, policy, now)).label("stage")
    keys = (class_of_customer().label("class_"), kept, p.grade, p.r, p.f)
    counted = select(
        *keys,
        func.count().label("customers"),
        func.count(case((p.orders > 0, 1))).label("ordering"),
        func.sum(p.period_amount).label("amount"),
    )
    return counted.join_from(profiles, customers).group_by(*keys)


def _counted(rows: _Rows, name: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in rows:
        found[getattr(row, name)] += row.customers
    return found


def _sorted(found: Counter[str], known: Sequence[str]) -> dict[str, int]:
    """The known names that occur in their own order, then what else there is."""
    names = [name for name in known if found[name]]
    return {name: found[name] for name in [*names, *sorted(set(found) - set(known))]}


def _grades(rows: _Rows, names: Sequence[str]) -> tuple[GradeFigures, ...]:
    counts: Counter[str | None] = Counter()
    amounts: Counter[str | None] = Counter()
    for row in rows:
        counts[row.grade] += row.customers
        amounts[row.grade] += int(row.amount)
    graded, money = counts.total() - counts[None], amounts.total()
    return tuple(
        GradeFigures(
            grade=name,
            customers=counts[name],
            share=share(counts[name], graded) if name else None,
            amount=amounts[name],
            amount_share=share(amounts[name], money) if name else None,
        )
        for name in [*names, None]
    )


def _grid(rows: _Rows) -> tuple[RfmCell, ...]:
    """All 25 cells, the freshest and most frequent last; empty where nobody is scored."""
    counts: Counter[tuple[int, int]] = Counter()
    amounts: Counter[tuple[int, int]] = Counter()
    for row in rows:
        if row.r is not None:
            counts[row.r, row.f] += row.customers
            amounts[row.r, row.f] += int(row.amount)
    scored, money = counts.total(), amounts.total()
    if not scored:
        return ()
    return tuple(
        RfmCell(
            r=r,
            f=f,
            customers=counts[r, f],
            share=counts[r, f] / scored,
            amount=amounts[r, f],
            amount_share=share(amounts[r, f], money),
        )
        for r in range(1, 6)
        for f in range(1, 6)
    )
