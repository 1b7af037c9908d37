"""What became of the messages, read from deliveries and engagements: one query per kind of figure.

Everything is counted from the rows when it is asked for: there is no counter that could drift.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, distinct, func, select, true

from engine.insight.figures import ChannelFigures, DefinitionReport, Hour, LinkFigures, Report
from engine.insight.steps import holdout_figures, step_figures
from engine.store.tables import (
    OPEN_STATES,
    Engagement,
    State,
    definitions,
    deliveries,
    engagements,
    links,
)
from engine.store.types import epoch_seconds

__all__ = ("DefinitionReport", "Report", "report")

_HOUR = 3600
_SEEN = (Engagement.OPENED.value, Engagement.VIEWED.value)
_Rows = Sequence[Row[*tuple[Any, ...]]]


def report(connection: Connection, definition_ids: Sequence[str] | None, now: datetime) -> Report:
    """The figures of these definitions (None: of all that ever planned a message).

    An id without any delivery is left out; the caller knows which ids exist.
    """
    wanted = deliveries.c.definition.in_(definition_ids) if definition_ids is not None else true()
    states = _grouped(connection.execute(_states(wanted)))
    events = _grouped(connection.execute(_events(wanted)))
    hours = _grouped(connection.execute(_hours(wanted)))
    clicks = _grouped(connection.execute(_links(wanted)))
    kinds = _kinds(connection, states)
    held = [name for name, own in states.items() if any(r.state == State.HOLDOUT for r in own)]
    groups = holdout_figures(connection, held, now) if held else {}
    reports = [
        replace(
            _definition(
                name, kinds.get(name, "campaign"), own, events[name], hours[name], clicks[name]
            ),
            steps=step_figures(own, events[name]),
            groups=groups.get(name, ()),
        )
        for name, own in states.items()
    ]
    latest = datetime.max.replace(tzinfo=UTC)
    return Report(
        now, tuple(sorted(reports, key=lambda one: (one.first_sent_at or latest, one.id)))
    )


def _states(wanted: ColumnElement[bool]) -> Any:
    table = deliveries.c
    reason = case((table.state == State.SKIPPED.value, table.reason))
    keys = (
        table.definition, table["class"], table.channel, table.step, table.variant, table.state, reason,
    )  # fmt: skip
    return (
        select(
            table.definition, table["class"].label("message_class"), table.channel,
            table.step, table.variant, table.state, func.min(table.due_at).label("due"),
            reason.label("why"), func.count().label("messages"),
            func.sum(case((table.deferrals > 0, 1), else_=0)).label("deferred"),
            func.min(table.sent_at).label("first"), func.max(table.sent_at).label("last"),
        )
        .where(wanted)
        .group_by(*keys)
    )  # fmt: skip


def _events(wanted: ColumnElement[bool]) -> Any:
    """Per channel and kind: messages on which a person acted, and events of machines. A person's unsubscription counts
    whatever program delivered it."""
    event = engagements.c
    kind = case((event.kind.in_(_SEEN), Engagement.OPENED.value), else_=event.kind)
    person = case((event.scanner.is_(None), event.delivery_id))
    return (
        select(
            deliveries.c.definition, deliveries.c.channel, deliveries.c.step, deliveries.c.variant,
            kind.label("kind"),
            func.count(distinct(person)).label("messages"),
            func.sum(case((event.scanner.is_not(None), 1), else_=0)).label("scanners"),
        )
        .join(deliveries, deliveries.c.id == event.delivery_id)
        .where(wanted)
        .group_by(
            deliveries.c.definition, deliveries.c.channel, deliveries.c.step, deliveries.c.variant, kind
        )
    )  # fmt: skip


def _hours(wanted: ColumnElement[bool]) -> Any:
    event = engagements.c
    hour = (epoch_seconds(event.at) // _HOUR).label("hour")
    clicked = case((event.kind == Engagement.CLICKED.value, event.delivery_id))
    opened = case((event.kind.in_(_SEEN), event.delivery_id))
    return (
        select(
            deliveries.c.definition, hour,
            func.count(distinct(opened)).label("opened"), func.count(distinct(clicked)).label("clicked"),
        )
        .join(deliveries, deliveries.c.id == event.delivery_id)
        .where(wanted, event.scanner.is_(None), event.kind.in_([*_SEEN, Engagement.CLICKED.value]))
        .group_by(deliveries.c.definition, hour)
        .order_by(hour)
    )  # fmt: skip


def _links(wanted: ColumnElement[bool]) -> Any:
    """Every link that was sent, those that nobody clicked too; the same link of two versions is one line."""
    sent = (
        select(deliveries.c.definition, deliveries.c.digest)
        .where(wanted, deliveries.c.sent_at.is_not(None))
        .distinct()
        .subquery()
    )
    clicks = (
        select(
            deliveries.c.definition, deliveries.c.digest, deliveries.c.customer_id,
            engagements.c.link, engagements.c.scanner, engagements.c.id,
        )
        .join(deliveries, deliveries.c.id == engagements.c.delivery_id)
        .where(wanted, engagements.c.kind == Engagement.CLICKED.value)
        .subquery()
    )  # fmt: skip
    person = case((clicks.c.scanner.is_(None), clicks.c.customer_id))
    same = and_(
        clicks.c.definition == sent.c.definition,
        clicks.c.digest == sent.c.digest,
        clicks.c.link == links.c.number,
    )
    return (
        select(
            sent.c.definition, links.c.url, links.c.label, links.c.personal,
            func.count(distinct(person)).label("people"),
            func.count(person).label("clicks"),
            func.count(clicks.c.scanner).label("scanners"),
            func.min(links.c.number).label("number"),
        )
        .select_from(sent)
        .join(links, links.c.digest == sent.c.digest)
        .outerjoin(clicks, same)
        .group_by(sent.c.definition, links.c.url, links.c.label, links.c.personal)
    )  # fmt: skip


def _kinds(connection: Connection, names: Iterable[str]) -> Mapping[str, str]:
    query = select(definitions.c.name, definitions.c.kind).where(
        definitions.c.name.in_(list(names)), definitions.c.kind.in_(["campaign", "care"])
    )
    return {row.name: row.kind for row in connection.execute(query)}


def _grouped(rows: Iterable[Row[*tuple[Any, ...]]]) -> dict[str, list[Row[*tuple[Any, ...]]]]:
    grouped: dict[str, list[Row[*tuple[Any, ...]]]] = defaultdict(list)
    for row in rows:
        grouped[row.definition].append(row)
    return grouped


def _definition(
    name: str,
    kind: str,
    rows: _Rows,
    events: _Rows,
    hours: _Rows,
    clicks: _Rows,
) -> DefinitionReport:
    states: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    machines: Counter[str] = Counter()
    for row in rows:
        states[row.state] += row.messages
        if row.state == State.SKIPPED:
            skipped[row.why or ""] += row.messages
    for row in events:
        machines[row.kind] += row.scanners
    return DefinitionReport(
        id=name,
        kind=kind,
        message_class=rows[0].message_class,
        planned=states.total() - states[State.HOLDOUT],
        holdout=states[State.HOLDOUT],
        open=sum(states[state] for state in OPEN_STATES if state != State.UNCERTAIN),
        sent=states[State.SENT],
        failed=states[State.FAILED],
        uncertain=states[State.UNCERTAIN],
        cancelled=states[State.CANCELLED],
        deferred=sum(row.deferred for row in rows),
        skipped=dict(skipped.most_common()),
        first_sent_at=min((row.first for row in rows if row.first), default=None),
        last_sent_at=max((row.last for row in rows if row.last), default=None),
        channels=_channels(rows, events),
        links=_link_figures(clicks),
        hours=tuple(
            Hour(datetime.fromtimestamp(int(row.hour) * _HOUR, UTC), row.opened, row.clicked)
            for row in hours
        ),
        scanners={kind: count for kind, count in machines.items() if count},
    )


def _channels(rows: _Rows, events: _Rows) -> tuple[ChannelFigures, ...]:
    sent: Counter[str] = Counter()
    for row in rows:
        if row.state == State.SENT:
            sent[row.channel or "email"] += row.messages
    counts: Counter[tuple[str, str]] = Counter()
    for row in events:
        counts[row.channel or "email", row.kind] += row.messages
    names = sorted({*sent, *(channel for channel, _ in counts)})

    def figures(channel: str) -> ChannelFigures:
        def count(kind: Engagement) -> int:
            return int(counts.get((channel, kind.value), 0))

        return ChannelFigures(
            channel=channel,
            sent=sent[channel],
            delivered=counts.get((channel, Engagement.DELIVERED.value)),
            opened=count(Engagement.OPENED),
            clicked=count(Engagement.CLICKED),
            unsubscribed=count(Engagement.UNSUBSCRIBED),
            complained=count(Engagement.COMPLAINED),
            bounced=count(Engagement.BOUNCED),
        )

    return tuple(figures(name) for name in names)


def _link_figures(rows: _Rows) -> tuple[LinkFigures, ...]:
    ordered = sorted(rows, key=lambda row: (-row.people, -row.clicks, row.number))
    return tuple(
        LinkFigures(
            url=row.url, label=row.label, personal=row.personal,
            people=row.people, clicks=row.clicks, scanners=row.scanners,
        )
        for row in ordered
    )  # fmt: skip
