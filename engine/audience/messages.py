"""Conditions on messages: what was sent to a customer, and what became of it. What a machine did counts for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import FromClause, and_, distinct, func

from engine.audience.asking import Asking, Predicate, Tally, any_row
from engine.audience.predicates import NUMBERS, moments
from engine.audience.scope import Scope
from engine.store.tables import State, deliveries, engagements, links

Arguments = Mapping[str, Any]


def messages(kind: str, arguments: Arguments, asking: Asking) -> Predicate:
    """How many of the customer's messages were sent, or had this happen to them; without `count`: any."""
    tally = _sent(arguments, asking.scope)
    if kind != "sent":
        tally = _happened(kind, arguments, asking.scope)
    bounds = arguments.get("count", {"gte": 1})
    if bounds == {"gte": 1}:
        return any_row(tally)
    return asking.total(
        tally,
        lambda numbers: and_(
            *[NUMBERS[name](numbers["count"], bound) for name, bound in bounds.items()]
        ),
    )


def _sent(arguments: Arguments, scope: Scope) -> Tally:
    message = deliveries.alias()
    where = [message.c.state == State.SENT.value, *_of_message(message, arguments)]
    when = _when(arguments)
    where.append(message.c.sent_at <= scope.now)
    if when:
        where.append(moments(message.c.sent_at, when, scope))
    return Tally(message.c.customer_id, message, where, {"count": func.count()})


def _happened(kind: str, arguments: Arguments, scope: Scope) -> Tally:
    message, event = deliveries.alias(), engagements.alias()
    source: FromClause = message.join(event, event.c.delivery_id == message.c.id)
    where = [event.c.kind == kind, event.c.at <= scope.now, event.c.scanner.is_(None)]
    where += _of_message(message, arguments)
    when = _when(arguments)
    if when:
        where.append(moments(event.c.at, when, scope))
    if "label" in arguments:
        link = links.alias()
        same = and_(link.c.digest == message.c.digest, link.c.number == event.c.link)
        source = source.join(link, same)
        where.append(link.c.label.in_(arguments["label"]))
    numbers = {"count": func.count(distinct(message.c.id))}
    return Tally(message.c.customer_id, source, where, numbers)


def _of_message(message: FromClause, arguments: Arguments) -> list[Predicate]:
    """`admitted_at` is set on everything that went out; an index of a customer's messages holds only such rows."""
    where: list[Predicate] = [message.c.admitted_at.is_not(None)]
    if "definition" in arguments:
        where.append(message.c.definition.in_(arguments["definition"]))
    if "channel" in arguments:
        where.append(message.c.channel.in_(arguments["channel"]))
    return where


def _when(arguments: Arguments) -> dict[str, Any]:
    return {name: arguments[name] for name in ("within", "older_than") if name in arguments}
