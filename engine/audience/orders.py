"""Conditions on orders and their items: which are meant, and what they add up to per customer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    distinct,
    exists,
    func,
    literal,
    or_,
    select,
)

from engine.audience.asking import Asking, Numbers, Predicate, Tally, any_row
from engine.audience.money import as_ratio, at_least, at_most, worth
from engine.audience.predicates import NUMBERS, moments
from engine.audience.scope import COMPLETED, Scope
from engine.definitions.order_conditions import ITEM_KEYS, ORDER_KEYS, TOTALS
from engine.definitions.values import Duration, Hours
from engine.store.tables import order_items, orders, products, profiles, zone_offsets
from engine.store.types import epoch_seconds

Arguments = Mapping[str, Any]
_DAY = 86_400
_MOMENTS = ("within", "older_than", "before", "after")


def completed(within: Duration, scope: Scope) -> Tally:
    """The completed orders from so long ago until now: their `count` and `sum`. An alias of its own, so that a query
    that has `orders` in its FROM is not mistaken for it."""
    bought = orders.alias()
    where = (
        bought.c.placed_at >= scope.ago(within),
        bought.c.placed_at <= scope.now,
        bought.c.status.in_(COMPLETED),
    )
    amount = worth(bought, scope.policy.prices.currency)
    numbers = {"count": func.count(), "sum": func.sum(amount)}
    return Tally(bought.c.customer_id, bought, where, numbers)


def order_count(arguments: Arguments, asking: Asking) -> Predicate:
    """How many completed orders: of a lifetime from the profile, or counted `within` a window."""
    bounds = [(name, bound) for name, bound in arguments.items() if name != "within"]
    if "within" not in arguments:
        number = func.coalesce(profiles.c.orders, 0)
        return and_(*[NUMBERS[name](number, bound) for name, bound in bounds])
    tally = completed(arguments["within"], asking.scope)
    if bounds == [("gte", 1)]:
        return any_row(tally)
    counted = Tally(tally.owner, tally.source, tally.where, {"count": tally.numbers["count"]})
    return asking.total(
        counted,
        lambda numbers: and_(*[NUMBERS[name](numbers["count"], bound) for name, bound in bounds]),
    )


def order_amount(arguments: Arguments, asking: Asking) -> Predicate:
    """What completed orders add up to, as `order_count`; nobody's orders add up to 0."""
    currency = asking.scope.policy.prices.currency
    if "within" not in arguments:
        return and_(*sums(func.coalesce(profiles.c.amount, 0), arguments, currency))
    tally = completed(arguments["within"], asking.scope)
    summed = Tally(tally.owner, tally.source, tally.where, {"sum": tally.numbers["sum"]})
    return asking.total(summed, lambda numbers: and_(*sums(numbers["sum"], arguments, currency)))


def average_amount(arguments: Arguments, asking: Asking) -> Predicate:
    """The average completed order; who never completed one has no average."""
    total, count = func.coalesce(profiles.c.amount, 0), func.coalesce(profiles.c.orders, 0)
    return and_(*averages(total, count, arguments, asking.scope.policy.prices.currency))


def ordered(arguments: Arguments, asking: Asking) -> Predicate:
    """The customer's orders of this kind, against bounds of their number, worth, average and pieces."""
    bought = orders.alias()
    where = _kind_of_order(bought, arguments, asking.scope)
    items = {name: arguments[name] for name in ITEM_KEYS if name in arguments}
    if items and not {"sum", "avg", "quantity"} & arguments.keys():
        where.append(_has_item(bought, items))
        items = {}
    currency = asking.scope.policy.prices.currency
    if items:
        tally = _tally_of_items(bought, items, where, currency)
    else:
        tally = _tally_of_orders(bought, where, currency)
    bounds = {name: arguments[name] for name in TOTALS if name in arguments}
    if not bounds or bounds == {"count": {"gte": 1}}:
        return any_row(tally)
    needed = _needed(tally, arguments)
    return asking.total(needed, lambda numbers: _bounds(arguments, numbers, currency))


def _kind_of_order(bought: FromClause, arguments: Arguments, scope: Scope) -> list[Predicate]:
    statuses = arguments.get("status", COMPLETED)
    where = [bought.c.status.in_(statuses), bought.c.placed_at <= scope.now]
    where += [bought.c[name].in_(arguments[name]) for name in ORDER_KEYS if name in arguments]
    when = {name: arguments[name] for name in _MOMENTS if name in arguments}
    if when:
        where.append(moments(bought.c.placed_at, when, scope))
    if "hours" in arguments:
        where.append(at_hours(bought.c.placed_at, arguments["hours"], scope.timezone))
    if "only" in arguments:
        where.append(bought.c.id == _outermost(bought, arguments["only"], statuses, scope))
    return where


def _outermost(
    bought: FromClause, which: str, statuses: tuple[str, ...], scope: Scope
) -> ColumnElement[int]:
    """The id of the customer's first or last order of these statuses; of two at one moment by their internal id."""
    other = orders.alias()
    columns = (other.c.placed_at, other.c.id)
    return (
        select(other.c.id)
        .where(
            other.c.customer_id == bought.c.customer_id,
            other.c.status.in_(statuses),
            other.c.placed_at <= scope.now,
        )
        .order_by(*[column if which == "first" else column.desc() for column in columns])
        .limit(1)
        .correlate(bought)
        .scalar_subquery()
    )


def at_hours(moment: ColumnElement[Any], hours: Hours, zone: str) -> Predicate:
    """Whether the clock of `zone` showed a time in this window, summer time or not; false where `zone_offsets` does not
    know the zone."""
    offset = zone_offsets.alias()
    epoch = epoch_seconds(moment)
    clock = ((epoch + offset.c.seconds) % _DAY + _DAY) % _DAY  # before 1970 a remainder is negative
    start, end = (time.hour * 3600 + time.minute * 60 for time in (hours.start, hours.end))
    inside = and_ if start < end else or_
    held = exists().where(
        offset.c.zone == zone,
        offset.c.from_epoch <= epoch,
        epoch < offset.c.to_epoch,
        inside(clock >= start, clock < end),
    )
    return held.correlate_except(offset)


def _has_item(bought: FromClause, items: Arguments) -> Predicate:
    item, product = order_items.alias(), products.alias()
    source = _with_products(item, product, items)
    found = exists().select_from(source).where(item.c.order_id == bought.c.id)
    return found.where(*_kind_of_item(item, product, items)).correlate(bought)


def _kind_of_item(item: FromClause, product: FromClause, items: Arguments) -> list[Predicate]:
    """One item has all of it. What an item itself does not say is what its product says."""
    found: list[Predicate] = []
    for name, values in items.items():
        column: ColumnElement[Any] = item.c[name]
        if name in ("category", "brand"):
            column = func.coalesce(column, product.c[name])
        found.append(column.in_(values))
    return found


def _with_products(item: FromClause, product: FromClause, items: Arguments) -> Any:
    if {"category", "brand"} & items.keys():
        return item.outerjoin(product, product.c.sku == item.c.sku)
    return item


def _tally_of_items(
    bought: FromClause, items: Arguments, where: list[Predicate], currency: str
) -> Tally:
    """Only the items that match count in worth and pieces."""
    item, product = order_items.alias(), products.alias()
    pieces = func.coalesce(item.c.quantity, 1)
    source = bought.join(_with_products(item, product, items), item.c.order_id == bought.c.id)
    return Tally(
        bought.c.customer_id,
        source,
        [*where, *_kind_of_item(item, product, items)],
        {
            "count": func.count(distinct(bought.c.id)),
            "sum": func.sum(worth(bought, currency, func.coalesce(item.c.price, 0) * pieces)),
            "quantity": func.sum(pieces),
        },
    )


def _tally_of_orders(bought: FromClause, where: list[Predicate], currency: str) -> Tally:
    item = order_items.alias()
    pieces = (
        select(func.sum(func.coalesce(item.c.quantity, 1)))
        .where(item.c.order_id == bought.c.id)
        .correlate(bought)
        .scalar_subquery()
    )
    return Tally(
        bought.c.customer_id,
        bought,
        where,
        {
            "count": func.count(),
            "sum": func.sum(worth(bought, currency)),
            "quantity": func.sum(func.coalesce(bought.c.quantity, pieces, 0)),
        },
    )


def _needed(tally: Tally, arguments: Arguments) -> Tally:
    """Only the totals that are asked for; an average takes the sum and the count."""
    names = set(TOTALS) & arguments.keys()
    if "avg" in names:
        names = (names - {"avg"}) | {"sum", "count"}
    numbers = {name: number for name, number in tally.numbers.items() if name in names}
    return Tally(tally.owner, tally.source, tally.where, numbers)


def _bounds(arguments: Arguments, numbers: Numbers, currency: str) -> Predicate:
    found: list[Predicate] = []
    for name in ("count", "quantity"):
        bounds = arguments.get(name, {})
        found += [NUMBERS[operator](numbers[name], bound) for operator, bound in bounds.items()]
    found += sums(numbers["sum"], arguments.get("sum", {}), currency) if "sum" in numbers else []
    if "avg" in arguments:
        found += averages(numbers["sum"], numbers["count"], arguments["avg"], currency)
    return and_(*found)


def sums(number: ColumnElement[Any], bounds: Arguments, currency: str) -> list[Predicate]:
    """A sum in smallest units against bounds in units of the currency."""
    found = []
    if "gte" in bounds:
        found.append(number >= at_least(bounds["gte"], currency))
    if "lte" in bounds:
        found.append(number <= at_most(bounds["lte"], currency))
    return found


def averages(
    total: ColumnElement[Any], count: ColumnElement[Any], bounds: Arguments, currency: str
) -> list[Predicate]:
    """An average, compared exactly, without a division; of nothing there is none."""
    found = [count > literal(0)]
    for name, bound in bounds.items():
        numerator, denominator = as_ratio(bound, currency)
        found.append(NUMBERS[name](total * denominator, count * numerator))
    return found
