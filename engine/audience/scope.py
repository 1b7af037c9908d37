"""What a question about customers is asked against: the moment, the shop's zone, its policy, its named segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from engine.clock import from_local
from engine.definitions.policy import Policy
from engine.definitions.segment import Segment
from engine.definitions.values import Duration
from engine.errors import Position

COMPLETED = ("paid", "shipped", "arrived", "received")
"""An order of one of these statuses counts; a refunded or closed one does not."""

_END = datetime(9999, 1, 1, tzinfo=UTC)
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cut:
    """The last place of a `top`: whoever has more of the measure is in; of those with as much, ids up to this one."""

    measure: int
    customer_id: int


@dataclass(frozen=True, slots=True)
class Scope:
    """`now` is aware; `timezone` is the shop's; `segments` are those that trees may name.

    `cuts`: the last places that were looked up before, by where their `top` stands; others are looked up in SQL.
    """

    now: datetime
    timezone: str
    policy: Policy
    segments: Mapping[str, Segment]
    cuts: Mapping[Position, Cut] = field(default_factory=dict)

    def ago(self, duration: Duration) -> datetime:
        """The moment so long before now (a day is 24 hours); however long it is, no earlier than the year 1."""
        if duration.delta > self.now - _BEGINNING:
            return _BEGINNING
        return self.now - duration.delta

    def later(self, duration: Duration) -> datetime:
        """The moment so long after now; no later than the year 9999."""
        return self.now + duration.delta if duration.delta < _END - self.now else _END

    def start_of(self, day: date) -> datetime:
        """When this day begins in the shop's zone."""
        return from_local(datetime.combine(day, time()), self.timezone)

    def end_of(self, day: date) -> datetime:
        """When the day after it begins in the shop's zone."""
        return self.start_of(day + timedelta(days=1))
