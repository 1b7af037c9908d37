"""What the membership comes to: members per level, their growth, repeat rate (回头率) and average order value (客单价)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sqlalchemy import Connection, case, func, literal, or_, select

from engine.audience.money import decimals_of, worth
from engine.audience.scope import COMPLETED
from engine.customers.membership.levels import (
    UNDER_WAY,
    Standing,
    expiring,
    local_day,
    member_at,
    start_of,
)
from engine.customers.profiles.grading import months_back
from engine.definitions.membership import Goods, Level, Membership
from engine.definitions.policy import Policy
from engine.store.tables import customers, memberships, orders, products
from engine.store.types import Moment

m = memberships.c


@dataclass(frozen=True, slots=True)
class LevelFigures:
    """One level (None: who is no member). Rates are shares of 1; None where there is nothing to divide by.

    `before`: members at the earlier moment. Orders are those completed in the membership's period until now, by those who
    are members now; `repeat_rate`: of the buyers, those with two orders or more.
    """

    level: str | None
    members: int
    share: float | None
    before: int
    growth: int
    growth_rate: float | None
    buyers: int
    repeat_rate: float | None
    orders: int
    amount: Decimal
    average_order_value: Decimal | None


def figures(
    connection: Connection,
    membership: Membership,
    policy: Policy,
    now: datetime,
    against: datetime,
) -> list[LevelFigures]:
    """The levels from the lowest, then levels that are not in membership.yaml any more, then who is no member."""
    sums = {row.level: row for row in connection.execute(_sums(membership, policy, now))}
    before = _members(connection, against)
    everybody = sum(row.customers for row in sums.values())
    earlier = connection.execute(
        select(func.count()).where(customers.c.created_at <= literal(against, Moment()))
    ).scalar_one()
    before[None] = max(earlier - sum(before.values()), 0)
    named = [level.name for level in membership.levels]
    old = sorted({name for name in (*sums, *before) if name is not None} - set(named))
    currency = policy.prices.currency
    return [
        _figures(name, sums.get(name), before.get(name, 0), everybody, currency)
        for name in (*named, *old, None)
    ]


def _sums(membership: Membership, policy: Policy, now: datetime) -> Any:
    """Per level of the members now: customers, buyers, those who came back, orders, amount."""
    since = start_of(months_back(local_day(now, policy), membership.period_months), policy)
    bought = (
        select(
            orders.c.customer_id,
            func.count(orders.c.id).label("orders"),
            func.sum(worth(orders, policy.prices.currency)).label("amount"),
        )
        .where(
            orders.c.status.in_(COMPLETED),
            orders.c.placed_at >= literal(since, Moment()),
            orders.c.placed_at <= literal(now, Moment()),
        )
        .group_by(orders.c.customer_id)
        .subquery("bought")
    )
    held = select(m.customer_id, m.level).where(member_at(memberships, now)).subquery("held")
    return (
        select(
            held.c.level,
            func.count(customers.c.id).label("customers"),
            func.count(bought.c.customer_id).label("buyers"),
            func.count(case((bought.c.orders >= 2, 1))).label("returned"),
            func.coalesce(func.sum(bought.c.orders), 0).label("orders"),
            func.coalesce(func.sum(bought.c.amount), 0).label("amount"),
        )
        .select_from(
            customers.outerjoin(held, held.c.customer_id == customers.c.id).outerjoin(
                bought, bought.c.customer_id == customers.c.id
            )
        )
        .group_by(held.c.level)
    )


def _members(connection: Connection, moment: datetime) -> dict[str | None, int]:
    rows = connection.execute(
        select(m.level, func.count()).where(member_at(memberships, moment)).group_by(m.level)
    )
    return {row[0]: row[1] for row in rows}


def _figures(
    level: str | None, row: Any, before: int, everybody: int, currency: str
) -> LevelFigures:
    members = row.customers if row else 0
    unit = Decimal(1).scaleb(-decimals_of(currency))
    amount, count = (Decimal(int(row.amount)) * unit, int(row.orders)) if row else (Decimal(0) * unit, 0)  # fmt: skip
    return LevelFigures(
        level=level,
        members=members,
        share=_share(members, everybody),
        before=before,
        growth=members - before,
        growth_rate=_share(members - before, before),
        buyers=row.buyers if row else 0,
        repeat_rate=_share(row.returned, row.buyers) if row else None,
        orders=count,
        amount=amount,
        average_order_value=(amount / count).quantize(unit, ROUND_HALF_UP) if count else None,
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def listed(
    connection: Connection,
    *,
    state: str | None,
    level: str | None = None,
    ends: tuple[datetime, datetime] | None = None,
) -> list[dict[str, Any]]:
    """`[{customer_id, name, level, state, …}]` by the shop's id. `state` None: under way or active; `all`: any.

    `ends`: only active cards that end later than the first moment, up to the second.
    """
    shown = ("level", "state", "evaluated_at", "called_at", "carded_at", "claimed_at", "starts_at", "expires_at")  # fmt: skip
    query = (
        select(customers.c.ref.label("customer_id"), customers.c.name, *(m[name] for name in shown))
        .join(customers, customers.c.id == m.customer_id)
        .order_by(customers.c.ref, m.id)
    )
    if state is None:
        query = query.where(or_(m.state.in_(UNDER_WAY), m.state == Standing.ACTIVE))
    elif state != "all":
        query = query.where(m.state == state)
    if level is not None:
        query = query.where(m.level == level)
    if ends is not None:
        query = query.where(m.id.in_(expiring(*ends).with_only_columns(m.id)))
    return [row._asdict() for row in connection.execute(query)]


def levels_given(connection: Connection) -> set[str]:
    """The levels of all cards there ever were, also those that are not in membership.yaml any more."""
    return set(connection.execute(select(m.level).distinct()).scalars())


def discounted(price: int, level: Level) -> int:
    """A price in smallest units for members of a level, rounded half up.

    >>> from engine.definitions.membership import Threshold
    >>> discounted(9990, Level(name="VIP", threshold=Threshold(orders=3), discount=Decimal(5)))
    9491
    """
    part = 1 - (level.discount or Decimal(0)) / 100
    return int((price * part).to_integral_value(ROUND_HALF_UP))


def goods(
    connection: Connection, membership: Membership, policy: Policy
) -> Sequence[dict[str, Any]]:
    """`[{sku, title, price, members: {level: price}}]` of the products that take part, in units of the currency."""
    digits = decimals_of(policy.prices.currency)
    rows = connection.execute(
        select(products).where(_takes_part(membership.goods)).order_by(products.c.sku)
    )
    return [
        {
            "sku": row.sku,
            "title": row.title,
            "price": _units(row.price, digits),
            "members": {
                level.name: _units(
                    None if row.price is None else discounted(row.price, level), digits
                )
                for level in membership.levels
                if level.discount is not None
            },
        }
        for row in rows
    ]


def _takes_part(marked: Goods) -> Any:
    """SQL: a product that the shop marked. What is not marked has no discount, whoever buys it."""
    return or_(
        products.c.sku.in_(marked.skus),
        products.c.category.in_(marked.categories),
        products.c.brand.in_(marked.brands),
    )


def _units(amount: int | None, digits: int) -> Decimal | None:
    return None if amount is None else Decimal(amount).scaleb(-digits)
