"""Does a later step still go? `stop_on`, `unless` and `if` are asked of the whole batch, when a step is due: what happened
between the end of the step before and now counts.

`ordered` is any order that was placed since; `unsubscribed` also counts where the person said so elsewhere. What a machine
did counts for nothing, but an unsubscription, whatever program delivered it. Clicks, opens, bounces and complaints are
those of the step that `after` names; for `stop_on` those of any message of the series.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select, true

from engine.definitions.campaign import After, Campaign, Care, Step, Word
from engine.gate.candidates import Version
from engine.gate.decision import Because, Skip, of_definition
from engine.store.among import among
from engine.store.tables import (
    STOPPED,
    Engagement,
    consents,
    customers,
    deliveries,
    engagements,
    orders,
)
from engine.store.types import Moment

UNLESS, ONLY_IF = "unless", "if"
_KINDS: Mapping[Word, tuple[Engagement, ...]] = {
    "clicked": (Engagement.CLICKED,),
    "opened": (Engagement.OPENED, Engagement.VIEWED, Engagement.CLICKED),
    "bounced": (Engagement.BOUNCED,),
    "complained": (Engagement.COMPLAINED,),
    "unsubscribed": (Engagement.UNSUBSCRIBED,),
}
_own, _parent, _first = (deliveries.alias(name) for name in ("own", "parent", "first"))


class Delivery(Protocol):
    """What the question needs of a delivery."""

    @property
    def id(self) -> int: ...

    @property
    def digest(self) -> str: ...

    @property
    def step(self) -> str: ...


def no_longer_wanted(
    connection: Connection,
    asked: Iterable[Delivery],
    versions: Mapping[str, Version],
    now: datetime,
) -> dict[int, Skip]:
    """Skips by delivery id, of those for whom the series has ended or the step's conditions do not hold.

    Deliveries of first steps may be among those asked; without later steps nothing is read.
    """
    series = {digest for digest, version in versions.items() if len(version.definition.steps) > 1}
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for one in asked if series else ():
        if one.digest in series:
            groups[one.digest, one.step].append(one.id)
    found: dict[int, Skip] = {}
    for (digest, name), ids in groups.items():
        definition = versions[digest].definition
        step = definition.step(name)
        if step is not None and step.after is not None:
            found |= _of_step(connection, definition, step, step.after, ids, now)
    return found


def _of_step(
    connection: Connection,
    definition: Campaign | Care,
    step: Step,
    after: After,
    ids: Sequence[int],
    now: datetime,
) -> dict[int, Skip]:
    mine = dict.fromkeys((*after.unless, *after.only_if))
    if not mine and not definition.stop_on:
        return {}
    query = _question(definition, list(mine), now)
    skips = {}
    for row in connection.execute(query, {"ids": ids}):
        stops = dict(zip(definition.stop_on, row[1:], strict=False))
        happened = dict(zip(mine, row[1 + len(stops) :], strict=True))
        skip = _judge(definition, definition.steps.index(step), after, stops, happened)
        if skip is not None:
            skips[row[0]] = skip
    return skips


def _judge(
    definition: Campaign | Care,
    place: int,
    after: After,
    stops: Mapping[Word, datetime | None],
    happened: Mapping[Word, datetime | None],
) -> Skip | None:
    key = f"steps.{place}.after"
    for word, at in stops.items():
        if at is not None:
            rule = of_definition(definition, "stop_on")
            return Skip(Because(STOPPED, rule, {"event": word, "at": at.isoformat()}))
    for word in after.unless:
        if (at := happened[word]) is not None:
            evidence = {"event": word, "at": at.isoformat(), "step": after.step}
            return Skip(Because(UNLESS, of_definition(definition, f"{key}.unless"), evidence))
    if after.only_if and not any(happened[word] for word in after.only_if):
        evidence = {"none_of": ", ".join(after.only_if), "step": after.step}
        return Skip(Because(ONLY_IF, of_definition(definition, f"{key}.if"), evidence))
    return None


def _question(definition: Campaign | Care, of_parent: Sequence[Word], now: datetime) -> Select[Any]:
    """Per delivery its id, and when each word first came true: those of `stop_on`, then those asked of the parent."""
    began, went = _moment(_first), _moment(_parent)
    columns = [
        *(_since(word, began, definition, now, None) for word in definition.stop_on),
        *(_since(word, went, definition, now, _parent.c.id) for word in of_parent),
    ]
    source = (
        _own.join(customers, customers.c.id == _own.c.customer_id)
        .join(_parent, and_(_parent.c.step == _own.c.parent_step, *_same(_parent)))
        .outerjoin(_first, and_(_first.c.step == definition.steps[0].id, *_same(_first)))
    )
    return select(_own.c.id, *columns).select_from(source).where(among(_own.c.id, "ids"))


def _same(other: Any) -> tuple[ColumnElement[bool], ...]:
    return (
        other.c.definition == _own.c.definition,
        other.c.customer_id == _own.c.customer_id,
        other.c.anchor == _own.c.anchor,
    )


def _moment(message: Any) -> ColumnElement[Any]:
    """When it was sent, else when it ended; before either, nothing that happened counts for the series."""
    return func.coalesce(message.c.sent_at, message.c.ended_at, type_=Moment())


def _since(
    word: Word,
    since: ColumnElement[Any],
    definition: Campaign | Care,
    now: datetime,
    message: ColumnElement[Any] | None,
) -> ColumnElement[Any]:
    """SQL: the first moment of it, or NULL. `message`: whose events count; None: those of any of the series."""
    if word == "ordered":
        placed = orders.c.placed_at
        return (
            select(func.min(placed, type_=Moment()))
            .where(orders.c.customer_id == _own.c.customer_id, placed >= since, placed <= now)
            .scalar_subquery()
        )
    told = _event(word, definition, now, message)
    if word == "unsubscribed":
        return func.coalesce(_left(since, definition, now), told, type_=Moment())
    return told


def _event(
    word: Word, definition: Campaign | Care, now: datetime, message: ColumnElement[Any] | None
) -> ColumnElement[Any]:
    sent = deliveries.alias()
    if message is not None:
        return _first_event(word, now, sent, sent.c.id == message)
    # Two questions, each by an index of its own: of what went out, and of what was refused and is planned again since,
    # by an operator, or was skipped then.
    went, own = sent.c.admitted_at.is_not(None), [step.id for step in definition.steps]
    back = and_(sent.c.step.in_(own), sent.c.admitted_at.is_(None))
    found = [_first_event(word, now, sent, and_(*_same(sent), where)) for where in (went, back)]
    return func.coalesce(*found, type_=Moment())


def _first_event(
    word: Word, now: datetime, sent: Any, of_message: ColumnElement[bool]
) -> ColumnElement[Any]:
    event = engagements.alias()
    return (
        select(func.min(event.c.at, type_=Moment()))
        .select_from(sent.join(event, event.c.delivery_id == sent.c.id))
        .where(
            of_message,
            event.c.kind.in_([kind.value for kind in _KINDS[word]]),
            true() if word == "unsubscribed" else event.c.scanner.is_(None),
            event.c.at <= now,
        )
        .scalar_subquery()
    )


def _left(
    since: ColumnElement[Any], definition: Campaign | Care, now: datetime
) -> ColumnElement[Any]:
    """The person's own withdrawal of this class's consent since then, of either of their addresses, wherever they said it."""
    mine = or_(
        and_(consents.c.channel == "email", consents.c.address_hash == customers.c.email_hash),
        and_(consents.c.channel == "sms", consents.c.address_hash == customers.c.phone_hash),
    )
    return (
        select(func.min(consents.c.at, type_=Moment()))
        .where(
            mine,
            consents.c["class"] == definition.message_class,
            consents.c.granted.is_(False),
            consents.c.source == "person",
            consents.c.at >= since,
            consents.c.at <= now,
        )
        .scalar_subquery()
    )
