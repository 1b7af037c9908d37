"""What triggers and schedules say about other files: grades, levels and tags that must exist, and what can never be sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.definitions.campaign import Campaign, Care, Trigger
from engine.definitions.membership import FILE as MEMBERSHIP_FILE
from engine.definitions.membership import Membership
from engine.definitions.policy import Policy
from engine.definitions.report import Report
from engine.definitions.tagging_file import check_tag
from engine.definitions.timing import check_timing

_NOBODY = "nobody can match"


def check_triggers(
    definitions: Iterable[Campaign | Care],
    policy: Policy,
    membership: Membership | None,
    report: Report,
) -> None:
    """Names that lead nowhere, changes that nobody can make, and messages that expire before they may go."""
    for definition in definitions:
        check_timing(definition, policy, report)
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
    if dimensions:
        values = asked.get("value", ())
        check_tag(asked["dimension"], values, trigger.position, dimensions, report)
