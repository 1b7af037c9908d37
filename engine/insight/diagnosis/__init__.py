"""The shop's diagnosis (店铺诊断): who the customers are, when and how often they buy, whether they come back.

`diagnose` asks for all chapters in one reading, so that they agree with each other.
"""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from engine.audience.scope import COMPLETED
from engine.customers.profiles.freshness import looking
from engine.customers.reach import CHANNELS, CLASSES, reach
from engine.definitions.policy import Policy
from engine.insight.diagnosis.advice import advice
from engine.insight.diagnosis.cohorts import cohorts
from engine.insight.diagnosis.figures import Diagnosis
from engine.insight.diagnosis.goods import goods
from engine.insight.diagnosis.hours import hours
from engine.insight.diagnosis.people import people
from engine.insight.diagnosis.purchases import day_of, laid_down, purchases
from engine.insight.diagnosis.regions import regions
from engine.insight.diagnosis.repurchase import repurchase
from engine.insight.diagnosis.revenue import revenue
from engine.store.session import Store
from engine.store.tables import orders
from engine.store.zones import ensure_zones

__all__ = ("Diagnosis", "diagnose")


def diagnose(store: Store, policy: Policy, now: datetime, *, keeps: bool = True) -> Diagnosis:
    """Every chapter as of `now` (aware, UTC), by the rules of `policy`. `keeps`: `now` is now, so that profiles which are
    brought up to date may stay."""
    with store.write() as connection:
        ensure_zones(connection, [policy.timezone])
    with (
        looking(store, policy, now, keeps=keeps) as connection,
        laid_down(connection, policy.timezone, policy.prices.currency, now),
    ):
        return _chapters(connection, policy, now)


def _chapters(connection: Connection, policy: Policy, now: datetime) -> Diagnosis:
    zone, currency = policy.timezone, policy.prices.currency
    today = now.astimezone(ZoneInfo(zone)).date()
    since, until = _span(connection)
    who = people(connection, policy, now)
    every, second, steps = repurchase(connection, today, who.total)
    return Diagnosis(
        at=now,
        timezone=zone,
        currency=currency,
        other_currencies=_other_currencies(connection, currency, now),
        since=since,
        until=until,
        people=who,
        regions=regions(connection),
        hours=hours(connection, zone, now),
        repurchase=every,
        second=second,
        steps=steps,
        cohorts=cohorts(connection, today),
        categories=goods(connection, "category", zone, currency, now),
        brands=goods(connection, "brand", zone, currency, now),
        revenue=revenue(connection),
        reach=_reach(connection, policy, now),
        advice=advice(who, every, until, today, policy),
    )


def _span(connection: Connection) -> tuple[date | None, date | None]:
    first, last = connection.execute(
        select(func.min(purchases.c.day), func.max(purchases.c.day))
    ).one()
    return (None, None) if first is None else (day_of(first), day_of(last))


def _other_currencies(connection: Connection, currency: str, now: datetime) -> dict[str, int]:
    """Completed orders in other currencies than the shop's, from before it changed its own; the most first."""
    number = func.count().label("number")
    question = (
        select(orders.c.currency, number)
        .where(
            orders.c.status.in_(COMPLETED),
            orders.c.placed_at <= now,
            orders.c.currency != currency,
        )
        .group_by(orders.c.currency)
        .order_by(number.desc(), orders.c.currency)
    )
    return {row.currency: row.number for row in connection.execute(question)}


def _reach(connection: Connection, policy: Policy, now: datetime) -> dict[str, dict[str, int]]:
    found = reach(connection, policy, now)
    return {channel: {name: found[channel, name] for name in CLASSES} for channel in CHANNELS}
