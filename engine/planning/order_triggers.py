"""What orders start: each of their events, one that stays unpaid, a silence, a pack that must be about empty."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select

from engine.audience.liking import is_of
from engine.audience.scope import COMPLETED
from engine.planning.due import ZONE_SLACK, Ask, seconds_of, whole_days, zone_of_customer
from engine.planning.local_time import DAY, local_seconds
from engine.store import anchors
from engine.store.tables import (
    affinities,
    category_cycles,
    customers,
    order_items,
    orders,
    products,
    profiles,
)
from engine.store.types import epoch_seconds, from_epoch_seconds

_MILLION = 1_000_000


def order_event(ask: Ask) -> Select[Any]:
    """After an order's event."""
    anchor = anchors.order(orders.c.ref, str(ask.trigger.status))
    return ask.after(_of_orders(ask, anchor), orders.c[f"{ask.trigger.status}_at"])


def unpaid(ask: Ask) -> Select[Any]:
    """After an order was placed that is not paid; the gate asks once more."""
    query = _of_orders(ask, anchors.order(orders.c.ref, "unpaid"))
    return ask.after(query, orders.c.placed_at).where(
        orders.c.status == "placed", orders.c.paid_at.is_(None)
    )


def _of_orders(ask: Ask, anchor: ColumnElement[str]) -> Select[Any]:
    query = ask.select(orders.c.customer_id, anchor, order_id=orders.c.id)
    return query.join(customers, customers.c.id == orders.c.customer_id)


def dormant(ask: Ask) -> Select[Any]:
    """When the last completed order is so old: at the next `time` of day."""
    after = (ask.trigger.after or ask.policy.dormant_after).delta
    last = profiles.c.last_order_at
    zone = zone_of_customer(ask.policy)
    asleep = local_seconds(epoch_seconds(last) + int(after.total_seconds()), zone)
    day = whole_days(asleep)
    send_day = case((asleep % DAY <= seconds_of(ask.at), day), else_=day + 1)
    query = (
        ask.select(profiles.c.customer_id, anchors.dormant(orders.c.ref), order_id=orders.c.id)
        .join(orders, orders.c.id == profiles.c.last_order_id)
        .join(customers, customers.c.id == profiles.c.customer_id)
        .where(ask.around(last, after))
    )
    return ask.on_day(query, send_day)


def replenishment(ask: Ask) -> Select[Any]:
    """On the day on which the category's measured cycle, times `factor`, has passed since the last order of it.

    Of several orders at that very moment the one known first counts.
    """
    liked, cycles = affinities, category_cycles
    factor = ask.trigger.arguments.get("factor", Decimal(1))
    # Whole numbers, rounded down, so that both databases agree.
    wait = cycles.c.cycle_seconds * int(factor * _MILLION) // _MILLION
    zone = zone_of_customer(ask.policy)
    runs_out = local_seconds(epoch_seconds(liked.c.last_at) + wait, zone)
    query = (
        ask.select(
            liked.c.customer_id,
            anchors.replenishment(orders.c.ref, liked.c.name),
            order_id=orders.c.id,
        )
        .join(cycles, cycles.c.category == liked.c.name)
        .join(customers, customers.c.id == liked.c.customer_id)
        .join(orders, orders.c.id == _last_order(liked))
        .where(is_of("category", liked.c), *_inside(ask, liked.c.last_at, wait))
    )
    if "category" in ask.trigger.arguments:
        query = query.where(liked.c.name.in_(ask.trigger.arguments["category"]))
    return ask.on_day(query, whole_days(runs_out))


def _inside(ask: Ask, last: ColumnElement[Any], wait: ColumnElement[Any]) -> list[Any]:
    """What may be due within the span: for an index to find, before clocks are looked up."""
    low = (ask.span.earliest - ZONE_SLACK).timestamp()
    high = (ask.span.latest + ZONE_SLACK).timestamp()
    return [
        last > from_epoch_seconds(int(low) - wait),
        last <= from_epoch_seconds(int(high) - wait),
    ]


def _last_order(liked: Any) -> ColumnElement[Any]:
    """The order behind an affinity's `last_at`."""
    category = func.coalesce(order_items.c.category, products.c.category)
    has_it = (
        select(order_items.c.id)
        .select_from(order_items.outerjoin(products, products.c.sku == order_items.c.sku))
        .where(order_items.c.order_id == _bought.c.id, category == liked.c.name)
        .correlate(_bought, liked)
        .exists()
    )
    return (
        select(func.min(_bought.c.id))
        .where(
            _bought.c.customer_id == liked.c.customer_id,
            _bought.c.placed_at == liked.c.last_at,
            _bought.c.status.in_(COMPLETED),
            has_it,
        )
        .correlate(liked)
        .scalar_subquery()
    )


_bought = orders.alias("bought")
