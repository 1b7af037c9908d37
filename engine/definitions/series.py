"""What several steps say about each other: names that lead somewhere, no circles, and nothing that is never reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.definitions.campaign import Step, Word
from engine.definitions.report import Report
from engine.errors import Position

UNREACHABLE = "unreachable"
_OF_EMAIL: frozenset[Word] = frozenset({"clicked", "opened"})


def check_series(steps: Sequence[Step], report: Report) -> None:
    """Report steps of one id, steps that follow none, or one that is not there or stands below them."""
    _check_ids(steps, report)
    by_id = {step.id: step for step in steps}
    above: set[str] = set()
    for step in steps:
        if step is steps[0]:
            _check_first(step, report)
        elif step.after is None:
            message = f"step {step.id!r} can never be reached: `after` is missing, which says what it follows"
            report.error(step.position, message, UNREACHABLE)
        elif step.after.step not in by_id:
            report.unknown(step.after.position, "step", step.after.step, by_id, "unknown-step")
        elif step.after.step not in above:
            _report_below(step, by_id, report)
        else:
            _check_reachable(step, by_id[step.after.step], report)
        above.add(step.id)


def check_stops(
    steps: Sequence[Step], stop_on: Sequence[Word], where: Position, report: Report
) -> None:
    """Report a `stop_on` that has nothing to stop, or that ends the series for everybody whom an `if` waits for."""
    if stop_on and len(steps) == 1:
        report.error(where, "`stop_on` ends later steps, and there is only one step", "bad-value")
    for step in steps:
        wanted = step.after.only_if if step.after else ()
        if wanted and set(wanted) <= set(stop_on):
            message = f"step {step.id!r} can never be reached: `stop_on` ends the series for whoever {', '.join(wanted)}"
            report.error(step.position, message, UNREACHABLE)


def _check_ids(steps: Sequence[Step], report: Report) -> None:
    seen: set[str] = set()
    for step in steps:
        if step.id in seen:
            message = f"the step id {step.id!r} stands twice; give each step an `id` of its own"
            report.error(step.position, message, "duplicate-id")
        seen.add(step.id)


def _check_first(step: Step, report: Report) -> None:
    if step.after is not None:
        message = (
            "`after` in the first step, which the schedule or the trigger starts: it follows none"
        )
        report.error(step.after.position, message, "bad-value")


def _report_below(step: Step, by_id: Mapping[str, Step], report: Report) -> None:
    """`step` follows itself, or a step that stands below it."""
    assert step.after is not None
    way = [step.id]
    while (after := by_id[way[-1]].after) is not None and after.step in by_id:
        way.append(after.step)
        if after.step in way[:-1]:
            break
    if way[-1] == step.id and len(way) > 1:
        message = f"steps in a circle: {' → '.join(way)}"
        report.error(step.after.position, message, "step-cycle")
        return
    message = f"step {step.after.step!r} stands below: a step follows one that stands above it"
    report.error(step.after.position, message, "bad-value")


def _check_reachable(step: Step, parent: Step, report: Report) -> None:
    wanted = step.after.only_if if step.after else ()
    if wanted and parent.email is None and _OF_EMAIL.issuperset(wanted):
        message = f"step {step.id!r} can never be reached: step {parent.id!r} sends texts only, in which no link is counted"
        report.error(step.position, message, UNREACHABLE)
