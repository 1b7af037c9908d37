"""The shop's diagnosis (店铺诊断): who the customers are, when and how often they buy, whether they come back.

`diagnose` asks for all chapters in one reading, so that they agree with each other.
"""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from engine.audience.scope import COMPLETED
from engine.customers.profile import ensure_fresh
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


def diagnose(store: Store, policy: Policy, now: datetime) -> Diagnosis:
    """Every chapter as of `now` (aware, UTC), by the rules of `policy`; profiles are refreshed where they are stale."""
    ensure_fresh(store, policy, now)
    with store.write() as connection:
        ensure_zones(connection, [policy.timezone])
    with store.read() as connection, laid_down(connection, policy.timezone, now):
        return _chapters(connection, policy, now)


def _chapters(connection: Connection, policy: Policy, now: datetime) -> Diagnosis:
    zone = policy.timezone
    today = now.astimezone(ZoneInfo(zone)).date()
    since, until = _span(connection)
    who = people(connection, policy, now)
    every, second, steps = repurchase(connection, today)
    return Diagnosis(
        at=now,
        timezone=zone,
        currency=_currency(connection, policy, now),
        since=since,
        until=until,
        people=who,
        regions=regions(connection),
        hours=hours(connection, zone, now),
        repurchase=every,
        second=second,
        steps=steps,
        cohorts=cohorts(connection, today),
        categories=goods(connection, "category", zone, now),
        brands=goods(connection, "brand", zone, now),
        revenue=revenue(connection),
        reach=_reach(connection, policy, now),
        advice=advice(who, every, until, today, policy),
    )


def _span(connection: Connection) -> tuple[date | None, date | None]:
    first, last = connection.execute(
        select(func.min(purchases.c.day), func.max(purchases.c.day))
    ).one()
    return (None, None) if first is None else (day_of(first), day_of(last))


def _currency(connection: Connection, policy: Policy, now: datetime) -> str:
    """The currency of the last completed order: the index finds it at once. Without any, the policy's."""
    found = connection.execute(
        select(orders.c.currency)
        .where(orders.c.status.in_(COMPLETED), orders.c.placed_at <= now)
        .order_by(orders.c.placed_at.desc(), orders.c.id.desc())
        .limit(1)
    ).scalar()
    return found or policy.prices.currency


def _reach(connection: Connection, policy: Policy, now: datetime) -> dict[str, dict[str, int]]:
    found = reach(connection, policy, now)
    return {channel: {name: found[channel, name] for name in CLASSES} for channel in CHANNELS}
