"""The last step to a membership: the reply slip is back, or the card was taken, and the customer is a member."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, literal, select, update

from engine.customers.membership import steps
from engine.customers.membership.levels import UNDER_WAY, Standing, end_of, reached
from engine.customers.wake import leave_note
from engine.definitions.membership import Level, Membership
from engine.definitions.policy import Policy
from engine.errors import YanshuError
from engine.store.tables import customers, memberships
from engine.store.types import Moment

m = memberships.c


@dataclass(frozen=True, slots=True)
class Claimed:
    """The membership that now holds; `customer` is the shop's own id."""

    customer: str
    level: str
    starts_at: datetime
    expires_at: datetime


def claim(
    connection: Connection, membership: Membership, policy: Policy, customer: str, now: datetime
) -> Claimed:
    """Make this customer (the shop's own id) a member at the highest level whose card is there to be claimed.

    Raises YanshuError where there is none, or where its threshold is not met any more (an order came back).
    """
    known = connection.execute(select(customers.c.id).where(customers.c.ref == customer)).scalar()
    if known is None:
        raise YanshuError(f"no customer {customer!r}")
    rows = connection.execute(
        select(memberships).where(m.customer_id == known, m.state.in_(UNDER_WAY))
    ).all()
    if not rows:
        raise YanshuError(
            f"{customer}: meets no threshold, or has the card: `yanshu membership list --state all`"
        )
    names = [level.name for level in membership.levels]
    rows = sorted(rows, key=lambda row: names.index(row.level) if row.level in names else -1)
    ready = [row for row in rows if _is_ready(row, membership.level(row.level))]
    if not ready:
        raise YanshuError(f"{customer}: {_missing(rows[-1], membership.level(rows[-1].level))}")
    return _activate(connection, membership, policy, customer, ready[-1], now)


def claim_one(
    connection: Connection, membership: Membership, policy: Policy, number: int, now: datetime
) -> Claimed:
    """The same for one membership by its internal id: its reply slip is back."""
    row = connection.execute(
        select(memberships, customers.c.ref)
        .join(customers, customers.c.id == m.customer_id)
        .where(m.id == number)
    ).one()
    level = membership.level(row.level)
    if row.state not in UNDER_WAY or not _is_ready(row, level):
        raise YanshuError(f"{row.ref}: {_missing(row, level)}")
    return _activate(connection, membership, policy, row.ref, row, now)


def _is_ready(row: Any, level: Level | None) -> bool:
    if level is None:
        return False
    return row.state == Standing.CARDED or (
        level.claim == "self" and row.state == Standing.ELIGIBLE
    )


def _missing(row: Any, level: Level | None) -> str:
    if level is None:
        return f"membership.yaml has no level {row.level!r} any more"
    return {
        Standing.ELIGIBLE: f"{row.level}: the call is not done yet",
        Standing.CALLED: f"{row.level}: the card is not on its way yet",
    }.get(row.state, f"{row.level}: is {row.state}")


def _activate(
    connection: Connection,
    membership: Membership,
    policy: Policy,
    customer: str,
    row: Any,
    now: datetime,
) -> Claimed:
    _require_threshold(connection, membership, policy, customer, row)
    expires_at = end_of(now, membership, policy)
    at = literal(now, Moment())
    connection.execute(
        update(memberships)
        .where(m.customer_id == row.customer_id, m.state == Standing.ACTIVE)
        .values(
            state=Standing.REPLACED,
            # One that was renewed ahead has not begun: it ends as it begins.
            expires_at=case((m.starts_at > at, m.starts_at), (m.expires_at < at, m.expires_at), else_=at),
        )
    )  # fmt: skip
    connection.execute(
        update(memberships)
        .where(m.id == row.id)
        .values(state=Standing.ACTIVE, starts_at=now, claimed_at=now, expires_at=expires_at)
    )
    steps.close_reply(connection, row.id, now)
    _withdraw_lower(connection, membership, row, now)
    leave_note(connection, [row.customer_id], now)
    return Claimed(customer, row.level, now, expires_at)


def _withdraw_lower(
    connection: Connection, membership: Membership, row: Any, now: datetime
) -> None:
    """A card of a lower level that is still under way would take the higher one away again."""
    names = [level.name for level in membership.levels]
    lower = names[: names.index(row.level)]
    connection.execute(
        update(memberships)
        .where(m.customer_id == row.customer_id, m.state.in_(UNDER_WAY), m.level.in_(lower))
        .values(state=Standing.WITHDRAWN)
    )
    steps.cancel_of_ended(connection, now)


def _require_threshold(
    connection: Connection, membership: Membership, policy: Policy, customer: str, row: Any
) -> None:
    """No card without a threshold: asked again for the period that was evaluated, with what is known of it now."""
    question = reached(
        membership, policy, row.evaluated_at, among=select(literal(row.customer_id))
    ).subquery()
    rank = connection.execute(select(question.c.rank)).scalar() or 0
    names = [level.name for level in membership.levels]
    if rank < names.index(row.level) + 1:
        raise YanshuError(
            f"{customer}: does not meet the threshold of {row.level!r} any more:"
            " orders of that year were refunded or closed"
        )
