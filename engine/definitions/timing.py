"""What can never be sent, whatever else happens: due in quiet hours or on quiet days, and expired before they end.

Judged on the clock of customers in the schedule's zone; a schedule in another zone than the customer's or the shop's is
not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from engine.definitions.campaign import Campaign, Care, Channel, FestiveDays, Schedule
from engine.definitions.cron import Cron
from engine.definitions.policy import Override, Policy, QuietDays, QuietHours
from engine.definitions.report import Report
from engine.definitions.values import Hours

_ANY_DAY = date(2026, 6, 10)
_STEPS = 100
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Due:
    """A wall-clock time at which somebody is due, and how long they can wait. `dated` False: its date means nothing."""

    at: datetime
    lifetime: timedelta
    dated: bool


def check_timing(definition: Campaign | Care, policy: Policy, report: Report) -> None:
    """Report a definition of which nobody would ever get anything, and a window that is never open."""
    if definition.message_class == "transactional":
        return
    schedule = definition.schedule
    if schedule is not None and isinstance(schedule.send_time, Hours):
        _check_window(definition, schedule, schedule.send_time, policy, report)
        return
    dues = list(_dues(definition, policy))
    for step in definition.steps[:1]:  # later ones wait for the one before, not for a time of day
        found = [_hopeless(definition, due, step.channels, policy) for due in dues]
        if found and all(found):
            place = definition.trigger if isinstance(definition, Care) else definition.schedule
            report.error(place.position, str(found[0]), "bad-value")


def _check_window(
    definition: Campaign | Care, schedule: Schedule, window: Hours, policy: Policy, report: Report
) -> None:
    """A window that lies within quiet hours on every channel only looks as if it were one."""
    for step in definition.steps[:1]:
        around = [_around(window, channel, schedule, policy) for channel in step.channels]
        if all(around) and around[0] is not None:
            rule = around[0]
            message = (
                f"the window {window} never opens: {rule.channel} is quiet all the while"
                f" ({rule.hours}, {rule.position})"
            )
            report.error(schedule.position, message, "bad-value")


def _around(
    window: Hours, channel: Channel, schedule: Schedule, policy: Policy
) -> QuietHours | None:
    """The quiet hours that hold the whole window, on its date if it has one."""
    override = _override(policy, schedule.at.date()) if schedule.at else None
    for rule in _hours(policy, channel, override):
        length = _minutes(window.start, window.end)
        if rule.hours.holds(window.start) and _minutes(window.start, rule.hours.end) >= length:
            return rule
    return None


def _dues(definition: Campaign | Care, policy: Policy) -> Iterator[_Due]:
    """The times of day at which it is due, where there are any that can be told."""
    schedule = definition.schedule
    if schedule is None:
        assert isinstance(definition, Care)
        if definition.trigger.time is not None:
            yield _Due(
                datetime.combine(_ANY_DAY, definition.trigger.time),
                definition.trigger.grace.delta,
                dated=False,
            )
        return
    ours = schedule.per_customer or schedule.zone in (None, policy.timezone)
    if schedule.fixed is not None or schedule.send_time is not None or not ours:
        return
    # Whoever is due last within the spread waits least.
    lifetime = schedule.expires.delta + (schedule.spread.delta if schedule.spread else timedelta())
    if schedule.at is not None:
        if schedule.finish_by is not None:
            left = schedule.finish_by - schedule.at
            lifetime = min(lifetime, left) if schedule.spread else left
        yield _Due(schedule.at, lifetime, dated=True)
    elif isinstance(schedule.recurs, FestiveDays):
        yield _Due(datetime.combine(_ANY_DAY, schedule.recurs.time), lifetime, dated=False)
    elif isinstance(schedule.recurs, Cron):
        for wall in (
            time(hour, minute)
            for hour in schedule.recurs.hours
            for minute in schedule.recurs.minutes
        ):
            yield _Due(datetime.combine(_ANY_DAY, wall), lifetime, dated=False)


def _hopeless(
    definition: Campaign | Care, due: _Due, channels: tuple[Channel, ...], policy: Policy
) -> str | None:
    """Why nobody who is due then would get it on any channel; None: somebody may."""
    first: str | None = None
    for channel in channels:
        rule = _quiet(definition, channel, due.at, policy, dated=due.dated)
        opens = _opens(definition, channel, due, policy)
        if rule is None or (opens is not None and opens - due.at <= due.lifetime):
            return None
        hours = f"{rule.hours}, " if isinstance(rule, QuietHours) else ""
        first = first or (
            f"nobody would ever get it: at {due.at:%H:%M} {channel} is quiet"
            f" ({hours}{rule.position}), and it expires before that ends"
        )
    return first


def _opens(
    definition: Campaign | Care, channel: Channel, due: _Due, policy: Policy
) -> datetime | None:
    """The first wall-clock time from it on at which nothing is quiet; None: none in sight."""
    moment = due.at
    for _ in range(_STEPS):
        rule = _quiet(definition, channel, moment, policy, dated=due.dated)
        if rule is None:
            return moment
        midnight = datetime.combine(moment.date() + _DAY, time())
        if isinstance(rule, QuietDays):
            moment = midnight
        else:
            end = moment + timedelta(minutes=_minutes(moment.time(), rule.hours.end))
            moment = min(end, midnight) if due.dated else end
    return None


def _quiet(
    definition: Campaign | Care, channel: Channel, moment: datetime, policy: Policy, *, dated: bool
) -> QuietHours | QuietDays | None:
    """What keeps that wall-clock time quiet. Without a date only the hours of every day do."""
    override = _override(policy, moment.date()) if dated else None
    if dated:
        days = policy.quiet_days
        if override is not None and override.quiet_days is not None:
            days = override.quiet_days
        for day in days:
            if day.binds(definition.message_class, channel) and day.holds(moment.date()):
                return day
    rules = _hours(policy, channel, override)
    return next((rule for rule in rules if rule.hours.holds(moment.time())), None)


def _hours(policy: Policy, channel: Channel, override: Override | None) -> list[QuietHours]:
    mine = [rule for rule in override.quiet_hours if rule.channel == channel] if override else []
    return mine or [rule for rule in policy.quiet_hours if rule.channel == channel]


def _override(policy: Policy, day: date) -> Override | None:
    return next((one for one in policy.calendar if one.first <= day <= one.last), None)


def _minutes(start: time, end: time) -> int:
    return (end.hour * 60 + end.minute - start.hour * 60 - start.minute) % (24 * 60) or 24 * 60
