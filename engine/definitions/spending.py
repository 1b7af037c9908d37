"""What a message costs at most, before it is sent; and budgets that cannot hold together with prices and steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from engine.definitions.budget_file import MILLION
from engine.definitions.campaign import Budget, Campaign, Care, Channel, Step
from engine.definitions.policy import BudgetRule, Policy, Prices
from engine.definitions.report import Report

MOST_PARTS = 10
"""Of a text message whose step does not say: as many as `max_parts` may be."""


def costs(prices: Prices, step: Step, channel: Channel) -> int:
    """Millionths of the currency that one message of a step costs at most: a text message counts as `max_parts`."""
    if channel == "email":
        return _millionths(prices.email)
    return _millionths(prices.sms) * parts_at_most(step)


def parts_at_most(step: Step) -> int:
    return (step.sms.max_parts if step.sms else None) or MOST_PARTS


def binding(policy: Policy, definition: Campaign | Care, channel: Channel) -> Sequence[BudgetRule]:
    """The policy's budgets that messages of a definition on a channel are paid from."""
    return [
        rule
        for rule in policy.budget
        if definition.message_class in rule.classes
        and (not rule.channels or channel in rule.channels)
    ]


def check_budgets(definitions: Iterable[Campaign | Care], policy: Policy, report: Report) -> None:
    """Another currency, a budget that not one message fits in, a text message of which nobody knows what it costs."""
    for rule in policy.budget:
        _check_currency(rule.budget, policy.prices, report)
    for definition in definitions:
        if definition.budget is not None:
            _check_currency(definition.budget, policy.prices, report)
        for step in definition.steps:
            for channel in step.channels:
                _check_step(definition, step, channel, policy, report)


def _check_currency(budget: Budget, prices: Prices, report: Report) -> None:
    if budget.currency not in (None, prices.currency):
        message = f"a budget in {budget.currency}, and prices in {prices.currency}"
        report.error(budget.position, message, "bad-value")


def _check_step(
    definition: Campaign | Care, step: Step, channel: Channel, policy: Policy, report: Report
) -> None:
    rules = binding(policy, definition, channel)
    budgets = [rule.budget for rule in rules] + ([definition.budget] if definition.budget else [])
    if not budgets:
        return
    if step.sms is not None and channel == "sms" and step.sms.max_parts is None:
        message = (
            "`max_parts` is missing: what a text message costs must be known before it goes, for the"
            f" budget at {budgets[0].position}"
        )
        report.error(step.sms.position, message, "missing-key")
        return
    cost = costs(policy.prices, step, channel)
    for budget in budgets:
        if cost > budget.millionths:
            message = (
                f"not one message fits: {channel} costs up to {Decimal(cost) / MILLION:f} a message,"
                f" the budget is {Decimal(budget.millionths) / MILLION:f} ({budget.position})"
            )
            report.error(step.position, message, "bad-value")


def _millionths(price: Decimal) -> int:
    return int(price * MILLION)
