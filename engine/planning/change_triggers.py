"""What a change starts: of a grade, of a membership's level, a tag, or any event that the shop sends in."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, or_, select

from engine.audience.people import valued
from engine.customers.membership.levels import HELD, rank_of
from engine.customers.profiles.grade_history import changes
from engine.planning.due import ZONE_SLACK, Ask
from engine.store import anchors
from engine.store.tables import customers, events, memberships, profiles, tags


def grade_changed(ask: Ask) -> Select[Any]:
    """After a customer's grade changed, as `from`, `to` and `direction` ask."""
    options = ask.trigger.arguments
    found = changes(
        ask.policy.grading,
        ask.span.earliest - ask.delay - ZONE_SLACK,
        ask.span.latest - ask.delay + ZONE_SLACK,
        left=options.get("from"),
        reached=options.get("to"),
        direction=options.get("direction"),
    ).subquery("changed")
    anchor = anchors.grade(found.c.before, found.c.after, ask.shop_day(found.c.at))
    query = ask.select(found.c.customer_id, anchor).join(
        customers, customers.c.id == found.c.customer_id
    )
    return ask.after(query, found.c.at)


def membership_changed(ask: Ask) -> Select[Any]:
    """After a card of another level began than the customer had before it; a first card is one too, unless `from` is
    given. `direction` needs the order of levels in membership.yaml."""
    options, began = ask.trigger.arguments, memberships.alias("began")
    earlier = memberships.alias("earlier")
    before = (
        select(earlier.c.level)
        .where(
            earlier.c.customer_id == began.c.customer_id,
            earlier.c.state.in_(HELD),
            or_(
                earlier.c.starts_at < began.c.starts_at,
                (earlier.c.starts_at == began.c.starts_at) & (earlier.c.id < began.c.id),
            ),
        )
        .order_by(earlier.c.starts_at.desc(), earlier.c.id.desc())
        .limit(1)
        .correlate(began)
        .scalar_subquery()
    )
    found = (
        select(began.c.id, began.c.customer_id, began.c.level, began.c.starts_at, before.label("before"))
        .where(began.c.state.in_(HELD), ask.around(began.c.starts_at, ask.delay))
        .subquery("began_after")
    )  # fmt: skip
    query = (
        ask.select(found.c.customer_id, anchors.level(found.c.id, found.c.level))
        .join(customers, customers.c.id == found.c.customer_id)
        .where(found.c.before.is_distinct_from(found.c.level))
    )
    if "from" in options:
        query = query.where(found.c.before.in_(options["from"]))
    if "to" in options:
        query = query.where(found.c.level.in_(options["to"]))
    if "direction" in options:
        query = query.where(_moved(ask, found.c.before, found.c.level))
    return ask.after(query, found.c.starts_at)


def _moved(ask: Ask, before: ColumnElement[Any], level: ColumnElement[Any]) -> ColumnElement[bool]:
    """Up or down; no card is below every level."""
    if ask.membership is None:
        return literal(value=False)
    low, high = rank_of(before, ask.membership), rank_of(level, ask.membership)
    return high > low if ask.trigger.arguments["direction"] == "rose" else high < low


def tag_added(ask: Ask) -> Select[Any]:
    """After a tag of this dimension, and value, was put on."""
    options = ask.trigger.arguments
    anchor = anchors.tag(tags.c.dimension, tags.c.value, ask.shop_day(tags.c.tagged_at))
    query = (
        ask.select(tags.c.customer_id, anchor)
        .join(customers, customers.c.id == tags.c.customer_id)
        .where(tags.c.dimension == options["dimension"])
    )
    if "value" in options:
        query = query.where(tags.c.value.in_(options["value"]))
    return ask.after(query, tags.c.tagged_at)


def pushed_event(ask: Ask) -> Select[Any]:
    """After an event that the shop sent in, with such data, of a customer who lives there."""
    options = ask.trigger.arguments
    query = (
        ask.select(events.c.customer_id, anchors.event(events.c.ref), event_id=events.c.id)
        .join(customers, customers.c.id == events.c.customer_id)
        .where(events.c.kind == options["kind"])
    )
    for name, operators in options.get("data", {}).items():
        query = query.where(valued(events.c.data, name, operators))
    if "region" in options:
        query = query.where(_lives_in(options["region"]))
    return ask.after(query, events.c.at)


def _lives_in(region: Any) -> ColumnElement[bool]:
    """The region of the profile, which is read from the address where none was given; else as given."""
    where: list[ColumnElement[bool]] = []
    for name, wanted in (("province", region.provinces), ("city", region.cities)):
        if wanted:
            known = (
                select(profiles.c[name])
                .where(profiles.c.customer_id == customers.c.id)
                .correlate(customers)
                .scalar_subquery()
            )
            where.append(func.coalesce(known, customers.c[name]).in_(wanted))
    return where[0] if len(where) == 1 else where[0] & where[1]
