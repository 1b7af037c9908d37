"""The one question behind profiles: every customer's counts, sums, scores, grade, class and stage, in SQL.

All arithmetic on dates was done before, in `grading`; here moments and whole amounts are only compared, so that both
databases agree to the last customer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    null,
    select,
)

from engine.audience.money import as_ratio
from engine.audience.scope import COMPLETED
from engine.customers.profiles.counted import counted
from engine.customers.profiles.grading import bounds
from engine.customers.profiles.kept import fingerprint
from engine.customers.profiles.stages import asleep_before, stage_of
from engine.customers.profiles.tally import tallies
from engine.definitions.policy import Grading, Policy, Stages
from engine.store.tables import customers, orders, profiles
from engine.store.types import Moment

_SCORES = (5, 4, 3, 2)
HABITS = (
    "province", "city", "usual_hour", "usual_hour_confidence", "cycle_seconds",
    "category_points", "brand_points",
)  # fmt: skip
COLUMNS = tuple(column for column in profiles.c if column.name not in HABITS)
"""The columns of profiles in the order in which `evaluate` gives them."""
_NOW, _ASLEEP = bindparam("now", type_=Moment()), bindparam("asleep", type_=Moment())
_PERIOD, _NEWCOMERS = (
    bindparam("period", type_=Moment()),
    bindparam("newcomers", type_=Moment()),
)
_RECENCY = tuple(bindparam(f"recency{score}", type_=Moment()) for score in _SCORES)


class Rules(NamedTuple):
    """What of a policy decides how the question is put; a question that was put is kept."""

    grading: Grading
    currency: str
    stages: Stages

    @classmethod
    def of(cls, policy: Policy) -> Rules:
        return cls(policy.grading, policy.prices.currency, policy.stages)


def moments(policy: Policy, now: datetime) -> dict[str, datetime]:
    """The parameters of the question."""
    limits = bounds(policy.grading, now, policy.timezone)
    recency = zip([one.key for one in _RECENCY], limits.recency, strict=True)
    return {
        "now": now, "asleep": asleep_before(policy, now), "period": limits.period,
        "newcomers": limits.newcomers, **dict(recency),
    }  # fmt: skip


@lru_cache(maxsize=32)
def evaluate(rules: Rules, chosen: Select[Any] | None = None) -> Select[Any]:
    """One row per customer, shaped as COLUMNS: of all, whose orders are in `counted` already, or of the chosen, whose
    orders are added up in `tallies`. The moments that it compares with are parameters: see `moments`."""
    if chosen is None:
        counts, last = _counted(), _last_orders()
    else:
        counts, last = _tallied(), _last_tallied()
    valued = _valued(_scored(counts, rules), rules)
    values: tuple[ColumnElement[Any], ...] = (
        customers.c.id,
        func.coalesce(valued.c.orders, 0),
        func.coalesce(valued.c.amount, 0),
        valued.c.first_order_at,
        valued.c.last_order_at,
        last.c.order_id,
        func.coalesce(valued.c.period_orders, 0),
        func.coalesce(valued.c.period_amount, 0),
        valued.c.r,
        valued.c.f,
        valued.c.m,
        valued.c.value,
        _grade(valued, rules),
        _class(valued),
        stage_of(valued.c.orders, valued.c.last_order_at, rules.stages, _ASLEEP),
        func.coalesce(valued.c.counted_to, 0),
        func.coalesce(valued.c.counted_sum, 0),
        _NOW,
    )
    named = [value.label(column.name) for value, column in zip(values, COLUMNS, strict=True)]
    question = select(*named).select_from(
        customers.outerjoin(valued, valued.c.customer_id == customers.c.id).outerjoin(
            last, last.c.customer_id == customers.c.id
        )
    )
    return question if chosen is None else question.where(customers.c.id.in_(chosen))


def _counted() -> Subquery:
    """Completed orders per customer; who has none is not there."""
    o = counted.c
    recent = o.placed_at >= _PERIOD
    return (
        select(
            o.customer_id,
            func.count().label("orders"),
            func.sum(o.amount).label("amount"),
            func.min(o.placed_at).label("first_order_at"),
            func.max(o.placed_at).label("last_order_at"),
            func.count(case((recent, 1))).label("period_orders"),
            func.coalesce(func.sum(case((recent, o.amount))), 0).label("period_amount"),
            func.max(o.order_id).label("counted_to"),
            func.sum(fingerprint(o.order_id, o.placed_at)).label("counted_sum"),
        )
        .group_by(o.customer_id)
        .subquery("counts")
    )


def _tallied() -> Subquery:
    """The same of few customers."""
    t = tallies.c
    columns = (
        t.customer_id, t.orders, t.amount, t.first_order_at, t.last_order_at, t.period_orders, t.period_amount,
        t.counted_to, t.counted_sum,
    )  # fmt: skip
    return select(*columns).where(t.orders > 0).subquery("counts")


def _scored(counts: Subquery, rules: Rules) -> CTE:
    c = counts.c
    bands = rules.grading.bands
    scored = select(
        *c,
        _score(c, [c.last_order_at >= bound for bound in _RECENCY]).label("r"),
        _score(c, [c.period_orders >= bound for bound in bands.frequency]).label("f"),
        _score(c, _money_reaches(c, rules)).label("m"),
    ).cte("scored", nesting=True)
    # Nested, since Python's driver counts no rows of a statement that begins with WITH. Materialised, since else
    # SQLite works out each score anew wherever its name stands: three times the whole query's time.
    return scored.prefix_with("MATERIALIZED")


def _money_reaches(c: Any, rules: Rules) -> Iterable[ColumnElement[bool]]:
    """The sum against bound × count, in whole numbers: no average is ever rounded."""
    grading, currency = rules.grading, rules.currency
    count = 1 if grading.monetary == "total" else c.period_orders
    for bound in grading.bands.monetary:
        numerator, denominator = as_ratio(bound, currency)
        yield c.period_amount * denominator >= literal(numerator) * count


def _score(c: Any, reached: Iterable[ColumnElement[bool]]) -> ColumnElement[Any]:
    whens = [(condition, score) for condition, score in zip(reached, _SCORES, strict=True)]
    return case((c.period_orders == 0, null()), *whens, else_=1)


def _valued(scored: CTE, rules: Rules) -> Subquery:
    c = scored.c
    weights = rules.grading.weights
    value = c.r * weights[0] + c.f * weights[1] + c.m * weights[2]
    return select(*c, value.label("value")).subquery("valued")


def _grade(valued: Subquery, rules: Rules) -> ColumnElement[Any]:
    return case(*[(valued.c.value >= least, name) for name, least in rules.grading.grades])


def _class(valued: Subquery) -> ColumnElement[str]:
    """By orders; whoever is malicious is so without (`engine.audience.malicious`)."""
    c = valued.c
    placed = orders.alias("placed")
    has_placed = (
        exists()
        .where(
            placed.c.customer_id == customers.c.id,
            placed.c.placed_at >= _PERIOD,
            placed.c.placed_at <= _NOW,
        )
        .correlate(customers)
    )
    return case(
        (and_(c.orders.is_(None), has_placed), "unsold"),
        (c.orders.is_(None), "prospect"),
        (c.first_order_at >= _NEWCOMERS, "new"),
        (c.period_orders > 0, "active"),
        else_="lapsed",
    )


def _last_orders() -> Subquery:
    """The order behind each `last_order_at`; of several at the same moment the one that came in last. No lookup by
    customer: PostgreSQL has no index there."""
    o = counted.c
    last = (
        select(o.customer_id, func.max(o.placed_at).label("at"))
        .group_by(o.customer_id)
        .subquery("last")
    )
    there = and_(o.customer_id == last.c.customer_id, o.placed_at == last.c.at)
    return (
        select(last.c.customer_id, func.max(o.order_id).label("order_id"))
        .join_from(last, counted, there)
        .group_by(last.c.customer_id)
        .subquery("last_orders")
    )


def _last_tallied() -> Subquery:
    """The same of few customers, looked up one by one: joined, PostgreSQL reads all orders."""
    t, o = tallies.c, orders.c
    there = and_(o.customer_id == t.customer_id, o.placed_at == t.last_order_at)
    last = select(func.max(o.id)).where(there, o.status.in_(COMPLETED)).correlate(tallies)
    return select(t.customer_id, last.scalar_subquery().label("order_id")).subquery("last_orders")
