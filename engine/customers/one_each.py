"""What a person has one of, where two records of them have become one: a value in some dimensions of tags, a card."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, delete, exists, literal, or_, select, update

from engine.customers.membership import steps
from engine.customers.membership.levels import UNDER_WAY, Standing, member_at
from engine.definitions.membership import Membership
from engine.definitions.tagging import Tagging
from engine.store.tables import memberships, tags
from engine.store.types import Moment

_FURTHEST = tuple(reversed(UNDER_WAY))
m = memberships.c


def drop_other_values(connection: Connection, tagging: Tagging, old: int, new: int) -> int:
    """Before the tags of `old` become those of `new`: of a dimension with one value that of `new` stays, unless only that of
    `old` was put by hand. So is it with the same tag of both. Returns how many went."""
    single = [name for name, one in tagging.dimensions.items() if not one.several]
    other = tags.alias("other")
    gone = 0
    for loser, winner, outranks in (
        (new, old, and_(tags.c.rule.is_not(None), other.c.rule.is_(None))),
        (old, new, literal(True)),
    ):
        same = or_(other.c.dimension.in_(single), other.c.value == tags.c.value)
        better = exists().where(
            other.c.customer_id == winner, other.c.dimension == tags.c.dimension, same, outranks
        )
        gone += connection.execute(
            delete(tags).where(tags.c.customer_id == loser, better.correlate(tags))
        ).rowcount
    return gone


def keep_one_card(
    connection: Connection, membership: Membership | None, customer: int, now: datetime
) -> None:
    """Of the cards in force the one of the highest level holds, of two of one level the one that ends later; the others
    are replaced. Of the cards on their way the furthest of each level goes on, if that is higher than the one in force."""
    names = [level.name for level in membership.levels] if membership else []
    rank = {name: place for place, name in enumerate(names, 1)}
    held = sorted(
        connection.execute(
            select(memberships).where(
                m.customer_id == customer, m.state == Standing.ACTIVE, member_at(memberships, now)
            )
        ).all(),
        key=lambda row: (rank.get(row.level, 0), row.expires_at, row.id),
    )
    if held:
        _replace(connection, customer, {row.id for row in held[:-1]}, now)
    highest = rank.get(held[-1].level, 0) if held else -1
    _withdraw_others(connection, customer, rank, highest, now)


def _replace(connection: Connection, customer: int, others: Collection[int], now: datetime) -> None:
    """These end now; what was renewed ahead of one of them ends as it begins."""
    at = literal(now, Moment())
    connection.execute(
        update(memberships)
        .where(
            m.customer_id == customer,
            m.state == Standing.ACTIVE,
            or_(m.id.in_(others), m.renews_id.in_(others)),
        )
        .values(state=Standing.REPLACED, expires_at=case((m.starts_at > at, m.starts_at), else_=at))
    )


def _withdraw_others(
    connection: Connection, customer: int, rank: dict[str, int], highest: int, now: datetime
) -> None:
    under_way: list[Any] = sorted(
        connection.execute(
            select(memberships).where(m.customer_id == customer, m.state.in_(UNDER_WAY))
        ).all(),
        key=lambda row: (_FURTHEST.index(row.state), row.id),
    )
    going_on = {
        row.level: row.id for row in reversed(under_way) if rank.get(row.level, 0) > highest
    }
    others = [row.id for row in under_way if row.id not in going_on.values()]
    connection.execute(update(memberships).where(m.id.in_(others)).values(state=Standing.WITHDRAWN))
    steps.cancel_of_ended(connection, now)
