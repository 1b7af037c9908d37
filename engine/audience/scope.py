"""What a question about customers is asked against: the moment, the shop's zone, its policy, its named segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from engine.clock import from_local
from engine.definitions.policy import Policy
from engine.definitions.segment import Segment
from engine.definitions.values import Duration

COMPLETED = ("paid", "shipped", "arrived", "received")
"""An order of one of these statuses counts; a refunded or closed one does not."""

_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Scope:
    """`now` is aware; `timezone` is the shop's; `segments` are those that trees may name."""

    now: datetime
    timezone: str
    policy: Policy
    segments: Mapping[str, Segment]

    def ago(self, duration: Duration) -> datetime:
        """The moment so long before now (a day is 24 hours); however long it is, no earlier than the year 1."""
        if duration.delta > self.now - _BEGINNING:
            return _BEGINNING
        return self.now - duration.delta

    def start_of(self, day: date) -> datetime:
        """When this day begins in the shop's zone."""
        return from_local(datetime.combine(day, time()), self.timezone)

    def end_of(self, day: date) -> datetime:
        """When the day after it begins in the shop's zone."""
        return self.start_of(day + timedelta(days=1))
