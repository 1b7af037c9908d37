"""What starts a care message, as SQL: each trigger kind becomes one SELECT of who is due when, and for what anchor.

A trigger query has the columns `customer_id, anchor, order_id, due` (`due` in UTC seconds since 1970) over customers
whose rule is due between `earliest` and `latest`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Subquery,
    Text,
    case,
    cast,
    column,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.sql.expression import values

from engine.audience.home import known_zone
from engine.definitions.campaign import Care, Trigger
from engine.definitions.policy import Policy
from engine.planning.local_time import DAY, local_seconds, utc_epoch
from engine.store.tables import customers, orders, profiles
from engine.store.types import epoch_seconds

DEFAULT_TIME = time(10, 0)
"""When birthday and dormant messages go out where the rule names no time."""
_ZONE_SLACK = timedelta(days=2)  # no zone is further than this from UTC, a day's rounding included


@dataclass(frozen=True, slots=True)
class Span:
    """Due moments that matter now: not stale (after `earliest`), not too far ahead (up to `latest`)."""

    earliest: datetime
    latest: datetime


def due_rows(
    care: Care, policy: Policy, span: Span, people: Collection[int] | None = None
) -> Subquery:
    """Who is due within the span, of these customers or of all: `customer_id, anchor, order_id, due`."""
    local = _BY_KIND[care.trigger.kind](care.trigger, policy, span)
    if people is not None:
        local = local.where(local.selected_columns["customer_id"].in_(people))
    if "due" in local.selected_columns:
        found = computed_once(local, "found")
    else:
        placed = computed_once(local, "placed")
        utc = utc_epoch(placed.c.local_due, placed.c.zone).label("due")
        found = computed_once(
            select(placed.c.customer_id, placed.c.anchor, placed.c.order_id, utc), "found"
        )
    inside = select(found).where(
        found.c.due > int(span.earliest.timestamp()), found.c.due <= int(span.latest.timestamp())
    )
    return inside.subquery("due_rows")


def computed_once(query: Select[Any], name: str) -> CTE:
    """The query's rows, computed once: a planner that folds it into its surroundings computes each due time again for
    every comparison (seconds instead of milliseconds for some hundred rows on SQLite)."""
    return query.cte(name).prefix_with("MATERIALIZED")


def zone_of_customer(policy: Policy) -> ColumnElement[str]:
    """The customer's zone, else that of their province, else the shop's."""
    return func.coalesce(known_zone(), literal(policy.timezone, Text))


def _order_due(trigger: Trigger, policy: Policy, span: Span) -> Select[Any]:
    event = orders.c[f"{trigger.status}_at"]
    delay = trigger.delay.delta if trigger.delay else timedelta()
    query = (
        select(
            orders.c.customer_id,
            (literal("order:") + orders.c.ref + literal(f":{trigger.status}")).label("anchor"),
            orders.c.id.label("order_id"),
        )
        .join(customers, customers.c.id == orders.c.customer_id)
        .where(
            event > span.earliest - delay - _ZONE_SLACK, event <= span.latest - delay + _ZONE_SLACK
        )
    )
    happened = epoch_seconds(event)
    if trigger.time is None and not (trigger.delay and trigger.delay.is_days):
        return query.add_columns((happened + int(delay.total_seconds())).label("due"))
    zone = zone_of_customer(policy)
    at = local_seconds(happened, zone)
    day, since_midnight = at / DAY, at % DAY
    wanted = literal(_seconds(trigger.time), BigInteger) if trigger.time else since_midnight
    later = (cast(_whole(day), BigInteger) + delay.days) * DAY + wanted
    return query.add_columns(later.label("local_due"), zone.label("zone"))


def _birthday_due(trigger: Trigger, policy: Policy, span: Span) -> Select[Any]:
    days = _days(span, policy.timezone)
    zone = zone_of_customer(policy)
    return (
        select(
            customers.c.id.label("customer_id"),
            (literal("birthday:") + cast(days.c.year, Text)).label("anchor"),
            cast(null(), BigInteger).label("order_id"),
            (days.c.midnight + _seconds(trigger.time or DEFAULT_TIME)).label("local_due"),
            zone.label("zone"),
        )
        .join(
            days,
            (customers.c.birthday_month == days.c.month) & (customers.c.birthday_day == days.c.day),
        )
        .where(
            or_(customers.c.birthday_calendar.is_(None), customers.c.birthday_calendar == "solar")
        )
    )


def _dormant_due(trigger: Trigger, policy: Policy, span: Span) -> Select[Any]:
    after = (trigger.after or policy.dormant_after).delta
    last = profiles.c.last_order_at
    zone = zone_of_customer(policy)
    falls_asleep = local_seconds(epoch_seconds(last) + int(after.total_seconds()), zone)
    wanted = _seconds(trigger.time or DEFAULT_TIME)
    day = cast(_whole(falls_asleep / DAY), BigInteger)
    send_day = case((falls_asleep % DAY <= wanted, day), else_=day + 1)
    return (
        select(
            profiles.c.customer_id,
            (literal("dormant:") + orders.c.ref).label("anchor"),
            orders.c.id.label("order_id"),
            (send_day * DAY + wanted).label("local_due"),
            zone.label("zone"),
        )
        .join(orders, orders.c.id == profiles.c.last_order_id)
        .join(customers, customers.c.id == profiles.c.customer_id)
        .where(
            last > span.earliest - after - _ZONE_SLACK, last <= span.latest - after + _ZONE_SLACK
        )
    )


_BY_KIND = {"order": _order_due, "birthday": _birthday_due, "dormant": _dormant_due}


def _whole(quotient: ColumnElement[Any]) -> ColumnElement[Any]:
    """The division's whole part: SQLAlchemy's `/` is true division, and all our seconds are positive."""
    return func.floor(quotient)


def _seconds(moment: time) -> int:
    return moment.hour * 3600 + moment.minute * 60


def _days(span: Span, zone: str) -> FromClause:
    """The calendar days of the span as rows `month, day, year, midnight` (local seconds of 00:00)."""
    rows = [
        (when.month, when.day, when.year, _local_midnight(real))
        for real in _dates(span, zone)
        for when in _celebrated(real)
    ]
    names = (column(name, BigInteger) for name in ("month", "day", "year", "midnight"))
    return values(*names).data(rows).cte("days")


def _dates(span: Span, zone: str) -> Iterator[date]:
    here = ZoneInfo(zone)
    first = (span.earliest - _ZONE_SLACK).astimezone(here).date()
    last = (span.latest + _ZONE_SLACK).astimezone(here).date()
    return (first + timedelta(days=count) for count in range((last - first).days + 1))


@dataclass(frozen=True, slots=True)
class _Birthday:
    month: int
    day: int
    year: int


def _celebrated(real: date) -> Iterator[_Birthday]:
    """Whose birthday a date is: in a common year 28 February is also that of those born on the 29th."""
    yield _Birthday(real.month, real.day, real.year)
    if (real.month, real.day) == (2, 28) and (real + timedelta(days=1)).day == 1:
        yield _Birthday(2, 29, real.year)


def _local_midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())
