"""What triggers and schedules say about other files: grades, levels and tags that must exist, and what can never be sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import time

from engine.definitions.campaign import Campaign, Care, FestiveDays, Trigger
from engine.definitions.membership import FILE as MEMBERSHIP_FILE
from engine.definitions.membership import Membership
from engine.definitions.policy import Policy, QuietHours
from engine.definitions.report import Report

_NOBODY = "nobody can match"


def check_triggers(
    definitions: Iterable[Campaign | Care],
    policy: Policy,
    membership: Membership | None,
    report: Report,
) -> None:
    """Names that lead nowhere, changes that nobody can make, and messages that expire before they may go."""
    for definition in definitions:
        _check_hours(definition, policy, report)
        if not isinstance(definition, Care):
            continue
        trigger = definition.trigger
        if trigger.kind == "grade.changed":
            grades = [name for name, _ in reversed(policy.grading.grades)]
            _check_change(trigger, grades, "grade", report)
        elif trigger.kind.startswith("membership."):
            _check_levels(trigger, membership, report)
        elif trigger.kind == "tag.added":
            _check_tag(trigger, policy, report)


def _check_change(trigger: Trigger, upwards: Sequence[str], what: str, report: Report) -> None:
    """`upwards`: the names that there are, lowest first."""
    asked = trigger.arguments
    before = report.errors
    for name in (*asked.get("from", ()), *asked.get("to", ()), *asked.get("level", ())):
        if name not in upwards:
            report.unknown(trigger.position, what, name, upwards, f"unknown-{what}")
    if report.errors > before or not {"from", "to", "direction"} & set(asked):
        return
    height = {name: place for place, name in enumerate(upwards, 1)}
    low = [height[name] for name in asked["from"]] if "from" in asked else [0, *height.values()]
    high = [height[name] for name in asked["to"]] if "to" in asked else [0, *height.values()]
    ways = {(first < last) - (first > last) for first in low for last in high if first != last}
    wanted = {"rose": {1}, "fell": {-1}}.get(asked.get("direction", ""), {1, -1})
    if not ways & wanted:
        told = f"{' '.join(asked.get('from', ('any',)))} to {' '.join(asked.get('to', ('any',)))}"
        message = f"{_NOBODY}: from {told} {asked.get('direction', 'is no change')}".rstrip()
        report.error(trigger.position, message, "bad-value")


def _check_levels(trigger: Trigger, membership: Membership | None, report: Report) -> None:
    if membership is not None:
        levels = [level.name for level in membership.levels]
        _check_change(trigger, levels, "level", report)
    elif trigger.arguments:
        message = f"{trigger.kind} names levels, and there is no {MEMBERSHIP_FILE} that has any"
        report.error(trigger.position, message, "unknown-level")


def _check_tag(trigger: Trigger, policy: Policy, report: Report) -> None:
    """Only where tagging.yaml names tags at all: without it an import may bring any."""
    dimensions, asked = policy.tagging.dimensions, trigger.arguments
    dimension = asked["dimension"]
    if not dimensions:
        return
    if dimension not in dimensions:
        report.unknown(trigger.position, "dimension", dimension, dimensions, "unknown-tag")
        return
    known = dimensions[dimension].values
    for value in asked.get("value", ()):
        if value not in known:
            report.unknown(trigger.position, f"value of {dimension}", value, known, "unknown-tag")


def _check_hours(definition: Campaign | Care, policy: Policy, report: Report) -> None:
    """What is due at a fixed time of the customer's day within quiet hours, and expires before they end."""
    at, lifetime = _time_of_day(definition)
    if at is None or definition.message_class == "transactional":
        return
    for step in definition.steps:
        quiet = [_quiet_until(at, channel, policy) for channel in step.channels]
        waits = [found for found in quiet if found is not None]
        if waits and len(waits) == len(quiet) and all(wait > lifetime for wait, _ in waits):
            hours = min(waits, key=lambda found: found[0])[1]
            message = (
                f"nobody would ever get it: at {at:%H:%M} {hours.channel} is quiet"
                f" ({hours.hours}, {hours.position}), and it expires before that ends"
            )
            place = definition.trigger if isinstance(definition, Care) else definition.schedule
            report.error(place.position, message, "bad-value")


def _time_of_day(definition: Campaign | Care) -> tuple[time | None, int]:
    """The customer's time of day at which it is always due, where there is one; and how long it lives, in seconds."""
    schedule = definition.schedule
    if schedule is not None:
        if not schedule.per_customer or schedule.spread is not None:
            return None, 0
        recurs = schedule.recurs
        if isinstance(recurs, FestiveDays):
            return recurs.time, schedule.expires.seconds
        return schedule.at.time() if schedule.at else None, schedule.expires.seconds
    assert isinstance(definition, Care)
    return definition.trigger.time, definition.trigger.grace.seconds


def _quiet_until(at: time, channel: str, policy: Policy) -> tuple[int, QuietHours] | None:
    """Seconds until the channel's quiet hours end, where they hold at that time."""
    for quiet in policy.quiet_hours:
        if quiet.channel == channel and quiet.hours.holds(at):
            end = quiet.hours.end
            minutes = (end.hour * 60 + end.minute - at.hour * 60 - at.minute) % (24 * 60)
            return minutes * 60, quiet
    return None
