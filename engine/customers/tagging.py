"""The rules of tagging.yaml, in sets: each is a question whom it holds for; then tags follow.

A rule's tag goes when its rule no longer holds or is gone. What a person, an import or the API put stays as it is, also
where a rule says the same; and in a dimension with one value it keeps every rule out.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from engine.audience.money import at_least, at_most, worth
from engine.audience.scope import COMPLETED, Scope
from engine.customers.clock import shop_seconds
from engine.definitions.policy import Policy
from engine.definitions.tagging import (
    AddressRule,
    AmountRule,
    OrderedRule,
    RegionRule,
    Tagging,
    TagRule,
)
from engine.definitions.values import Duration
from engine.store.tables import customers, order_items, orders, products, profiles, tags
from engine.store.temporary import analyze, drop, make
from engine.store.types import BigId, Moment

_metadata = MetaData()
_ruled = Table(
    "ruled_tags", _metadata,
    Column("customer_id", BigId, primary_key=True, autoincrement=False),
    Column("dimension", Text, primary_key=True), Column("value", Text, primary_key=True),
    Column("rule", Text), Column("source", Text),
    prefixes=["TEMPORARY"],
)  # fmt: skip
_KEY = ("customer_id", "dimension", "value")


def refresh_tags(
    connection: Connection,
    policy: Policy,
    now: datetime,
    chosen: Select[Any] | None = None,
) -> None:
    """Put and take away what the rules say, for the chosen customers or for all; their profiles are fresh already."""
    if not policy.tagging.rules:  # what others put is theirs
        connection.execute(_ruled_of(chosen))
        return
    make(connection, *_metadata.tables.values())
    for rule in policy.tagging.rules:
        connection.execute(_ask(rule, policy, now, chosen, connection))
    analyze(connection, _ruled)
    connection.execute(_take_away(chosen))
    connection.execute(_put(connection, now))
    drop(connection, *_metadata.tables.values())


def _ask(
    rule: TagRule,
    policy: Policy,
    now: datetime,
    chosen: Select[Any] | None,
    connection: Connection,
) -> Any:
    """Whom the rule puts its tag on. Earlier rules have written already: they win in a dimension with one value."""
    question = select(
        customers.c.id,
        literal(rule.dimension, Text), literal(rule.value, Text),
        literal(rule.name, Text), literal(rule.source, Text),
    ).where(holds(rule, policy, now, chosen), ~_is_taken(rule, policy.tagging))  # fmt: skip
    if chosen is not None:
        question = question.where(customers.c.id.in_(chosen))
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(_ruled).from_select([column.name for column in _ruled.c], question)
    return statement.on_conflict_do_nothing(index_elements=list(_KEY))


def holds(
    rule: TagRule, policy: Policy, now: datetime, chosen: Select[Any] | None = None
) -> ColumnElement[bool]:
    """Whether all conditions of the rule hold for a row of `customers`; `chosen`: only these are asked about."""
    scope = Scope(now=now, timezone=policy.timezone, policy=policy, segments={})
    found: list[ColumnElement[bool]] = []
    if rule.address is not None:
        found.append(_address(rule.address))
    if rule.region is not None:
        found.append(_region(rule.region))
    if rule.ordered is not None:
        found.append(_ordered(rule.ordered, scope, chosen))
    if rule.amount is not None:
        found.append(_amount(rule.amount, scope))
    return and_(*found)


def _is_taken(rule: TagRule, tagging: Tagging) -> ColumnElement[bool]:
    by_hand = exists().where(
        tags.c.customer_id == customers.c.id, tags.c.dimension == rule.dimension, tags.c.rule.is_(None)
    ).correlate(customers)  # fmt: skip
    if tagging.dimensions[rule.dimension].several:
        return by_hand.where(tags.c.value == rule.value)
    by_rule = exists().where(
        _ruled.c.customer_id == customers.c.id, _ruled.c.dimension == rule.dimension
    ).correlate(customers)  # fmt: skip
    return or_(by_hand, by_rule)


def _address(rule: AddressRule) -> ColumnElement[bool]:
    address = func.coalesce(customers.c.address, "")
    # Not LIKE: its idea of upper and lower case differs between the databases.
    has = [func.replace(address, word, "") != address for word in rule.words]
    has_not = [func.replace(address, word, "") == address for word in rule.without]
    return and_(or_(*has), *has_not)


def _region(rule: RegionRule) -> ColumnElement[bool]:
    found = [profiles.c.customer_id == customers.c.id]
    if rule.provinces:
        found.append(profiles.c.province.in_(rule.provinces))
    if rule.cities:
        found.append(profiles.c.city.in_(rule.cities))
    return exists().where(*found).correlate(customers)


def _placed(scope: Scope, within: Duration | None) -> list[ColumnElement[bool]]:
    until_now = orders.c.placed_at <= scope.now
    return [until_now] if within is None else [until_now, orders.c.placed_at >= scope.ago(within)]


def _ordered(
    rule: OrderedRule, scope: Scope, chosen: Select[Any] | None = None
) -> ColumnElement[bool]:
    asked = _placed(scope, rule.within)
    if chosen is not None:
        # Else the orders of the whole shop are counted for the one customer who ordered: seconds, of a million.
        asked.append(orders.c.customer_id.in_(chosen))
    meant = _meant(rule, scope, chosen)
    of_each = select(orders.c.customer_id).where(*asked).group_by(orders.c.customer_id)
    found = of_each.where(*meant).having(func.count() >= rule.count)
    if rule.share is not None:  # asked of those few only
        fitting = func.count(case((and_(*meant), 1)))
        is_much = fitting * 10_000 >= func.count() * int(rule.share * 100)
        found = of_each.where(orders.c.customer_id.in_(found)).having(is_much)
    return customers.c.id.in_(found)


def _meant(
    rule: OrderedRule, scope: Scope, chosen: Select[Any] | None
) -> list[ColumnElement[bool]]:
    """What an order must be like to count."""
    meant: list[ColumnElement[bool]] = [orders.c.status.in_(rule.statuses or COMPLETED)]
    if rule.asks_items:
        meant.append(_has_item(rule, chosen))
    if rule.hours is not None:
        start, end = (
            clock.hour * 3600 + clock.minute * 60 for clock in (rule.hours.start, rule.hours.end)
        )
        seconds = shop_seconds(orders.c.placed_at, scope.timezone)
        join = and_ if start < end else or_
        meant.append(join(seconds >= start, seconds < end))
    return meant


def _has_item(rule: OrderedRule, chosen: Select[Any] | None) -> ColumnElement[bool]:
    """One item that fits in every respect."""
    item = order_items.c
    wanted = {
        func.coalesce(item.category, products.c.category): rule.categories,
        func.coalesce(item.brand, products.c.brand): rule.brands,
        item.sku: rule.skus,
        item.size: rule.sizes,
    }
    fitting = (
        select(item.order_id)
        .select_from(order_items.outerjoin(products, products.c.sku == item.sku))
        .where(*[column.in_(values) for column, values in wanted.items() if values])
    )
    if chosen is not None:
        theirs = orders.alias("theirs")
        mine = select(theirs.c.id).where(theirs.c.customer_id.in_(chosen))
        fitting = fitting.where(item.order_id.in_(mine))
    return orders.c.id.in_(fitting)


def _amount(rule: AmountRule, scope: Scope) -> ColumnElement[bool]:
    """Nobody's orders add up to 0."""
    currency = scope.policy.prices.currency
    total = func.coalesce(
        select(func.sum(worth(orders, currency)))
        .where(
            orders.c.customer_id == customers.c.id,
            orders.c.status.in_(COMPLETED),
            *_placed(scope, rule.within),
        )
        .correlate(customers)
        .scalar_subquery(),
        0,
    )
    found = []
    if rule.gte is not None:
        found.append(total >= at_least(rule.gte, currency))
    if rule.lte is not None:
        found.append(total <= at_most(rule.lte, currency))
    return and_(*found)


def _take_away(chosen: Select[Any] | None) -> Any:
    still = exists().where(*[_ruled.c[key] == tags.c[key] for key in _KEY]).correlate(tags)
    return _ruled_of(chosen).where(~still)


@cache
def _ruled_of(chosen: Select[Any] | None) -> Delete:
    """Those that rules put there."""
    gone = delete(tags).where(tags.c.rule.is_not(None))
    return gone if chosen is None else gone.where(tags.c.customer_id.in_(chosen))


def _put(connection: Connection, now: datetime) -> Any:
    """A tag that is there already keeps its time, and learns where its rule stands now."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    r = _ruled.c
    question = select(
        r.customer_id, r.dimension, r.value, literal(now, Moment()), r.source, r.rule
    ).where(r.customer_id.is_not(None))
    statement = dialect.insert(tags).from_select(
        [*_KEY, "tagged_at", "tagged_by", "rule"], question
    )
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(_KEY),
        set_={"rule": new.rule, "tagged_by": new.tagged_by},
        where=and_(
            tags.c.rule.is_not(None),
            or_(tags.c.rule != new.rule, tags.c.tagged_by.is_distinct_from(new.tagged_by)),
        ),
    )
