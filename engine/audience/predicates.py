"""One SQL predicate per condition of a segment tree. Each is true or false, never NULL: `not` of what is unknown is true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, false, not_

from engine.audience.malicious import class_of_customer
from engine.audience.scope import Scope
from engine.definitions.values import Duration
from engine.store.tables import customers, profiles

Arguments = Mapping[str, Any]
Predicate = ColumnElement[bool]
Operator = Callable[[ColumnElement[Any], Any], Predicate]

_WORDS: Mapping[str, Operator] = {
    "eq": lambda column, value: and_(column.is_not(None), column == value),
    "in": lambda column, values: and_(column.is_not(None), column.in_(values)),
    "not_in": lambda column, values: not_(and_(column.is_not(None), column.in_(values))),
    "known": lambda column, wanted: column.is_not(None) if wanted else column.is_(None),
}
NUMBERS: Mapping[str, Operator] = {
    "gte": lambda number, bound: number >= bound,
    "lte": lambda number, bound: number <= bound,
    "eq": lambda number, bound: number == bound,
}


def words(column: ColumnElement[Any], arguments: Arguments) -> Predicate:
    """A text column against eq, in, not_in, known. Who has no value is never equal to one, and is `not_in` any list."""
    return and_(*[_WORDS[name](column, value) for name, value in arguments.items()])


def moments(column: ColumnElement[Any], arguments: Arguments, scope: Scope) -> Predicate:
    """A moment against within, older_than (durations), before, after (days of the shop's zone), known."""
    bounds: Mapping[str, Callable[[Any], Predicate]] = {
        # A typing error, such as a day of joining in 2062, is no moment of these days.
        "within": lambda duration: and_(column >= scope.ago(duration), column <= scope.now),
        "older_than": lambda duration: column < scope.ago(duration),
        "before": lambda day: column < scope.start_of(day),
        "after": lambda day: column >= scope.end_of(day),
    }
    found = []
    for name, value in arguments.items():
        if name == "known":
            found.append(_WORDS["known"](column, value))
        else:
            found.append(and_(column.is_not(None), bounds[name](value)))
    return and_(*found)


def birthday(arguments: Arguments) -> Predicate:
    """Whether it is known, and its month on its own calendar."""
    month = customers.c.birthday_month
    found = [words(customers.c.birthday, {"known": known}) for known in _given(arguments, "known")]
    found += [and_(month.is_not(None), month.in_(each)) for each in _given(arguments, "month")]
    return and_(*found)


def _given(arguments: Arguments, name: str) -> list[Any]:
    return [arguments[name]] if name in arguments else []


def customer_class(arguments: Arguments) -> Predicate:
    """Whoever is malicious is so at once; else the class that the profile says."""
    return words(class_of_customer(), arguments)


def dormant(arguments: Arguments, scope: Scope) -> Predicate:
    """The last completed order is older than `after`, or than the policy's `dormant_after`."""
    after: Duration = arguments.get("after") or scope.policy.dormant_after
    return moments(profiles.c.last_order_at, {"older_than": after}, scope)


def anchored(arguments: Arguments, anchor: FromClause | None) -> Predicate:
    """The status of the order that started a care message; false where no order did."""
    return false() if anchor is None else words(anchor.c.status, {"in": arguments["status"]})
