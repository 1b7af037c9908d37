"""Does a series fit under the policy's frequency caps? One that can never reach a step is a mistake in one of the two.

Asked of a customer who gets nothing else: what the caps would take from the series even then is never sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.definitions.campaign import Campaign, Care, Channel, MessageClass, Step
from engine.definitions.policy import FrequencyRule, Policy
from engine.definitions.report import Report

CAPPED_BY_DEFAULT: frozenset[MessageClass] = frozenset({"marketing", "care"})
_DAY = 86_400


def check_rhythms(definitions: Iterable[Campaign | Care], policy: Policy, report: Report) -> None:
    """Report each series with a step that a frequency rule takes away from everybody."""
    for definition in definitions:
        for step in definition.steps[1:]:
            if _check(definition, step, policy, report):
                break  # those that follow it are lost with it


def _check(definition: Campaign | Care, step: Step, policy: Policy, report: Report) -> bool:
    chain = list(_chain(definition, step))
    for rule in policy.frequency:
        skips = (rule.overflow or policy.overflow) == "skip"
        lifetime = 0 if skips else definition.lifetime.seconds
        if not all(_binds(rule, definition.message_class, each.channels) for each, _ in chain):
            continue
        if _is_lost(chain, rule, lifetime):
            number = definition.steps.index(step) + 1
            message = (
                f"this series can never reach step {number}, {step.id!r}: at most {rule.maximum} in {rule.per}"
                f" ({rule.position}), and it expires before there is room again"
            )
            report.error(step.position, message, "unreachable")
            return True
    return False


def _chain(definition: Campaign | Care, step: Step) -> list[tuple[Step, bool]]:
    """The steps that lead to this one, the first one first, and the step itself; each with whether it was sent by then.

    After `on: any` it may not have been, where it has conditions of its own.
    """
    if step.after is None:
        return [(step, True)]
    parent = definition.step(step.after.step)
    assert parent is not None, "checked with the steps"
    before = _chain(definition, parent)
    if step.after.on == "any" and parent.after and (parent.after.unless or parent.after.only_if):
        before[-1] = (parent, False)
    return [*before, (step, True)]


def _is_lost(chain: Sequence[tuple[Step, bool]], rule: FrequencyRule, lifetime: int) -> bool:
    """Whether the last step of the chain finds no room in its lifetime, each being sent as soon as there is room.

    A window of days begins at a midnight: two messages of one place in the rhythm may be nearly a day closer.
    """
    gap = rule.per.seconds - (_DAY if rule.per.is_days else 0)
    now, sent = 0, list[int]()
    for step, is_sent in chain:
        now += step.after.wait.seconds if step.after is not None else 0
        if not is_sent:
            continue
        room = sent[-rule.maximum] + gap if len(sent) >= rule.maximum else now
        if room > now + lifetime:
            return step is chain[-1][0]
        now = max(now, room)
        sent.append(now)
    return False


def _binds(rule: FrequencyRule, message_class: MessageClass, channels: tuple[Channel, ...]) -> bool:
    """Whether a message counts under the rule whichever of its channels it takes."""
    if message_class not in (rule.classes or CAPPED_BY_DEFAULT):
        return False
    return not rule.channels or rule.channels.issuperset(channels)
