"""Quiet hours and days: wall-clock windows and dates of the customer's zone, kept as written, with ends that are right
on DST days and where the calendar's exceptions begin and end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.clock import from_local
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.policy import Override, Policy, QuietDays, QuietHours
from engine.definitions.values import Hours
from engine.gate.candidates import Candidate
from engine.gate.decision import Because, Defer, Skip, of_policy
from engine.gate.overrides import Overrides, evidence_of, overrides_of

QUIET, QUIET_TOO_LONG = "quiet hours", "quiet hours until after expiry"
QUIET_DAY, QUIET_DAY_TOO_LONG = "quiet day", "quiet days until after expiry"

Opening = Callable[[datetime], datetime | None]
"""The first moment from this one on that lies outside quiet hours; None: there is none."""

_LONGEST_CHAIN = 100
"""Windows and days that follow one another at most: more than any holidays, with their nights, last."""


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


@dataclass(frozen=True, slots=True)
class Closed:
    """What keeps a moment quiet, and until when at the latest it does."""

    rule: QuietHours | QuietDays
    until: datetime
    override: Override | None = None


@dataclass(frozen=True, slots=True)
class Quiet:
    """All that may keep messages of one class on one channel from going, in one zone: hours, days, and the calendar's
    exceptions, each as it holds at the moment that is asked about."""

    hours: tuple[QuietHours, ...]
    days: tuple[QuietDays, ...]
    overrides: Overrides
    message_class: MessageClass
    channel: Channel
    zone: ZoneInfo

    def closed(self, moment: datetime) -> Closed | None:
        """What keeps it quiet at this moment; None: nothing."""
        override, edge = self.overrides.at(moment)
        local = moment.astimezone(self.zone)
        for day in self._days(override):
            if day.holds(local.date()):
                end = _midnight_after(local, self.zone)
                return Closed(day, min(end, edge or end), _whose(day, override))
        for rule in self._hours(override):
            if rule.hours.holds(local.time()):
                end = _end(rule.hours, local, self.zone)
                return Closed(rule, min(end, edge or end), _whose(rule, override))
        return None

    def opening(self, moment: datetime) -> datetime | None:
        """The first moment from this one on at which nothing keeps it quiet; None: none in sight."""
        for _ in range(_LONGEST_CHAIN):
            found = self.closed(moment)
            if found is None:
                return moment
            moment = found.until
        return None

    def _hours(self, override: Override | None) -> Sequence[QuietHours]:
        if override is not None:
            mine = [rule for rule in override.quiet_hours if rule.channel == self.channel]
            if mine:
                return mine
        return self.hours

    def _days(self, override: Override | None) -> Sequence[QuietDays]:
        if override is None or override.quiet_days is None:
            return self.days
        return [day for day in override.quiet_days if day.binds(self.message_class, self.channel)]


def quiet_of(
    policy: Policy, message_class: MessageClass, channel: Channel, timezone: str | None
) -> Quiet | None:
    """What keeps such messages quiet in a customer's zone (None: the shop's); None: nothing ever does."""
    if message_class == "transactional":
        return None
    hours = tuple(rule for rule in policy.quiet_hours if rule.channel == channel)
    days = tuple(rule for rule in policy.quiet_days if rule.binds(message_class, channel))
    changed = any(one.quiet_hours or one.quiet_days for one in policy.calendar)
    if not (hours or days or changed):
        return None
    zone = zone_of(timezone, policy.timezone)
    return Quiet(hours, days, overrides_of(policy), message_class, channel, zone)


class QuietTimes:
    """The policy's quiet hours and days for one batch: marketing and care, in each customer's zone."""

    def __init__(self, policy: Policy, now: datetime) -> None:
        self._policy = policy
        self._now = now
        self._quiet: dict[tuple[MessageClass, Channel, str | None], Quiet | None] = {}
        self._open_now: dict[tuple[MessageClass, Channel, str | None], bool] = {}

    def opening(self, candidate: Candidate, channel: Channel) -> Opening:
        """When messages of this candidate on this channel may go; always, where nothing ever keeps them quiet."""
        quiet = self._of(candidate, channel)
        return _always if quiet is None else quiet.opening

    def are_over(self, candidate: Candidate, channel: Channel) -> bool:
        """Whether it is open at this batch's `now`; worked out once per class, channel and zone."""
        quiet = self._of(candidate, channel)
        if quiet is None:
            return True
        key = (candidate.message_class, channel, candidate.timezone)
        found = self._open_now.get(key)
        if found is None:
            found = self._open_now[key] = quiet.closed(self._now) is None
        return found

    def judge(
        self, candidate: Candidate, channel: Channel, moment: datetime
    ) -> Defer | Skip | None:
        """None where nothing keeps it quiet; else a deferral to the end of it, or a skip where that outlasts the
        message."""
        if moment is self._now and self.are_over(candidate, channel):
            return None
        quiet = self._of(candidate, channel)
        closed = None if quiet is None else quiet.closed(moment)
        if quiet is None or closed is None:
            return None
        reason, too_long = _REASONS[type(closed.rule)]
        local = moment.astimezone(quiet.zone)
        facts = {"channel": channel, "local_time": local.isoformat(), "timezone": quiet.zone.key}
        evidence = {**facts, **evidence_of(closed.override)}
        because = Because(reason, of_policy(closed.rule), evidence)
        until = quiet.opening(moment)
        if until is None or until > candidate.not_after:
            return Skip(Because(too_long, because.rule, because.evidence))
        return Defer(until, because)

    def _of(self, candidate: Candidate, channel: Channel) -> Quiet | None:
        key = (candidate.message_class, channel, candidate.timezone)
        if key not in self._quiet:
            self._quiet[key] = quiet_of(self._policy, *key)
        return self._quiet[key]


_REASONS: Mapping[type[QuietHours] | type[QuietDays], tuple[str, str]] = {
    QuietHours: (QUIET, QUIET_TOO_LONG),
    QuietDays: (QUIET_DAY, QUIET_DAY_TOO_LONG),
}


def _whose(rule: QuietHours | QuietDays, override: Override | None) -> Override | None:
    """The exception that the rule is part of; None: the policy's own."""
    mine = override is not None and (
        rule in override.quiet_hours or rule in (override.quiet_days or ())
    )
    return override if mine else None


def _midnight_after(local: datetime, zone: ZoneInfo) -> datetime:
    """The first moment of the next local day."""
    tomorrow = datetime.combine(local.date() + timedelta(days=1), time())
    return from_local(tomorrow, zone.key)


def _always(moment: datetime) -> datetime:
    return moment
