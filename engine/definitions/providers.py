"""Providers that volume rules name must be those of yanshu.toml: a rule about another would bind nothing."""

from __future__ import annotations

from collections.abc import Collection

from engine.definitions.policy import Policy
from engine.definitions.report import Report
from engine.errors import Problem


def check_providers(policy: Policy, known: Collection[str]) -> tuple[Problem, ...]:
    """An error for each rule that names a provider which is not among the known."""
    report = Report()
    for rule in policy.volume:
        if rule.provider is not None and rule.provider not in known:
            report.unknown(rule.position, "provider", rule.provider, known, "unknown-provider")
    return report.sorted()
