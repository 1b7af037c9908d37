"""Budgets: how much has been spent, and whether one more message can be paid. Counted from committed deliveries.

A text message that was sent counts by its parts, one that is on its way by as many as it may have. Like the meters of
`traffic` this is kept between batches: it may count too much, never too little, and looks afresh every minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, func, select

from engine.clock import from_local
from engine.definitions.budget_file import MILLION
from engine.definitions.campaign import Budget, Campaign, Care, Channel, Step
from engine.definitions.policy import BudgetRule, Overflow, Policy
from engine.definitions.quiet import Opening
from engine.definitions.spending import binding, costs, parts_at_most
from engine.gate.candidates import Candidate, Catalog, Version
from engine.gate.decision import Because, Defer, Skip, of_definition, of_policy
from engine.gate.states import is_committed
from engine.store.tables import deliveries

BUDGET = "budget"
_STALE = timedelta(seconds=60)
_MOST_NAMED = 5


@dataclass
class Purse:
    """One budget, with what each definition took of it, in millionths, and with how many messages."""

    budget: Budget
    rule: Mapping[str, Any]
    overflow: Overflow | None
    spent: int = 0
    by_definition: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)

    def take(self, definition: str, cost: int, messages: int = 1) -> None:
        self.spent += cost
        self.by_definition[definition] += cost
        self.messages[definition] += messages

    def evidence(self, cost: int, currency: str) -> Mapping[str, Any]:
        """What used it up: those who took most."""
        return {
            "amount": _amount(self.budget.millionths),
            "currency": currency,
            "per": "month" if self.budget.monthly else "ever",
            "spent": _amount(self.spent),
            "costs": _amount(cost),
            "used": [
                {"definition": name, "messages": self.messages[name], "amount": _amount(taken)}
                for name, taken in self.by_definition.most_common(_MOST_NAMED)
            ],
        }


class Budgets:
    """The purses of the policy's budgets and of the definitions that have one."""

    def __init__(self) -> None:
        self._policy: Policy | None = None
        self._loaded_at = datetime.min.replace(tzinfo=UTC)
        self._month = (self._loaded_at, self._loaded_at)
        self._shops: dict[BudgetRule, Purse] = {}
        self._own: dict[tuple[str, Budget], Purse] = {}
        self._bills: dict[tuple[str, str, Channel], tuple[tuple[Purse, ...], int]] = {}

    def prepare(
        self,
        connection: Connection,
        catalog: Catalog,
        versions: Mapping[str, Version],
        now: datetime,
    ) -> None:
        """Begin a batch. No query without a budget that concerns it."""
        self._versions, policy = versions, catalog.policy
        if policy is not self._policy or self._is_stale(now):
            self._policy, self._loaded_at = policy, now
            self._month = month_of(now, policy.timezone)
            count = _Count(connection, catalog, policy, self._month)
            self._shops = {rule: count.of_rule(rule) for rule in policy.budget}
            self._own, self._bills = {}, {}
        missing = [
            one.definition
            for one in versions.values()
            if one.definition.budget and (one.definition.id, one.definition.budget) not in self._own
        ]
        for definition in missing:
            count = _Count(connection, catalog, policy, self._month)
            assert definition.budget is not None
            self._own[definition.id, definition.budget] = count.of_definition(definition)

    def judge(
        self, candidate: Candidate, channel: Channel, opening: Opening
    ) -> Defer | Skip | None:
        """None where every budget can pay for it; else the month in which one may again, or why never."""
        if not self._shops and not self._own:
            return None
        purses, cost = self._bill(candidate, channel)
        policy = self._policy
        assert policy is not None
        if not purses or candidate.address(channel) in policy.never_capped:
            return None
        empty = [purse for purse in purses if purse.spent + cost > purse.budget.millionths]
        if not empty:
            return None
        final = [purse for purse in empty if not self._waits(purse)]
        purse = (final or empty)[0]
        because = Because(BUDGET, purse.rule, purse.evidence(cost, policy.prices.currency))
        until = None if final else opening(self._month[1])
        return Defer(until, because) if until and until <= candidate.not_after else Skip(because)

    def admitted(self, candidate: Candidate, channel: Channel) -> None:
        if self._shops or self._own:
            purses, cost = self._bill(candidate, channel)
            for purse in purses:
                purse.take(candidate.definition, cost)

    def _waits(self, purse: Purse) -> bool:
        assert self._policy is not None
        return purse.budget.monthly and (purse.overflow or self._policy.overflow) == "defer"

    def _bill(self, candidate: Candidate, channel: Channel) -> tuple[tuple[Purse, ...], int]:
        """The purses that pay for it, and what it costs at most."""
        key = (candidate.digest, candidate.step, channel)
        found = self._bills.get(key)
        if found is None:
            found = self._bills[key] = self._made_out(candidate, channel)
        return found

    def _made_out(self, candidate: Candidate, channel: Channel) -> tuple[tuple[Purse, ...], int]:
        policy, definition = self._policy, self._versions[candidate.digest].definition
        assert policy is not None
        purses = [self._shops[rule] for rule in binding(policy, definition, channel)]
        if definition.budget is not None:
            purses.append(self._own[definition.id, definition.budget])
        step = next(one for one in definition.steps if one.id == candidate.step)
        return tuple(purses), costs(policy.prices, step, channel)

    def _is_stale(self, now: datetime) -> bool:
        passed = now - self._loaded_at
        return not timedelta() <= passed < _STALE or not self._month[0] <= now < self._month[1]


def month_of(now: datetime, zone: str) -> tuple[datetime, datetime]:
    """The first moment of the shop's calendar month, and that of the next one."""
    first = now.astimezone(ZoneInfo(zone)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    naive = first.replace(tzinfo=None, fold=0)
    following = (naive + timedelta(days=32)).replace(day=1)
    return from_local(naive, zone), from_local(following, zone)


@dataclass
class _Count:
    """What was committed, as the database says."""

    connection: Connection
    catalog: Catalog
    policy: Policy
    month: tuple[datetime, datetime]

    def of_rule(self, rule: BudgetRule) -> Purse:
        conditions = [self._this_month(), deliveries.c["class"].in_(sorted(rule.classes))]
        if rule.channels:
            conditions.append(deliveries.c.channel.in_(sorted(rule.channels)))
        return self._filled(Purse(rule.budget, of_policy(rule), rule.overflow), *conditions)

    def of_definition(self, definition: Campaign | Care) -> Purse:
        assert definition.budget is not None
        conditions = [deliveries.c.definition == definition.id]
        if definition.budget.monthly:
            conditions.append(self._this_month())
        purse = Purse(definition.budget, of_definition(definition, "budget"), None)
        return self._filled(purse, *conditions)

    def _this_month(self) -> ColumnElement[bool]:
        first, following = self.month
        return (deliveries.c.admitted_at >= first) & (deliveries.c.admitted_at < following)

    def _filled(self, purse: Purse, *conditions: ColumnElement[bool]) -> Purse:
        by = (deliveries.c.definition, deliveries.c.digest, deliveries.c.step, deliveries.c.channel)
        parts = deliveries.c.parts
        query = (
            select(*by, func.count(), func.count(parts), func.coalesce(func.sum(parts), 0))
            .where(is_committed, *conditions)
            .group_by(*by)
        )
        for row in self.connection.execute(query).all():
            definition, digest, step, channel, messages, known, sent_parts = row
            cost = self._cost(digest, step, channel, messages, known, int(sent_parts))
            purse.take(definition, cost, messages)
        return purse

    def _cost(
        self, digest: str, step: str, channel: Channel, messages: int, known: int, parts: int
    ) -> int:
        """`known` of the messages took `parts` parts together."""
        prices = self.policy.prices
        if channel == "email":
            return messages * int(prices.email * MILLION)
        taken = self._step(digest, step)
        each = parts_at_most(taken) if taken is not None else 1
        return (parts + (messages - known) * each) * int(prices.sms * MILLION)

    def _step(self, digest: str, step: str) -> Step | None:
        definition = self.catalog.version(self.connection, digest).definition
        return next((one for one in definition.steps if one.id == step), None)


def _amount(millionths: int) -> str:
    """As people write it.

    >>> _amount(3_045_000)
    '3.045'
    """
    return f"{(Decimal(millionths) / MILLION).normalize():f}"
