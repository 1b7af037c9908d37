"""Volume caps of the whole shop: how many messages may leave in a second, an hour, a day. Purely: `traffic` fetches.

Three meters, by the unit of `per`. Seconds: messages are spaced evenly and stamped ahead, so that the rate holds on
the wire even if a few stamps slip. Minutes and hours: a window that rolls in steps of 1/3600 of its length (at least
a second), each step's messages counted until the last of them is out. Days: the shop's calendar days.
Moments are whole microseconds since 1970 here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.limits import Limit
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


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where a message leaves the shop: the provider of its channel, and the address that it is from (None: no email)."""

    provider: str
    sender: str | None


def binds(
    rule: VolumeRule,
    message_class: MessageClass,
    channel: Channel,
    domain: str | None,
    outlet: Outlet | None = None,
) -> bool:
    """Whether the rule counts and limits this message. Without `class`, a rule per second, for a domain or a provider
    binds every class, any other leaves transactional messages alone."""
    if rule.channel is not None and rule.channel != channel:
        return False
    if rule.domain is not None and (channel != "email" or rule.domain != domain):
        return False
    if rule.provider is not None and (outlet is None or rule.provider != outlet.provider):
        return False
    if rule.sender is not None and (outlet is None or rule.sender != outlet.sender):
        return False
    if rule.classes:
        return message_class in rule.classes
    return message_class != "transactional" or rule.is_rate


class Meter(Protocol):
    """What one rule lets through. `add` is told each message that is admitted, with its stamp."""

    rule: VolumeRule
    limit: Limit

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

    def __init__(self, limit: Limit, stamps: Iterable[int]) -> None:
        self.limit = limit
        self.rule = rule = limit.rule
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

    def __init__(self, limit: Limit, counts: Mapping[int, int]) -> None:
        self.limit = limit
        self.rule = rule = limit.rule
        self._length = rule.per.seconds * SECOND
        self._width = step_seconds(rule) * SECOND
        self._steps = deque([step, counts[step]] for step in sorted(counts))
        self._total = sum(counts.values())

    def earliest(self, moment: int) -> int | None:
        while True:
            maximum, edge = self.limit.at(moment)
            free = self._free(moment, maximum)
            if free is not None and (edge is None or free < edge):
                return free
            if edge is None:
                return None
            moment = edge  # another maximum holds from here on

    def _free(self, moment: int, maximum: int) -> int | None:
        """The first moment from this one on at which fewer than so many are in the window."""
        if maximum <= 0:
            return None
        excess = self._total - maximum + 1
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

    def __init__(self, limit: Limit, counts: Mapping[int, int]) -> None:
        self.limit = limit
        self.rule = limit.rule
        self._least = limit.least()
        self._counts = dict(counts)
        self._total = sum(counts.values())

    def earliest(self, moment: int) -> int | None:
        if self.rule.maximum <= 0:
            return None
        if self._total < self._least:
            return moment
        today = self.limit.day(moment)
        day = today
        while self._fullest(day) >= self.limit.on(day):
            day += 1
        return moment if day == today else self.limit.midnight(day)

    def add(self, stamp: int) -> None:
        day = self.limit.day(stamp)
        self._counts[day] = self._counts.get(day, 0) + 1
        self._total += 1
        if self.rule.warm_up is not None and self.limit.begun is None:
            self.limit = replace(self.limit, begun=day)

    def step(self) -> int:
        return 0  # a new day opens for all of them at once

    def counted(self, moment: int) -> int:
        return self._fullest(self.limit.day(moment))

    def _fullest(self, day: int) -> int:
        length = self.rule.per.amount
        if length == 1:
            return self._counts.get(day, 0)
        starts = range(day - length + 1, day + 1)
        return max(
            sum(self._counts.get(start + offset, 0) for offset in range(length)) for start in starts
        )
