"""Quiet hours: wall-clock windows of the customer's zone, kept as written, with ends that are right on DST days."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.clock import from_local
from engine.definitions.campaign import Channel
from engine.definitions.policy import Policy, QuietHours
from engine.definitions.values import Hours
from engine.gate.candidates import Candidate
from engine.gate.decision import Because, Defer, Skip, of_policy

QUIET, QUIET_TOO_LONG = "quiet hours", "quiet hours until after expiry"

Opening = Callable[[datetime], datetime | None]
"""The first moment from this one on that lies outside quiet hours; None: there is none."""

_LONGEST_CHAIN = 16
"""Windows that follow one another at most; more would leave no hour of the day open."""


@lru_cache(maxsize=1024)
def zone_of(name: str | None, shop: str) -> ZoneInfo:
    """The customer's zone, or the shop's where it is missing or unknown here.

    >>> str(zone_of("Mars/Olympus", "Asia/Shanghai"))
    'Asia/Shanghai'
    """
    if name:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    return ZoneInfo(shop)


def open_from(windows: Iterable[Hours], zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The first moment (UTC) at or after this one at which the last of the windows that it falls in has ended.

    In a DST gap a window ends with the gap; in an overlap at the first of the two, and the repeated hour is quiet
    again as far as its wall clock says so. None: the windows together leave no hour open.

    >>> from engine.definitions.values import parse_hours
    >>> night = [parse_hours("20:00-08:00")]
    >>> open_from(night, ZoneInfo("Asia/Shanghai"), datetime(2026, 11, 9, 14, 0, tzinfo=UTC)).isoformat()
    '2026-11-10T00:00:00+00:00'
    """
    windows = tuple(windows)
    for _ in range(_LONGEST_CHAIN):
        local = moment.astimezone(zone)
        clock = local.time()
        holding = next((hours for hours in windows if hours.holds(clock)), None)
        if holding is None:
            return moment
        moment = _end(holding, local, zone)
    return None


def _end(hours: Hours, local: datetime, zone: ZoneInfo) -> datetime:
    ends_tomorrow = hours.start > hours.end and local.time() >= hours.start
    date = local.date() + timedelta(days=1) if ends_tomorrow else local.date()
    naive = datetime.combine(date, hours.end)
    end = from_local(naive, zone.key)
    if end > local.astimezone(UTC):
        return end
    # The end was already passed once and the clock has been set back since: this is its second time.
    return naive.replace(tzinfo=zone, fold=1).astimezone(UTC)


class QuietTimes:
    """The policy's quiet hours for one batch: marketing and care, in each customer's zone."""

    def __init__(self, policy: Policy, now: datetime) -> None:
        self._shop = policy.timezone
        self._now = now
        self._rules: dict[Channel, list[QuietHours]] = {}
        for rule in policy.quiet_hours:
            self._rules.setdefault(rule.channel, []).append(rule)
        self._openings: dict[tuple[Channel, str | None], Opening] = {}
        self._open_now: dict[tuple[Channel, str | None], bool] = {}

    def opening(self, candidate: Candidate, channel: Channel) -> Opening:
        """When messages of this candidate on this channel may go; always, where no quiet hours bind it."""
        rules = self._rules.get(channel)
        if not rules or candidate.message_class == "transactional":
            return _always
        key = (channel, candidate.timezone)
        if key not in self._openings:
            zone = zone_of(candidate.timezone, self._shop)
            self._openings[key] = partial(open_from, [rule.hours for rule in rules], zone)
        return self._openings[key]

    def are_over(self, candidate: Candidate, channel: Channel) -> bool:
        """Whether it is open at this batch's `now`; worked out once per channel and zone."""
        opening = self.opening(candidate, channel)
        if opening is _always:
            return True
        key = (channel, candidate.timezone)
        if key not in self._open_now:
            self._open_now[key] = opening(self._now) == self._now
        return self._open_now[key]

    def judge(
        self, candidate: Candidate, channel: Channel, moment: datetime
    ) -> Defer | Skip | None:
        """None outside quiet hours; else a deferral to their end, or a skip where they outlast the message."""
        if moment is self._now and self.are_over(candidate, channel):
            return None
        until = self.opening(candidate, channel)(moment)
        if until == moment:
            return None
        because = self._because(candidate, channel, moment)
        if until is None or until > candidate.not_after:
            return Skip(Because(QUIET_TOO_LONG, because.rule, because.evidence))
        return Defer(until, because)

    def _because(self, candidate: Candidate, channel: Channel, moment: datetime) -> Because:
        zone = zone_of(candidate.timezone, self._shop)
        local = moment.astimezone(zone)
        rule = next(rule for rule in self._rules[channel] if rule.hours.holds(local.time()))
        evidence = {"channel": channel, "local_time": local.isoformat(), "timezone": zone.key}
        return Because(QUIET, of_policy(rule), evidence)


def _always(moment: datetime) -> datetime:
    return moment
