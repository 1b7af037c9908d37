"""Does what started a care message still stand? Asked of every delivery of such a rule, whether or not the rule thought of it.

Predicates over a row of `deliveries` with its customer, profile and the order behind it (`anchor`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, FromClause, exists, not_

from engine.customers.membership.levels import Standing, has_successor
from engine.definitions.campaign import Trigger, TriggerKind
from engine.store import anchors
from engine.store.tables import affinities, deliveries, memberships, profiles, tags

Predicate = ColumnElement[bool]


def stands(trigger: Trigger, anchor: FromClause) -> Predicate | None:
    """Whether the reason still stands; None: it cannot pass away."""
    ask = _BY_KIND.get(trigger.kind)
    return None if ask is None else ask(anchor)


def _still_sleeps(_anchor: FromClause) -> Predicate:
    """Whoever ordered meanwhile sleeps no more."""
    return profiles.c.last_order_id == deliveries.c.order_id


def _still_unpaid(anchor: FromClause) -> Predicate:
    return (anchor.c.status == "placed") & anchor.c.paid_at.is_(None)


def _not_bought_since(anchor: FromClause) -> Predicate:
    """Whoever bought of that category meanwhile has a full pack."""
    bought = affinities.alias("bought_since")
    return not_(
        exists().where(
            bought.c.customer_id == deliveries.c.customer_id,
            bought.c.kind == "category",
            bought.c.last_at > anchor.c.placed_at,
            deliveries.c.anchor == anchors.replenishment(anchor.c.ref, bought.c.name),
        ).correlate(deliveries, anchor)
    )  # fmt: skip


def _still_ends(_anchor: FromClause) -> Predicate:
    """The card is there and was not renewed."""
    return exists().where(
        memberships.c.customer_id == deliveries.c.customer_id,
        memberships.c.state.in_((Standing.ACTIVE, Standing.LAPSED)),
        ~has_successor(),
        anchors.begins_with(deliveries.c.anchor, anchors.expiry_of(memberships.c.id)),
    ).correlate(deliveries)  # fmt: skip


def _still_tagged(_anchor: FromClause) -> Predicate:
    return exists().where(
        tags.c.customer_id == deliveries.c.customer_id,
        anchors.begins_with(deliveries.c.anchor, anchors.tag_of(tags.c.dimension, tags.c.value)),
    ).correlate(deliveries)  # fmt: skip


_BY_KIND: Mapping[TriggerKind, Callable[[Any], Predicate]] = {
    "dormant": _still_sleeps,
    "unpaid": _still_unpaid,
    "replenishment": _not_bought_since,
    "membership.expires": _still_ends,
    "tag.added": _still_tagged,
}
