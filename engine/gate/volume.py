"""Volume caps of the whole shop: how many messages may leave in a second, an hour, a day. Purely: `traffic` fetches.

Three meters, by the unit of `per`. Seconds: messages are spaced evenly and stamped ahead, so that the rate holds on
the wire even if a few stamps slip. Minutes and hours: a window that rolls in steps of 1/3600 of its length (at least
a second), each step's messages counted until the last of them is out. Days: the shop's calendar days.
Moments are whole microseconds since 1970 here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from engine.clock import from_local
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.policy import VolumeRule

SECOND = 1_000_000
LOOK_AHEAD = 2 * SECOND
"""How far ahead of now a message may be stamped; workers hold it until then."""
_STEPS = 3600
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(position: int) -> datetime:
    return _EPOCH + position * _MICROSECOND


def binds(
    rule: VolumeRule, message_class: MessageClass, channel: Channel, domain: str | None
) -> bool:
    """Whether the rule counts and limits this message. Without `class`, a per-second or domain rule binds every
    class, any other leaves transactional messages alone."""
    if rule.channel is not None and rule.channel != channel:
        return False
    if rule.domain is not None and (channel != "email" or rule.domain != domain):
        return False
    if rule.classes:
        return message_class in rule.classes
    return message_class != "transactional" or is_rate(rule)


def is_rate(rule: VolumeRule) -> bool:
    """A rate of the wire or of a provider, as against a cap that the shop chose."""
    return rule.per.unit == "s" or rule.domain is not None


class Meter(Protocol):
    """What one rule lets through. `add` is told each message that is admitted, with its stamp."""

    rule: VolumeRule

    def earliest(self, moment: int) -> int | None:
        """The first moment from this one on with room; None: never."""
        ...

    def add(self, stamp: int) -> None: ...

    def step(self) -> int:
        """How far apart messages that wait for this rule may come back."""
        ...

    def counted(self, moment: int) -> int:
        """How many messages stand against the cap at that moment."""
        ...


class Spacing:
    """`max: 20, per: 1s`: one message every 50 ms."""

    def __init__(self, rule: VolumeRule, stamps: Iterable[int]) -> None:
        self.rule = rule
        self._length = rule.per.seconds * SECOND
        self._gap = -(-self._length // max(rule.maximum, 1))
        self._stamps = deque(sorted(stamps), maxlen=max(rule.maximum, 1))

    def earliest(self, moment: int) -> int | None:
        if self.rule.maximum <= 0:
            return None
        if not self._stamps:
            return moment
        # Stamps of an older, faster rule may lie closer together: then the window itself decides.
        full = len(self._stamps) == self.rule.maximum
        free = self._stamps[0] + self._length if full else moment
        return max(moment, self._stamps[-1] + self._gap, free)

    def add(self, stamp: int) -> None:
        self._stamps.append(stamp)

    def step(self) -> int:
        return self._gap

    def counted(self, moment: int) -> int:
        return sum(stamp > moment - self._length for stamp in self._stamps)


class Rolling:
    """`max: 1000, per: 1h`. `counts`: messages by the number of the step in which they were stamped."""

    def __init__(self, rule: VolumeRule, counts: Mapping[int, int]) -> None:
        self.rule = rule
        self._length = rule.per.seconds * SECOND
        self._width = step_seconds(rule) * SECOND
        self._steps = deque([step, counts[step]] for step in sorted(counts))
        self._total = sum(counts.values())

    def earliest(self, moment: int) -> int | None:
        if self.rule.maximum <= 0:
            return None
        excess = self._total - self.rule.maximum + 1
        for step, count in self._steps:
            if excess <= 0:
                break
            excess -= count
            moment = max(moment, self._leaves(step))
        return moment

    def add(self, stamp: int) -> None:
        step = stamp // self._width
        self._total += 1
        if self._steps and self._steps[-1][0] >= step:
            self._steps[-1][1] += 1
        else:
            self._steps.append([step, 1])

    def step(self) -> int:
        return -(-self._length // self.rule.maximum)

    def counted(self, moment: int) -> int:
        return sum(count for step, count in self._steps if self._leaves(step) > moment)

    def _leaves(self, step: int) -> int:
        return (step + 1) * self._width + self._length


def step_seconds(rule: VolumeRule) -> int:
    """The width of a rolling window's steps, in seconds."""
    return max(1, rule.per.seconds // _STEPS)


class Daily:
    """`max: 50000, per: 1d`: whole days of the shop. `counts`: messages by the ordinal of the day."""

    def __init__(self, rule: VolumeRule, zone: ZoneInfo, counts: Mapping[int, int]) -> None:
        self.rule = rule
        self._zone = zone
        self._counts = dict(counts)
        self._total = sum(counts.values())

    def earliest(self, moment: int) -> int | None:
        if self.rule.maximum <= 0:
            return None
        if self._total < self.rule.maximum:
            return moment
        today = self._day(moment)
        day = today
        while self._fullest(day) >= self.rule.maximum:
            day += 1
        if day == today:
            return moment
        midnight = datetime.combine(date.fromordinal(day), time())
        return microseconds(from_local(midnight, self._zone.key))

    def add(self, stamp: int) -> None:
        day = self._day(stamp)
        self._counts[day] = self._counts.get(day, 0) + 1
        self._total += 1

    def step(self) -> int:
        return 0  # a new day opens for all of them at once

    def counted(self, moment: int) -> int:
        return self._fullest(self._day(moment))

    def _fullest(self, day: int) -> int:
        length = self.rule.per.amount
        if length == 1:
            return self._counts.get(day, 0)
        starts = range(day - length + 1, day + 1)
        return max(
            sum(self._counts.get(start + offset, 0) for offset in range(length)) for start in starts
        )

    def _day(self, moment: int) -> int:
        return moment_of(moment).astimezone(self._zone).toordinal()
