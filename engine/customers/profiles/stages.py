"""The life cycle (客户成长路径): how far a customer has come, from prospect to loyal buyer, or asleep.

Counted over completed orders of a lifetime; `policy.yaml` says from how many on somebody is a repeat or a loyal buyer.
Visitors are not customers yet: the shop does not know them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal

from engine.definitions.policy import Policy, Stages
from engine.store.types import Moment

PROSPECT, FIRST_TIME, SECOND_TIME = "prospect", "first-time", "second-time"
REPEAT, LOYAL, DORMANT = "repeat", "loyal", "dormant"
STAGES = (PROSPECT, FIRST_TIME, SECOND_TIME, REPEAT, LOYAL, DORMANT)
"""In the order in which customers grow; the last one may follow on any but the first."""

_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


def stage(
    orders: ColumnElement[Any], last_order_at: ColumnElement[Any], policy: Policy, now: datetime
) -> ColumnElement[str]:
    """SQL: the stage of who has so many completed orders (NULL: none), the last of them then."""
    asleep = literal(asleep_before(policy, now), Moment())
    return stage_of(orders, last_order_at, policy.stages, asleep)


def stage_of(
    orders: ColumnElement[Any],
    last_order_at: ColumnElement[Any],
    stages: Stages,
    asleep: ColumnElement[Any],
) -> ColumnElement[str]:
    """The same; dormant (休眠), which goes before the count, is whose last order is older than `asleep`."""
    count = func.coalesce(orders, 0)
    return case(
        (count == 0, PROSPECT),
        (last_order_at < asleep, DORMANT),
        (count >= stages.loyal, LOYAL),
        (count >= stages.repeat, REPEAT),
        (count >= 2, SECOND_TIME),
        else_=FIRST_TIME,
    )


def asleep_before(policy: Policy, now: datetime) -> datetime:
    """Whose last order is older than the policy's `dormant_after`."""
    after = policy.dormant_after.delta
    return now - after if after <= now - _BEGINNING else _BEGINNING
