"""When nothing may go: quiet hours and days, wall-clock windows and dates of the customer's zone, kept as written, with
ends that are right on DST days and where the calendar's exceptions begin and end. Purely; for the gate, and for whoever
looks ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.clock import from_local
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.overrides import Overrides, overrides_of
from engine.definitions.policy import Override, Policy, QuietDays, QuietHours
from engine.definitions.values import Hours

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

    def stretches(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The time between the two moments in which nothing keeps it quiet, in order."""
        edges = sorted(edge for edge in self._edges(start, end) if start < edge < end)
        moment = self.opening(start)
        while moment is not None and moment < end:
            later = (edge for edge in edges if edge > moment and self.closed(edge) is not None)
            closes = next(later, end)
            yield moment, closes
            moment = self.opening(closes)

    def _edges(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Moments at which something may begin to keep it quiet."""
        windows = [rule.hours.start for rule in (*self.hours, *self.overrides.quiet_hours())]
        day, last = start.astimezone(self.zone).date(), end.astimezone(self.zone).date()
        yield from self.overrides.edges()
        while day <= last:
            for wall in (time(), *windows):
                naive = datetime.combine(day, wall)
                yield from_local(naive, self.zone.key)
                yield naive.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
            day += timedelta(days=1)

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
