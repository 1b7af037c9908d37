"""A segment tree as one SQL question: who, right now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    false,
    not_,
    or_,
    select,
    true,
)

from engine.audience import predicates
from engine.audience.scope import Scope
from engine.definitions.segment import Condition, Group, Tree
from engine.store.among import among
from engine.store.tables import customers, profiles

__all__ = ["PEOPLE", "Scope", "matches", "members", "select_ids"]

PEOPLE = customers.outerjoin(profiles, profiles.c.customer_id == customers.c.id)
"""What a predicate is asked of; who has no profile yet is there too."""

_CHUNK = 1000
_Compile = Callable[[Mapping[str, object], Scope], ColumnElement[bool]]

_WORDS = {
    "id": customers.c.ref,
    "gender": customers.c.gender,
    "language": customers.c.language,
    "province": customers.c.province,
    "city": customers.c.city,
    "timezone": customers.c.timezone,
    "email_domain": customers.c.email_domain,
    "email": customers.c.email,
    "phone": customers.c.phone,
    "birthday": customers.c.birthday,
    "grade": profiles.c.grade,
}
_MOMENTS = {
    "joined_at": customers.c.joined_at,
    "first_order_at": profiles.c.first_order_at,
    "last_order_at": profiles.c.last_order_at,
}
_NUMBERS: Mapping[str, _Compile] = {
    "orders": predicates.order_count,
    "amount": predicates.order_amount,
    "average_amount": predicates.average_amount,
    "dormant": predicates.dormant,
}


def matches(tree: Tree, scope: Scope, *, anchor: FromClause | None = None) -> ColumnElement[bool]:
    """A predicate over PEOPLE that is never NULL. `anchor`: the (aliased) orders table that `{anchor: …}` asks of;
    without one such a condition is false."""
    if isinstance(tree, Group):
        return _group(tree, scope, anchor)
    return _condition(tree, scope, anchor)


def select_ids(tree: Tree, scope: Scope) -> Select[int]:
    """The internal ids of everyone who matches, in no particular order."""
    return select(customers.c.id).select_from(PEOPLE).where(matches(tree, scope))


def members(
    connection: Connection, tree: Tree, scope: Scope, customer_ids: Sequence[int]
) -> set[int]:
    """Which of these customers match, asked of 1,000 at a time."""
    question = select_ids(tree, scope).where(among(customers.c.id, "asked"))
    found: set[int] = set()
    for start in range(0, len(customer_ids), _CHUNK):
        chunk = customer_ids[start : start + _CHUNK]
        found.update(connection.execute(question, {"asked": chunk}).scalars().all())
    return found


def _group(group: Group, scope: Scope, anchor: FromClause | None) -> ColumnElement[bool]:
    children = [matches(child, scope, anchor=anchor) for child in group.children]
    if group.kind == "not":
        return not_(children[0])
    return and_(true(), *children) if group.kind == "all" else or_(false(), *children)


def _condition(
    condition: Condition, scope: Scope, anchor: FromClause | None
) -> ColumnElement[bool]:
    name, arguments = condition.name, condition.arguments
    if name in _WORDS:
        return predicates.words(_WORDS[name], arguments)
    if name in _MOMENTS:
        return predicates.moments(_MOMENTS[name], arguments, scope)
    if name in _NUMBERS:
        return _NUMBERS[name](arguments, scope)
    if name == "segment":
        return matches(scope.segments[arguments["name"]].tree, scope, anchor=anchor)
    if name == "class":
        return predicates.customer_class(arguments)
    if name == "anchor":
        return predicates.anchored(arguments, anchor)
    raise ValueError(f"{condition.position}: no such condition: {name!r}")
