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


def cannot_finish(
    policy: Policy,
    definition: Definition,
    due: datetime,
    finish: datetime,
    by_channel: Mapping[Channel, int],
    begun: Mapping[VolumeRule, date],
) -> list[str]:
    """A sentence for each volume cap that does not let so many messages go between the two moments, on the shop's
    clock. Never a false alarm: what others send meanwhile is not counted."""
    told = []
    zone = ZoneInfo(policy.timezone)
    first = due.astimezone(zone).date()
    for rule in policy.volume:
        if (
            rule.domain
            or rule.sender
            or rule.provider
            or definition.message_class not in _bound(rule)
        ):
            continue
        channels = [one for one in by_channel if rule.channel in (None, one)]
        people = sum(by_channel[one] for one in channels)
        limit = Limit.of(rule, zone, policy.calendar, begun.get(rule, first))
        stretches = [
            stretch
            for channel in channels[:1]
            for stretch in open_time(policy, definition, channel, policy.timezone, due, finish)
        ]
        most = _fits(limit, list(by_day(stretches, policy)), policy)
        if people > most:
            by = f"{finish.astimezone(zone):%Y-%m-%d %H:%M}"
            told.append(
                f"it cannot finish by {by}: {people} messages, and {rule.text} ({rule.position}) lets"
                f" {most} go until then; {people - most} would be skipped as finished"
            )
    return told


def _bound(rule: VolumeRule) -> frozenset[str]:
    ordinary = {"marketing", "care"} | ({"transactional"} if rule.is_rate else set())
    return rule.classes or frozenset(ordinary)


def _fits(limit: Limit, cut: Sequence[tuple[datetime, datetime]], policy: Policy) -> int:
    """At most how many a rule lets through in these stretches, each of one day of the shop."""
    rule = limit.rule
    if rule.per.is_days:
        days = sorted({_day(start, policy) for start, _ in cut})
        windows = [days[place : place + rule.per.amount] for place in range(0, len(days), rule.per.amount)]  # fmt: skip
        return sum(max(limit.on(day) for day in window) for window in windows)
    return sum(
        limit.on(_day(start, policy)) * -(-int((end - start).total_seconds()) // rule.per.seconds)
        for start, end in cut
    )


def day_limits(
    policy: Policy, definition: Definition, begun: Mapping[VolumeRule, date], due: datetime
) -> list[Limit]:
    """The caps a day of a run that begins then; a warm-up that was never used begins with it."""
    zone = ZoneInfo(policy.timezone)
    first = due.astimezone(zone).date()
    return [
        Limit.of(rule, zone, policy.calendar, begun.get(rule, first))
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
    stretches = list(open_time(policy, definition, channel, zone, due, finish)) or [(due, finish)]
    days = [(_day(start, policy), start, end) for start, end in by_day(stretches, policy)]
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


def open_time(
    policy: Policy,
    definition: Definition,
    channel: Channel,
    zone: str,
    due: datetime,
    finish: datetime,
) -> Iterator[tuple[datetime, datetime]]:
    """The stretches between a due time and `finish_by` in which nothing keeps it quiet."""
    quiet = quiet_of(policy, definition.message_class, channel, zone)
    if quiet is None:
        return iter([(due, finish)])
    return quiet.stretches(due, finish)


def by_day(
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
