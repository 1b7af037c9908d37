"""One SQL predicate per condition of a segment tree. Each is true or false, never NULL: `not` of what is unknown is true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    ScalarSelect,
    and_,
    case,
    false,
    func,
    not_,
    select,
)

from engine.audience.money import as_ratio, at_least, at_most
from engine.audience.scope import COMPLETED, Scope
from engine.definitions.values import Duration
from engine.store.tables import customers, orders, profiles

Arguments = Mapping[str, Any]
Predicate = ColumnElement[bool]
Operator = Callable[[ColumnElement[Any], Any], Predicate]

_WORDS: Mapping[str, Operator] = {
    "eq": lambda column, value: and_(column.is_not(None), column == value),
    "in": lambda column, values: and_(column.is_not(None), column.in_(values)),
    "not_in": lambda column, values: not_(and_(column.is_not(None), column.in_(values))),
    "known": lambda column, wanted: column.is_not(None) if wanted else column.is_(None),
}
_NUMBERS: Mapping[str, Operator] = {
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
        "within": lambda duration: column >= scope.ago(duration),
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


def order_count(arguments: Arguments, scope: Scope) -> Predicate:
    """How many completed orders: of a lifetime from the profile, or counted `within` a window."""
    within = arguments.get("within")
    number: ColumnElement[int]
    if within is None:
        number = func.coalesce(profiles.c.orders, 0)
    else:
        number = _in_window(lambda bought: func.count(bought.c.id), within, scope)
    bounds = [(name, bound) for name, bound in arguments.items() if name != "within"]
    return and_(*[_NUMBERS[name](number, bound) for name, bound in bounds])


def order_amount(arguments: Arguments, scope: Scope) -> Predicate:
    """What completed orders add up to, as `order_count`; nobody's orders add up to 0."""
    within, currency = arguments.get("within"), scope.policy.prices.currency
    number: ColumnElement[int]
    if within is None:
        number = func.coalesce(profiles.c.amount, 0)
    else:
        number = _in_window(
            lambda bought: func.coalesce(func.sum(bought.c.amount), 0), within, scope
        )
    found = []
    if "gte" in arguments:
        found.append(number >= at_least(arguments["gte"], currency))
    if "lte" in arguments:
        found.append(number <= at_most(arguments["lte"], currency))
    return and_(*found)


def average_amount(arguments: Arguments, scope: Scope) -> Predicate:
    """The average completed order, compared exactly; who never completed one has no average."""
    count = func.coalesce(profiles.c.orders, 0)
    found = [count > 0]
    for name, bound in arguments.items():
        numerator, denominator = as_ratio(bound, scope.policy.prices.currency)
        found.append(_NUMBERS[name](profiles.c.amount * denominator, count * numerator))
    return and_(*found)


def customer_class(arguments: Arguments) -> Predicate:
    """The class of the profile; before there is one a customer is a prospect, and a malicious one is so at once."""
    column = case(
        (customers.c.malicious, "malicious"), else_=func.coalesce(profiles.c["class"], "prospect")
    )
    return words(column, arguments)


def dormant(arguments: Arguments, scope: Scope) -> Predicate:
    """The last completed order is older than `after`, or than the policy's `dormant_after`."""
    after: Duration = arguments.get("after") or scope.policy.dormant_after
    return moments(profiles.c.last_order_at, {"older_than": after}, scope)


def anchored(arguments: Arguments, anchor: FromClause | None) -> Predicate:
    """The status of the order that started a care message; false where no order did."""
    return false() if anchor is None else words(anchor.c.status, {"in": arguments["status"]})


def _in_window(
    aggregate: Callable[[FromClause], ColumnElement[int]],
    within: Duration,
    scope: Scope,
) -> ScalarSelect[int]:
    """An aggregate of the customer's completed orders from so long ago until now. An alias of its own, so that
    a query that has `orders` in its FROM is not mistaken for it."""
    bought = orders.alias()
    return (
        select(aggregate(bought))
        .where(
            bought.c.customer_id == customers.c.id,
            bought.c.placed_at >= scope.ago(within),
            bought.c.placed_at <= scope.now,
            bought.c.status.in_(COMPLETED),
        )
        .correlate(customers)
        .scalar_subquery()
    )
