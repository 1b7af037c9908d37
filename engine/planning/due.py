"""When a care message is due, as SQL: after something happened, or on a day; what all triggers share.

A trigger is one SELECT of `customer_id, anchor, order_id, event_id` and `due` (UTC seconds since 1970), or `local_due`
(wall-clock seconds) with its `zone`. `Ask.select` begins it; `after` and `on_day` add when it is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    cast,
    func,
    literal,
    null,
    select,
)

from engine.audience.home import known_zone
from engine.definitions.campaign import Trigger
from engine.definitions.festive_file import DEFAULT_TIME
from engine.definitions.membership import Membership
from engine.definitions.policy import Policy
from engine.planning.local_time import DAY, local_seconds
from engine.store.types import Moment, epoch_seconds

ZONE_SLACK = timedelta(days=2)
"""No zone is further than this from UTC, a day's rounding included."""
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Span:
    """Due moments that matter now: not stale (after `earliest`), not too far ahead (up to `latest`)."""

    earliest: datetime
    latest: datetime

    def moved(self, by: timedelta) -> Span:
        return Span(self.earliest + by, self.latest + by)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a trigger is asked with: its rule, the shop's, and the span in which messages may be due."""

    trigger: Trigger
    policy: Policy
    span: Span
    membership: Membership | None = None

    @property
    def delay(self) -> timedelta:
        return self.trigger.delay.delta if self.trigger.delay else timedelta()

    @property
    def offset(self) -> int:
        """Days."""
        return self.trigger.offset or 0

    @property
    def at(self) -> time:
        """The time of day of what is due on a day."""
        return self.trigger.time or DEFAULT_TIME

    def select(
        self,
        customer_id: ColumnElement[Any],
        anchor: ColumnElement[str],
        *,
        order_id: ColumnElement[Any] | None = None,
        event_id: ColumnElement[Any] | None = None,
    ) -> Select[Any]:
        nothing = cast(null(), BigInteger)
        return select(
            customer_id.label("customer_id"),
            anchor.label("anchor"),
            (nothing if order_id is None else order_id).label("order_id"),
            (nothing if event_id is None else event_id).label("event_id"),
        )

    def around(self, moment: ColumnElement[Any], shift: timedelta) -> ColumnElement[bool]:
        """What may be due within the span where it is due about `shift` after `moment`: for an index to find."""
        low = self.span.earliest - shift - ZONE_SLACK
        high = self.span.latest - shift + ZONE_SLACK
        return (moment > literal(low, Moment())) & (moment <= literal(high, Moment()))

    def after(self, query: Select[Any], moment: ColumnElement[Any]) -> Select[Any]:
        """The query, narrowed to what is due `delay` after `moment`, and when that is. It must hold `customers`."""
        trigger = self.trigger
        query = query.where(self.around(moment, self.delay))
        happened = epoch_seconds(moment)
        if trigger.time is None and not (trigger.delay and trigger.delay.is_days):
            return query.add_columns((happened + int(self.delay.total_seconds())).label("due"))
        zone = zone_of_customer(self.policy)
        at = local_seconds(happened, zone)
        wanted = literal(seconds_of(trigger.time), BigInteger) if trigger.time else at % DAY
        due = (whole_days(at) + self.delay.days) * DAY + wanted
        return query.add_columns(due.label("local_due"), zone.label("zone"))

    def on_day(self, query: Select[Any], day: ColumnElement[Any]) -> Select[Any]:
        """The query with what is due on this day (days since 1970) at the rule's time, on the customer's clock."""
        due = day * DAY + seconds_of(self.at)
        return query.add_columns(
            due.label("local_due"), zone_of_customer(self.policy).label("zone")
        )

    def shop_day(self, moment: ColumnElement[Any]) -> ColumnElement[int]:
        """The shop's day of a moment, in days since 1970."""
        shop = literal(self.policy.timezone, Text)
        return whole_days(local_seconds(epoch_seconds(moment), shop))

    def dates(self) -> Iterator[date]:
        """The days whose messages may be due within the span, the offset counted."""
        here = ZoneInfo(self.policy.timezone)
        shift = timedelta(days=self.offset)
        first = (self.span.earliest - ZONE_SLACK).astimezone(here).date() - shift
        last = (self.span.latest + ZONE_SLACK).astimezone(here).date() - shift
        return (first + timedelta(days=count) for count in range((last - first).days + 1))


def zone_of_customer(policy: Policy) -> ColumnElement[str]:
    """The customer's zone, else that of their province, else the shop's."""
    return _zone_beside(policy.timezone)


@lru_cache(maxsize=64)
def _zone_beside(shop: str) -> ColumnElement[str]:
    """Built once: a case for each province, in the statement of each of a thousand definitions."""
    return func.coalesce(known_zone(), literal(shop, Text))


def computed_once(query: Select[Any], name: str) -> CTE:
    """The query's rows, computed once: a planner that folds it into its surroundings computes each due time again for
    every comparison (seconds instead of milliseconds for some hundred rows on SQLite)."""
    return query.cte(name).prefix_with("MATERIALIZED")


def whole_days(local: ColumnElement[Any]) -> ColumnElement[int]:
    """Days since 1970 of local seconds: SQLAlchemy's `/` is true division, and all our seconds are positive."""
    return cast(func.floor(local / DAY), BigInteger)


def number_of(day: date) -> int:
    """Days since 1970."""
    return (day - _EPOCH).days


def seconds_of(moment: time) -> int:
    return moment.hour * 3600 + moment.minute * 60
