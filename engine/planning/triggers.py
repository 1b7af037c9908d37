"""What starts a care message: for each trigger one SELECT of who is due when, and for what anchor.

A new trigger: its options in `definitions.trigger_kinds`, its SELECT here, its anchor in `store.anchors`, and, where its
reason can pass away before the message goes, a predicate in `gate.reasons`. Festivals and solar terms concern everybody:
they are occurrences, as campaigns have them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import Select, Subquery, select

from engine.definitions.campaign import Care, TriggerKind
from engine.definitions.membership import Membership
from engine.definitions.policy import Policy
from engine.planning import change_triggers, day_triggers, order_triggers
from engine.planning.due import Ask, Span, computed_once, zone_of_customer
from engine.planning.local_time import utc_epoch

__all__ = ["Span", "computed_once", "due_rows", "zone_of_customer"]

_BY_KIND: Mapping[TriggerKind, Callable[[Ask], Select[Any]]] = {
    "order": order_triggers.order_event,
    "unpaid": order_triggers.unpaid,
    "dormant": order_triggers.dormant,
    "replenishment": order_triggers.replenishment,
    "birthday": day_triggers.birthday,
    "anniversary": day_triggers.anniversary,
    "membership.expires": day_triggers.membership_expires,
    "membership.changed": change_triggers.membership_changed,
    "grade.changed": change_triggers.grade_changed,
    "tag.added": change_triggers.tag_added,
    "event": change_triggers.pushed_event,
}


def due_rows(
    care: Care,
    policy: Policy,
    span: Span,
    membership: Membership | None = None,
    people: Collection[int] | None = None,
) -> Subquery:
    """Who is due within the span, of these customers or of all: `customer_id, anchor, order_id, event_id, due`.

    Not for a rule with a schedule, which goes to everybody on its days (`planning.occurrences`).
    """
    local = _BY_KIND[care.trigger.kind](Ask(care.trigger, policy, span, membership))
    if people is not None:
        local = local.where(local.selected_columns["customer_id"].in_(people))
    if "due" in local.selected_columns:
        found = computed_once(local, "found")
    else:
        placed = computed_once(local, "placed")
        utc = utc_epoch(placed.c.local_due, placed.c.zone).label("due")
        kept = (placed.c.customer_id, placed.c.anchor, placed.c.order_id, placed.c.event_id)
        found = computed_once(select(*kept, utc), "found")
    inside = select(found).where(
        found.c.due > int(span.earliest.timestamp()), found.c.due <= int(span.latest.timestamp())
    )
    return inside.subquery("due_rows")
