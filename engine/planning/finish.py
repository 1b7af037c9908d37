"""Spreading a run so that the last goes before `finish_by`: evenly over the time that is open to a customer, and on no
day more than the shop's daily volume caps let through. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.clock import from_local
from engine.definitions.campaign import Channel, Definition
from engine.definitions.limits import Limit
from engine.definitions.policy import Policy, VolumeRule
from engine.definitions.quiet import quiet_of

UNITS = 1_000_000
"""A customer's place in a run is one of so many; each piece of time takes some of them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The places from `low` to before `high` are spread over so many `seconds` from `start` on (UTC, since 1970)."""

    low: int
    high: int
    start: int
    seconds: int


def daily_rules(policy: Policy, definition: Definition) -> list[VolumeRule]:
    """The caps a day that all messages of a definition must pass."""
    channels = {channel for step in definition.steps for channel in step.channels}
    return [
        rule
        for rule in policy.volume
        if str(rule.per) == "1d"
        and rule.domain is None
        and rule.sender is None
        and rule.provider is None
        and (rule.channel is None or channels == {rule.channel})
        and definition.message_class in (rule.classes or {"marketing", "care"})
    ]


def day_limits(policy: Policy, definition: Definition, begun: Mapping[VolumeRule, date]) -> list[Limit]:  # fmt: skip
    zone = ZoneInfo(policy.timezone)
    return [
        Limit.of(rule, zone, policy.calendar, begun.get(rule))
        for rule in daily_rules(policy, definition)
    ]


def pieces(
    policy: Policy,
    definition: Definition,
    zone: str,
    due: datetime,
    finish: datetime,
    limits: Sequence[Limit] = (),
    people: int = 0,
) -> list[Piece]:
    """The time between a customer's due time and `finish_by` that is open, with the places that each piece of it takes.

    `people`: how many share the `limits`. Where nothing is open, all of it.
    """
    channel = definition.steps[0].channels[0]
    open_time = list(_open(policy, definition, channel, zone, due, finish)) or [(due, finish)]
    days = [(_day(start, policy), start, end) for start, end in _by_day(open_time, policy)]
    seconds: dict[int, float] = {}
    for day, start, end in days:
        seconds[day] = seconds.get(day, 0) + (end - start).total_seconds()
    shares = _shares(seconds, {day: _most(limits, day) for day in seconds}, people)
    return list(_laid_out(days, seconds, shares))


def _laid_out(
    days: Iterable[tuple[int, datetime, datetime]],
    seconds: Mapping[int, float],
    shares: Mapping[int, float],
) -> Iterator[Piece]:
    total, reached = sum(shares.values()), 0.0
    for day, start, end in days:
        length = (end - start).total_seconds()
        low = round(UNITS * reached / total)
        reached += shares[day] * length / seconds[day]
        high = round(UNITS * reached / total)
        if high > low:
            yield Piece(low, high, int(start.timestamp()), max(1, int(length)))


def _shares(
    seconds: Mapping[int, float], most: Mapping[int, float], people: int
) -> Mapping[int, float]:
    """How many of the people each day takes: as even in time as the days' limits let it be. Where they do not all fit,
    each day takes as many as it may."""
    if not people or sum(most.values()) <= people:
        return dict(most) if people and sum(most.values()) < float("inf") else dict(seconds)
    shares: dict[int, float] = {}
    left, time_left = float(people), sum(seconds.values())
    for day in sorted(seconds, key=lambda one: most[one] / seconds[one]):
        shares[day] = min(most[day], left * seconds[day] / time_left)
        left -= shares[day]
        time_left -= seconds[day]
    return shares


def _most(limits: Iterable[Limit], day: int) -> float:
    return min((limit.on(day) for limit in limits), default=float("inf"))


def _open(
    policy: Policy,
    definition: Definition,
    channel: Channel,
    zone: str,
    due: datetime,
    finish: datetime,
) -> Iterator[tuple[datetime, datetime]]:
    quiet = quiet_of(policy, definition.message_class, channel, zone)
    if quiet is None:
        return iter([(due, finish)])
    return quiet.stretches(due, finish)


def _by_day(
    stretches: Iterable[tuple[datetime, datetime]], policy: Policy
) -> Iterator[tuple[datetime, datetime]]:
    """The stretches, cut at the shop's midnights."""
    zone = ZoneInfo(policy.timezone)
    for start, end in stretches:
        moment = start
        while moment < end:
            tomorrow = moment.astimezone(zone).date() + timedelta(days=1)
            cut = min(end, from_local(datetime.combine(tomorrow, time()), policy.timezone))
            yield moment, cut
            moment = cut


def _day(moment: datetime, policy: Policy) -> int:
    return moment.astimezone(ZoneInfo(policy.timezone)).toordinal()
