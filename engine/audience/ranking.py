"""`top`: the first n of those who match. A place is a pair (measure, id), and whoever stands at the n-th place or before is
in: more of the measure first, of equals those who have been in the database longer. Nobody is in with nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    literal,
    or_,
    select,
)

from engine.audience.asking import Asking, Joins, Predicate
from engine.audience.liking import LikedKind, score
from engine.audience.orders import completed
from engine.audience.people import liking
from engine.audience.scope import Cut, Scope
from engine.definitions.segment import Top, Tree
from engine.store.tables import customers, profiles

Compile = Callable[[Tree, Asking], Predicate]
_NOBODY = 2**62
"""A place behind everybody's: fewer than n match, and all of them are in."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Who competes, by what: all those with more than 0."""

    measure: ColumnElement[Any]
    people: Any
    where: Predicate

    def ordered(self) -> Select[Any]:
        return (
            select(self.measure.label("measure"), customers.c.id)
            .select_from(self.people)
            .where(self.where, self.measure > 0)
            .order_by(self.measure.desc(), customers.c.id)
        )


def ranking(top: Top, asking: Asking, compile_tree: Compile) -> Ranking:
    """The competitors of a `top`, asked of everybody, whatever the question around it is asked of."""
    joins = Joins()
    inner = Asking(asking.scope, joins=joins)
    measure, where = _measure(top.arguments, inner), compile_tree(top.child, inner)
    return Ranking(measure, joins.people(), where)


def in_top(top: Top, asking: Asking, compile_tree: Compile) -> Predicate:
    """Whether a customer is among the first n; the n-th place is looked up once per statement, or was before (`fixed`)."""
    mine = _measure(top.arguments, asking)
    cut = asking.scope.cuts.get(top.position)
    if cut is not None:
        measure, last = literal(cut.measure, BigInteger), literal(cut.customer_id, BigInteger)
        place: tuple[ColumnElement[Any], ColumnElement[Any]] = (measure, last)
    else:
        nth = _nth(top, ranking(top, asking, compile_tree)).cte()
        place = (
            func.coalesce(select(nth.c.measure).scalar_subquery(), 0),
            func.coalesce(select(nth.c.id).scalar_subquery(), literal(_NOBODY, BigInteger)),
        )
    stands = or_(mine > place[0], and_(mine == place[0], customers.c.id <= place[1]))
    return and_(compile_tree(top.child, asking), mine > 0, stands)


def fixed(connection: Connection, top: Top, scope: Scope, compile_tree: Compile) -> Cut:
    """The n-th place as it is now, for a question that is asked in many pieces."""
    found = connection.execute(_nth(top, ranking(top, Asking(scope), compile_tree))).first()
    return Cut(0, _NOBODY) if found is None else Cut(int(found.measure), found.id)


def _nth(top: Top, among: Ranking) -> Select[Any]:
    return among.ordered().limit(1).offset(top.arguments["n"] - 1)


def _measure(arguments: Mapping[str, Any], asking: Asking) -> ColumnElement[Any]:
    by, within = arguments["by"], arguments.get("within")
    if by == "affinity":
        kind: LikedKind = "category" if "category" in arguments else "brand"
        return score(kind, asking.number(liking(kind, arguments[kind]), "points"))
    if within is not None:
        tally = completed(within, asking.scope)
        return asking.number(tally, "count" if by == "orders" else "sum")
    return func.coalesce(profiles.c.orders if by == "orders" else profiles.c.amount, 0)
