"""Who meets which level of the membership (会员), who is a member when, and whose card is about to end. Questions only.

A membership goes eligible → called → carded → active → renewed or lapsed; declined, withdrawn and replaced are its other
ends. Member at a moment is whose card had been claimed by then and had not ended yet.
"""

from __future__ import annotations

from datetime import date, datetime, time
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    and_,
    case,
    exists,
    func,
    literal,
    select,
    true,
)

from engine.audience.malicious import is_malicious
from engine.audience.money import at_least, worth
from engine.audience.scope import COMPLETED
from engine.clock import from_local
from engine.customers.profiles.grading import months_back
from engine.definitions.membership import Level, Membership
from engine.definitions.policy import Policy
from engine.store.tables import customers, memberships, order_items, orders
from engine.store.types import Moment


class Standing(StrEnum):
    """What a row of memberships is: a card on its way, a card that holds, or one that is over."""

    ELIGIBLE = "eligible"  # meets the threshold; nobody has spoken to the customer yet
    CALLED = "called"  # the call is done: the form and the card can go out
    CARDED = "carded"  # the card is out: the reply slip is awaited
    ACTIVE = "active"  # a member, from `starts_at` until `expires_at`
    RENEWED = "renewed"  # ended, and followed by the membership that names it in `renews_id`
    LAPSED = "lapsed"  # ended, the threshold not met again
    DECLINED = "declined"  # the customer did not want it
    WITHDRAWN = "withdrawn"  # never claimed, and the threshold is not met any more
    REPLACED = "replaced"  # ended because the card of another level was claimed


UNDER_WAY = (Standing.ELIGIBLE, Standing.CALLED, Standing.CARDED)
HELD = (Standing.ACTIVE, Standing.RENEWED, Standing.LAPSED, Standing.REPLACED)


def reached(
    membership: Membership, policy: Policy, until: datetime, among: Select[Any] | None = None
) -> Select[Any]:
    """SELECT `customer_id, rank` of whoever meets a level with the completed orders of the period that ends at `until`.

    `rank`: 1 for the lowest level, the highest that is met. `among`: only these customers' ids. Who is malicious meets
    none. Items are those of the order's lines; where it has none its `quantity`, else 1.
    """
    since = start_of(months_back(local_day(until, policy), membership.period_months), policy)
    counted = and_(
        orders.c.status.in_(COMPLETED),
        orders.c.placed_at >= literal(since, Moment()),
        orders.c.placed_at <= literal(until, Moment()),
        orders.c.customer_id.in_(among) if among is not None else true(),
    )
    bought = _bought(membership, policy, counted)
    rank = case(
        *[
            (_meets(level, bought, policy), literal(place))
            for place, level in reversed(list(enumerate(membership.levels, 1)))
        ]
    )
    found = select(bought.c.customer_id, rank.label("rank")).join(
        customers, and_(customers.c.id == bought.c.customer_id, ~is_malicious())
    )
    return found.where(rank.is_not(None))


def _bought(membership: Membership, policy: Policy, counted: ColumnElement[bool]) -> Subquery:
    """`customer_id, orders, amount` (and `items`, if a level asks for them) of who may meet the lowest level."""
    lowest = membership.levels[0].threshold
    currency = policy.prices.currency
    count, amount = func.count(orders.c.id), func.sum(worth(orders, currency))
    sums = (
        select(orders.c.customer_id, count.label("orders"), amount.label("amount"))
        .where(counted)
        .group_by(orders.c.customer_id)
        .having(count >= (lowest.orders or 0))
    )
    if lowest.amount is not None:
        sums = sums.having(amount >= at_least(lowest.amount, currency))
    bought = sums.subquery("bought")
    if not any(level.threshold.items for level in membership.levels):
        return bought
    items = _items(bought, counted)
    return (
        select(*bought.c, items.c["items"])
        .join(items, items.c.customer_id == bought.c.customer_id)
        .subquery("bought_with_items")
    )


def _items(bought: Subquery, counted: ColumnElement[bool]) -> Subquery:
    lines = (
        select(func.sum(func.coalesce(order_items.c.quantity, 1)))
        .where(order_items.c.order_id == orders.c.id)
        .scalar_subquery()
    )
    return (
        select(
            orders.c.customer_id,
            func.sum(func.coalesce(lines, orders.c.quantity, 1)).label("items"),
        )
        .where(counted, orders.c.customer_id.in_(select(bought.c.customer_id)))
        .group_by(orders.c.customer_id)
        .subquery("items")
    )


def _meets(level: Level, bought: Subquery, policy: Policy) -> ColumnElement[bool]:
    asked = level.threshold
    conditions: list[ColumnElement[bool]] = [true()]
    if asked.orders is not None:
        conditions.append(bought.c.orders >= asked.orders)
    if asked.amount is not None:
        conditions.append(bought.c.amount >= at_least(asked.amount, policy.prices.currency))
    if asked.items is not None:
        conditions.append(bought.c["items"] >= asked.items)
    return and_(*conditions)


def rank_of(level: ColumnElement[Any], membership: Membership) -> ColumnElement[Any]:
    """SQL: the rank of a level's name, 1 for the lowest; 0 for one that membership.yaml does not know any more."""
    ranks = [(level == one.name, literal(rank)) for rank, one in enumerate(membership.levels, 1)]
    return case(*ranks, else_=literal(0))


def member_at(table: Any, moment: datetime) -> ColumnElement[bool]:
    """SQL: a row of memberships (or of an alias of it) that made its customer a member at that moment."""
    at = literal(moment, Moment())
    return and_(table.c.state.in_(HELD), table.c.starts_at <= at, table.c.expires_at > at)


def expiring(after: datetime, until: datetime, *, ended: bool = False) -> Select[Any]:
    """SELECT `id, customer_id, level, expires_at` of cards that end later than `after`, up to `until`, and are not renewed.

    What a reminder (会员卡到期提醒) asks: with `after` = now and `until` = now + `announce` of membership.yaml. `ended`: those that
    have lapsed already, too.
    """
    states = (Standing.ACTIVE, Standing.LAPSED) if ended else (Standing.ACTIVE,)
    m = memberships
    return select(m.c.id, m.c.customer_id, m.c.level, m.c.expires_at).where(
        m.c.state.in_(states),
        m.c.expires_at > literal(after, Moment()),
        m.c.expires_at <= literal(until, Moment()),
        ~has_successor(),
    )


def has_successor() -> ColumnElement[bool]:
    """SQL: another membership follows on this one."""
    following = memberships.alias("following")
    return (
        exists()
        .where(
            following.c.customer_id == memberships.c.customer_id,
            following.c.renews_id == memberships.c.id,
        )
        .correlate(memberships)
    )


def end_of(start: datetime, membership: Membership, policy: Policy) -> datetime:
    """When a card that starts then ends: as its day begins a year later; of 29 February, on the 28th."""
    return start_of(months_back(local_day(start, policy), -membership.validity_months), policy)


def local_day(moment: datetime, policy: Policy) -> date:
    """The shop's day."""
    return moment.astimezone(ZoneInfo(policy.timezone)).date()


def start_of(day: date, policy: Policy) -> datetime:
    """When the shop's day begins."""
    return from_local(datetime.combine(day, time()), policy.timezone)
