"""A segment tree as one SQL question: who, right now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    false,
    func,
    not_,
    or_,
    select,
    true,
)

from engine.audience import messages, orders, people, predicates
from engine.audience.asking import PEOPLE, Asking, Joins
from engine.audience.ranking import fixed, in_top, ranking
from engine.audience.sampling import sample
from engine.audience.scope import Scope
from engine.definitions.engagement_conditions import KINDS
from engine.definitions.segment import Condition, Group, Top, Tree
from engine.definitions.trees import tops_of
from engine.store.among import among
from engine.store.tables import customers, profiles

__all__ = ["PEOPLE", "Scope", "matches", "members", "select_ids", "with_cuts"]

_CHUNK = 1000
Predicate = ColumnElement[bool]
Arguments = Mapping[str, Any]

_WORDS = {
    "id": customers.c.ref,
    "gender": customers.c.gender,
    "language": customers.c.language,
    # In short names, as the condition has them; who has no profile yet is taken at their word.
    "province": func.coalesce(profiles.c.province, customers.c.province),
    "city": func.coalesce(profiles.c.city, customers.c.city),
    "timezone": customers.c.timezone,
    "email_domain": customers.c.email_domain,
    "email": customers.c.email,
    "phone": customers.c.phone,
    "address": customers.c.address,
    "grade": profiles.c.grade,
}
_MOMENTS = {
    "joined_at": customers.c.joined_at,
    "first_order_at": profiles.c.first_order_at,
    "last_order_at": profiles.c.last_order_at,
}
_OF_PEOPLE: Mapping[str, Callable[[Arguments], Predicate]] = {
    "birthday": predicates.birthday,
    "class": predicates.customer_class,
    "attribute": people.attribute,
    "stage": people.stage,
    "usual_hour": people.usual_hour,
    "cycle": people.cycle,
    "affinity": people.affinity,
}
_OF_NOW: Mapping[str, Callable[[Arguments, Scope], Predicate]] = {
    "dormant": predicates.dormant,
    "tag": people.tag,
    "membership": people.membership,
    "reachable": people.reachable,
}
_TOTALS: Mapping[str, Callable[[Arguments, Asking], Predicate]] = {
    "orders": orders.order_count,
    "amount": orders.order_amount,
    "average_amount": orders.average_amount,
    "ordered": orders.ordered,
    "event": people.event,
}


def matches(
    tree: Tree, scope: Scope, *, anchor: FromClause | None = None, again: bool = False
) -> Predicate:
    """A predicate over PEOPLE that is never NULL, for a question about some of the customers (`select_ids` is quicker
    for one about all).

    `anchor`: the (aliased) orders table that `{anchor: …}` asks of; without one such a condition is false. `again`: who
    was selected is asked whether the conditions still hold; places in a `top` are not given out anew.
    """
    return _compile(tree, Asking(scope, anchor, again=again))


def select_ids(tree: Tree, scope: Scope) -> Select[int]:
    """The internal ids of everyone who matches, in no particular order."""
    if isinstance(tree, Top):
        among = ranking(tree, Asking(scope), _compile).ordered().limit(tree.arguments["n"])
        return among.with_only_columns(customers.c.id)
    joins = Joins()
    predicate = _compile(tree, Asking(scope, joins=joins))
    return select(customers.c.id).select_from(joins.people()).where(predicate)


def members(
    connection: Connection, tree: Tree, scope: Scope, customer_ids: Sequence[int]
) -> set[int]:
    """Which of these customers, who were selected before, still match; asked of 1,000 at a time."""
    predicate = matches(tree, scope, again=True)
    question = select(customers.c.id).select_from(PEOPLE).where(predicate)
    question = question.where(among(customers.c.id, "asked"))
    found: set[int] = set()
    for start in range(0, len(customer_ids), _CHUNK):
        chunk = customer_ids[start : start + _CHUNK]
        found.update(connection.execute(question, {"asked": chunk}).scalars().all())
    return found


def with_cuts(connection: Connection, tree: Tree, scope: Scope) -> Scope:
    """The scope with the last place of every `top` looked up, so that a question asked in pieces gives out n places."""
    for top in tops_of(tree, scope.segments):
        if top.position not in scope.cuts:
            cut = fixed(connection, top, scope, _compile)
            scope = replace(scope, cuts={**scope.cuts, top.position: cut})
    return scope


def _compile(tree: Tree, asking: Asking) -> Predicate:
    if isinstance(tree, Condition):
        return _condition(tree, asking)
    if isinstance(tree, Top):
        return _top(tree, asking)
    return _group(tree, asking)


def _top(top: Top, asking: Asking) -> Predicate:
    """Asked again, a place counts for the customer: taken where it is wanted, not taken where it is not."""
    if not asking.again:
        return in_top(top, asking, _compile)
    return _compile(top.child, asking) if asking.positive else false()


def _group(group: Group, asking: Asking) -> Predicate:
    if group.kind == "not":
        return not_(_compile(group.children[0], asking.negated()))
    children = [_compile(child, asking) for child in group.children]
    return and_(true(), *children) if group.kind == "all" else or_(false(), *children)


def _condition(condition: Condition, asking: Asking) -> Predicate:
    name, arguments, scope = condition.name, condition.arguments, asking.scope
    if name in _WORDS:
        return predicates.words(_WORDS[name], arguments)
    if name in _MOMENTS:
        return predicates.moments(_MOMENTS[name], arguments, scope)
    if name in _OF_PEOPLE:
        return _OF_PEOPLE[name](arguments)
    if name in _OF_NOW:
        return _OF_NOW[name](arguments, scope)
    if name in _TOTALS:
        return _TOTALS[name](arguments, asking)
    return _other(condition, asking)


def _other(condition: Condition, asking: Asking) -> Predicate:
    name, arguments = condition.name, condition.arguments
    if name in KINDS:
        return messages.messages(name, arguments, asking)
    if name == "segment":
        return _compile(asking.scope.segments[arguments["name"]].tree, asking)
    if name == "sample":
        return sample(condition)
    if name == "anchor":
        return predicates.anchored(arguments, asking.anchor)
    raise ValueError(f"{condition.position}: no such condition: {name!r}")
