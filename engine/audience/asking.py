"""How one question about customers is put together: what it is asked against, and where its totals are counted.

A total (how many orders, how much, how many messages) is counted in one of two ways, with the same answer. Of a few
customers, such as the gate's batch or a chunk of an expansion: in a subquery for each, which an index serves. Of
everybody: once, grouped by customer and joined, which is a pass over the orders instead of a million look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Subquery, and_, exists, func, select

from engine.audience.scope import Scope
from engine.store.tables import customers, profiles

Predicate = ColumnElement[bool]
Numbers = Mapping[str, ColumnElement[Any]]

PEOPLE = customers.outerjoin(profiles, profiles.c.customer_id == customers.c.id)
"""What a predicate is asked of; who has no profile yet is there too."""
MOST_JOINS = 16
"""PostgreSQL plans a handful of joins well, and SQLite takes 64 tables in one; what goes beyond is asked of each."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Totals over rows that belong to customers. `owner`: their customer; `numbers`: aggregates by name, NULL where there
    is no row; such a number is 0."""

    owner: ColumnElement[int]
    source: FromClause
    where: Sequence[Predicate]
    numbers: Numbers


@dataclass(slots=True)
class Joins:
    """The grouped totals that a question joins to PEOPLE."""

    parts: list[Subquery] = field(default_factory=list)

    def people(self) -> FromClause:
        found: FromClause = PEOPLE
        for part in self.parts:
            found = found.outerjoin(part, part.c.customer_id == customers.c.id)
        return found


@dataclass(frozen=True, slots=True)
class Asking:
    """`anchor`: the order that started a care message. `joins`: where totals of everybody go; None: asked of each.

    `again`: the question was answered before (at the gate): who is in a `top` was decided then, and only conditions are
    asked. `positive`: False inside an odd number of `not`.
    """

    scope: Scope
    anchor: FromClause | None = None
    joins: Joins | None = None
    again: bool = False
    positive: bool = True

    def negated(self) -> Asking:
        return replace(self, positive=not self.positive)

    def total(self, tally: Tally, verdict: Callable[[Numbers], Predicate]) -> Predicate:
        """What `verdict` says of the customer's totals."""
        numbers = {name: func.coalesce(number, 0) for name, number in tally.numbers.items()}
        if self.joins is None or len(self.joins.parts) >= MOST_JOINS:
            mine = tally.owner == customers.c.id
            question = select(verdict(numbers)).select_from(tally.source).where(mine, *tally.where)
            return question.correlate(customers).scalar_subquery()
        part = _grouped(tally, numbers)
        self.joins.parts.append(part)
        return verdict({name: func.coalesce(part.c[name], 0) for name in numbers})

    def number(self, tally: Tally, name: str) -> ColumnElement[Any]:
        """One of the customer's totals."""
        if self.joins is None or len(self.joins.parts) >= MOST_JOINS:
            mine = tally.owner == customers.c.id
            number = func.coalesce(tally.numbers[name], 0)
            question = select(number).select_from(tally.source).where(mine, *tally.where)
            return question.correlate(customers).scalar_subquery()
        part = _grouped(tally, {name: tally.numbers[name]})
        self.joins.parts.append(part)
        return func.coalesce(part.c[name], 0)


def any_row(tally: Tally) -> Predicate:
    """Whether the customer has such a row at all; databases know best how to find out."""
    question = exists().select_from(tally.source)
    return question.where(and_(tally.owner == customers.c.id, *tally.where)).correlate(customers)


def _grouped(tally: Tally, numbers: Numbers) -> Subquery:
    named = [number.label(name) for name, number in numbers.items()]
    return (
        select(tally.owner.label("customer_id"), *named)
        .select_from(tally.source)
        .where(*tally.where)
        .group_by(tally.owner)
        .subquery()
    )
