"""Conditions on what is known of a person: attributes, tags, membership, habits, and whether a message reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
)

from engine.audience.asking import Asking, Predicate, Tally, any_row
from engine.audience.attributes import number_at, text_at
from engine.audience.liking import LikedKind, is_of, points, score
from engine.audience.malicious import is_malicious
from engine.audience.predicates import NUMBERS, moments, words
from engine.audience.scope import Scope
from engine.definitions.campaign import Channel
from engine.definitions.person_conditions import whole_hours
from engine.store.tables import (
    affinities,
    consents,
    customers,
    events,
    memberships,
    profiles,
    suppressions,
    tags,
)

Arguments = Mapping[str, Any]


def attribute(arguments: Arguments) -> Predicate:
    """A value of the customer's attributes, as text where a text is written and as a number where a number is."""
    return valued(customers.c.attributes, arguments["name"], arguments)


def valued(column: ColumnElement[Any], name: str, arguments: Arguments) -> Predicate:
    """A value that JSON keeps under a name, against eq, in, not_in, gte, lte, known."""
    text, number = text_at(column, name), number_at(column, name)
    found: list[Predicate] = []
    for operator, value in arguments.items():
        if operator in ("gte", "lte"):
            found.append(and_(number.is_not(None), NUMBERS[operator](number, float(value))))
        elif operator == "known":
            found.append(words(text, {"known": value}))
        elif operator != "name":
            values = value if isinstance(value, tuple) else (value,)
            same = _is_one_of(text, number, values)
            found.append(not_(same) if operator == "not_in" else same)
    return and_(*found)


def _is_one_of(
    text: ColumnElement[str], number: ColumnElement[float], values: tuple[str | Decimal, ...]
) -> Predicate:
    written = tuple(value for value in values if isinstance(value, str))
    counted = tuple(float(value) for value in values if not isinstance(value, str))
    found = [words(text, {"in": written})] if written else []
    if counted:
        found.append(and_(number.is_not(None), number.in_(counted)))
    return or_(*found)


def tag(arguments: Arguments, scope: Scope) -> Predicate:
    """A tag of this dimension, with one of these values where any is named."""
    mine = tags.alias()
    where = [mine.c.customer_id == customers.c.id, mine.c.dimension == arguments["dimension"]]
    where.append(mine.c.tagged_at <= scope.now)
    if "value" in arguments:
        where.append(mine.c.value == arguments["value"])
    if "in" in arguments:
        where.append(mine.c.value.in_(arguments["in"]))
    when = {name: arguments[name] for name in ("within", "older_than") if name in arguments}
    if when:
        where.append(moments(mine.c.tagged_at, when, scope))
    return exists().select_from(mine).where(*where).correlate(customers)


def event(arguments: Arguments, asking: Asking) -> Predicate:
    """How many events of this kind the shop sent in, with such data; without `count`: any."""
    happened = events.alias()
    where = [happened.c.kind == arguments["kind"], happened.c.at <= asking.scope.now]
    when = {name: arguments[name] for name in ("within", "older_than") if name in arguments}
    if when:
        where.append(moments(happened.c.at, when, asking.scope))
    for name, operators in arguments.get("data", {}).items():
        where.append(valued(happened.c.data, name, operators))
    tally = Tally(happened.c.customer_id, happened, where, {"count": func.count()})
    bounds = arguments.get("count", {"gte": 1})
    if bounds == {"gte": 1}:
        return any_row(tally)
    return asking.total(
        tally,
        lambda numbers: and_(
            *[NUMBERS[name](numbers["count"], bound) for name, bound in bounds.items()]
        ),
    )


def stage(arguments: Arguments) -> Predicate:
    """The stage of the profile; before there is one a customer is a prospect."""
    return words(func.coalesce(profiles.c.stage, "prospect"), arguments)


def membership(arguments: Arguments, scope: Scope) -> Predicate:
    """A membership of this level, state and expiry; without `state` one that is in force."""
    mine = memberships.alias()
    where = [or_(*[_in_state(mine, state, scope) for state in arguments.get("state", ("active",))])]
    if "level" in arguments:
        where.append(mine.c.level.in_(arguments["level"]))
    if "expires_within" in arguments:
        until = scope.later(arguments["expires_within"])
        where += [mine.c.expires_at > scope.now, mine.c.expires_at <= until]
    return _has_membership(mine, where)


def _has_membership(mine: FromClause, where: list[Predicate]) -> Predicate:
    question = exists().select_from(mine).where(mine.c.customer_id == customers.c.id, *where)
    return question.correlate(customers)


def _in_state(mine: FromClause, state: str, scope: Scope) -> Predicate:
    """An active one that has run out has lapsed, whether or not the yearly evaluation has said so; and only who has
    none in force is lapsed."""
    if state == "active":
        return _in_force(mine, scope)
    if state != "lapsed":
        return and_(mine.c.state == state)
    over = or_(
        mine.c.state == "lapsed", and_(mine.c.state == "active", mine.c.expires_at <= scope.now)
    )
    other = memberships.alias()
    return and_(over, not_(_has_membership(other, [_in_force(other, scope)])))


def _in_force(mine: FromClause, scope: Scope) -> Predicate:
    return and_(
        mine.c.state == "active",
        or_(mine.c.starts_at.is_(None), mine.c.starts_at <= scope.now),
        or_(mine.c.expires_at.is_(None), mine.c.expires_at > scope.now),
    )


def usual_hour(arguments: Arguments) -> Predicate:
    """The hour at which the customer usually orders, where it is known well enough."""
    hour, sure = profiles.c.usual_hour, profiles.c.usual_hour_confidence
    found: list[Predicate] = []
    if "hours" in arguments:
        found.append(and_(hour.is_not(None), hour.in_(whole_hours(arguments["hours"]))))
    if "confidence" in arguments:
        least = float(arguments["confidence"])
        found.append(and_(hour.is_not(None), sure.is_not(None), sure >= least))
    if "known" in arguments:
        found.append(words(hour, {"known": arguments["known"]}))
    return and_(*found)


def cycle(arguments: Arguments) -> Predicate:
    """The median time between two orders of the customer, of a category where one is named."""
    seconds: ColumnElement[Any] = profiles.c.cycle_seconds
    if "category" in arguments:
        seconds = _of_affinity("category", arguments["category"], affinities.c.cycle_seconds)
    found: list[Predicate] = []
    for name, value in arguments.items():
        if name in NUMBERS:
            found.append(and_(seconds.is_not(None), NUMBERS[name](seconds, value.seconds)))
        elif name == "known":
            found.append(words(seconds, {"known": value}))
    return and_(*found) if found else seconds.is_not(None)


def affinity(arguments: Arguments) -> Predicate:
    """How much of the customer's liking goes to a category or brand; without bounds: any of it."""
    kind = "category" if "category" in arguments else "brand"
    found = score(kind, _of_affinity(kind, arguments[kind], points(affinities.c)))
    bounds = {name: arguments[name] for name in ("gte", "lte") if name in arguments} or {"gte": 1}
    return and_(*[NUMBERS[name](found, bound) for name, bound in bounds.items()])


def _of_affinity(kind: str, name: str, column: ColumnElement[Any]) -> ColumnElement[Any]:
    return (
        select(column)
        .where(
            affinities.c.customer_id == customers.c.id,
            affinities.c.kind == kind,
            affinities.c.name == name,
        )
        .correlate(customers)
        .scalar_subquery()
    )


def liking(kind: LikedKind, name: str) -> Tally:
    """The `points` of everybody who has some."""
    liked = affinities.alias()
    where = (is_of(kind, liked.c), liked.c.name == name)
    return Tally(liked.c.customer_id, liked, where, {"points": func.max(points(liked.c))})


def reachable(arguments: Arguments, scope: Scope) -> Predicate:
    """Whether a message of the class may go to the customer by one of these channels, as the gate would find now."""
    message_class = arguments.get("class", "marketing")
    ways = [_reaches(channel, message_class, scope) for channel in arguments["channel"]]
    return and_(not_(is_malicious()), or_(false(), *ways))


def _reaches(channel: Channel, message_class: Any, scope: Scope) -> Predicate:
    address = customers.c.email_hash if channel == "email" else customers.c.phone_hash
    where = [address.is_not(None), _is_allowed(address, channel, message_class, scope)]
    where.append(not_(_is_suppressed(address, channel)))
    if channel == "sms":
        until = customers.c.phone_valid_until
        where.append(or_(until.is_(None), until >= scope.now))
    return and_(*where)


def _is_suppressed(address: ColumnElement[Any], channel: Channel) -> Predicate:
    listed = suppressions.alias()
    question = exists().select_from(listed)
    return question.where(listed.c.address_hash == address, listed.c.channel == channel).correlate(
        customers
    )


def _is_allowed(
    address: ColumnElement[Any], channel: Channel, message_class: Any, scope: Scope
) -> Predicate:
    """The newest row of the ledger, else what the policy says of the unknown."""
    said = consents.alias()
    newest = (
        select(case((said.c.granted, 1), else_=0))
        .where(
            said.c.address_hash == address,
            said.c.channel == channel,
            said.c["class"] == message_class,
        )
        .order_by(said.c.id.desc())
        .limit(1)
        .correlate(customers)
        .scalar_subquery()
    )
    unknown = 1 if scope.policy.unknown_consent[channel, message_class] else 0
    return func.coalesce(newest, literal(unknown)) == 1
