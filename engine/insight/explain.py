"""explain: for a person or one delivery, everything that was decided and done, each with its rule and evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from engine.definitions.campaign import Channel
from engine.errors import YanshuError
from engine.insight.foreseen import as_text as foreseen_text
from engine.insight.foreseen import foreseen
from engine.insight.person import Person, find_people, people_by_id
from engine.insight.verdicts import Verdict, verdicts
from engine.pages.terminal import local, plain
from engine.settings import Settings
from engine.store.tables import (
    State,
    attempts,
    customers,
    deliveries,
    engagements,
    links,
    pauses,
    runs,
)

_WAITS = (State.WAITING, State.PLANNED)
_TIMES = (
    "due_at", "next_at", "not_after", "admitted_at", "send_at", "first_attempt_at", "sent_at",
    "ended_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Story:
    """One delivery from its planning to what the customer did with it. `outlook`: what an unsent one waits for."""

    row: Mapping[str, Any]
    decisions: tuple[Verdict, ...]
    attempts: tuple[Mapping[str, Any], ...]
    engagements: tuple[Mapping[str, Any], ...]
    outlook: str | None
    foreseen: Verdict | None = None  # what the gate would say at its next look

    def as_json(self) -> dict[str, Any]:
        row = self.row
        plain_columns = ("definition", "step", "anchor", "class", "state", "reason", "channel")
        return {
            "id": row["public_id"],
            "customer": row["ref"],
            **{name: row[name] for name in plain_columns},
            "after": row["parent_step"],
            "variant": row["variant"],
            **{name: row[name] for name in _TIMES},
            "deferrals": row["deferrals"],
            "reply": row["reply"],
            "outlook": self.outlook,
            "foreseen": _coming(self.foreseen),
            "attempts": list(self.attempts),
            "engagements": list(self.engagements),
        }

    def as_text(self, zone: str) -> str:
        row = self.row
        when = local(row["sent_at"] or row["ended_at"] or row["next_at"], zone)
        step = f"{row['step']} ({row['variant']})" if row["variant"] else row["step"]
        head = f"{row['definition']} / {step}  {row['state']}  {when}  [{row['public_id']}]"
        lines = [f"due {local(row['due_at'], zone)}, for {plain(row['anchor'])}"]
        lines += [plain(self.outlook)] if self.outlook else []
        lines += [verdict.as_text(zone).replace("\n", "\n  ") for verdict in self.decisions]
        if self.foreseen is not None:
            lines.append(foreseen_text(self.foreseen, zone).replace("\n", "\n  "))
        lines += [_attempt_text(attempt, zone) for attempt in self.attempts]
        lines += [_engagement_text(event, zone) for event in self.engagements]
        return "\n  ".join([head, *lines])


@dataclass(frozen=True, slots=True)
class Explanation:
    """What `explain` shows: the people, their deliveries by due time, and all decisions by time."""

    now: datetime
    people: tuple[Person, ...]
    stories: tuple[Story, ...]

    @property
    def decisions(self) -> list[Verdict]:
        found = [verdict for story in self.stories for verdict in story.decisions]
        return sorted(found, key=lambda verdict: verdict.at)

    def as_json(self) -> dict[str, Any]:
        """`{now, customers: [...], deliveries: [...], decisions: [{customer, delivery, definition, step, at, verdict,
        reason, rule: {file, line, text}, evidence, until}]}`; moments are datetimes."""
        return {
            "now": self.now,
            "customers": [person.as_json() for person in self.people],
            "deliveries": [story.as_json() for story in self.stories],
            "decisions": [verdict.as_json() for verdict in self.decisions],
        }

    def as_text(self, zone: str = "UTC") -> str:
        """For people, times on the wall clock of `zone`."""
        parts = [person.as_text(zone) for person in self.people]
        parts += [story.as_text(zone) for story in self.stories]
        if not self.stories:
            parts.append("no message was ever planned for them")
        return "\n\n".join(parts)


def explain_customer(
    connection: Connection,
    *,
    settings: Settings,
    now: datetime,
    ref: str | None = None,
    email: str | None = None,
    phone: str | None = None,
) -> Explanation:
    """Everything about whom one of `ref` (the shop's id), `email` or `phone` means. Raises YanshuError for nobody."""
    people = find_people(connection, settings, ref=ref, email=email, phone=phone)
    wanted = deliveries.c.customer_id.in_([person.id for person in people])
    stories = _stories(connection, wanted, now, settings.channels())
    return Explanation(now, tuple(people), stories)


def explain_delivery(
    connection: Connection,
    which: str,
    now: datetime,
    channels: frozenset[Channel] | None = None,
) -> Explanation:
    """Everything about one delivery: its public id, with or without `delivery:`. Raises YanshuError for none.

    `channels`: those that the installation can send on; None: all.
    """
    public_id = which.removeprefix("delivery:")
    stories = _stories(connection, deliveries.c.public_id == public_id, now, channels)
    if not stories:
        raise YanshuError(f"no delivery {public_id!r}; it stands in the message as X-Delivery-Id")
    people = people_by_id(connection, {stories[0].row["customer_id"]})
    return Explanation(now, tuple(people), stories)


def _stories(
    connection: Connection, wanted: Any, now: datetime, channels: frozenset[Channel] | None
) -> tuple[Story, ...]:
    rows = connection.execute(
        select(
            deliveries,
            customers.c.ref,
            runs.c.state.label("run_state"),
            runs.c.reason.label("run_reason"),
        )
        .join(customers, customers.c.id == deliveries.c.customer_id)
        .join(runs, runs.c.id == deliveries.c.run_id)
        .where(wanted)
        .order_by(deliveries.c.due_at, deliveries.c.id)
    ).all()
    decided = verdicts(connection, rows)
    tried, engaged = _attempts(connection, rows), _engagements(connection, rows)
    held = set(connection.execute(select(pauses.c.target)).scalars())
    free = [row for row in rows if not held & set(_names(row))]
    coming = foreseen(connection, free, now, channels)
    return tuple(
        Story(
            row._asdict(),
            tuple(decided[row.id]),
            tuple(tried.get(row.id, ())),
            tuple(engaged.get(row.id, ())),
            _outlook(row, held, now),
            coming.get(row.id),
        )
        for row in rows
    )


def _attempts(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    query = select(attempts).where(attempts.c.delivery_id.in_([row.id for row in rows]))
    for row in connection.execute(query.order_by(attempts.c.number)):
        names = ("number", "at", "channel", "outcome", "phase", "reply")
        found.setdefault(row.delivery_id, []).append({name: row._mapping[name] for name in names})
    return found


def _engagements(
    connection: Connection, rows: Sequence[Row[Any]]
) -> dict[int, list[dict[str, Any]]]:
    """By delivery; a click also with its link's address and label. `scanner`: why it is taken for a machine's."""
    found: dict[int, list[dict[str, Any]]] = {}
    query = (
        select(engagements, links.c.url, links.c.label)
        .join(deliveries, deliveries.c.id == engagements.c.delivery_id)
        .outerjoin(
            links,
            (links.c.digest == deliveries.c.digest) & (links.c.number == engagements.c.link),
        )
        .where(engagements.c.delivery_id.in_([row.id for row in rows]))
        .order_by(engagements.c.at, engagements.c.id)
    )
    for row in connection.execute(query):
        names = ("kind", "at", "link", "url", "label", "scanner")
        found.setdefault(row.delivery_id, []).append({name: row._mapping[name] for name in names})
    return found


def _outlook(row: Row[Any], held: set[str], now: datetime) -> str | None:
    """What a delivery that has not gone out waits for; None for one that has ended or is on its way."""
    if row.state not in _WAITS:
        return None
    if row.run_state == "blocked":
        return f"waits: its run is blocked: {row.run_reason}"
    if pause := held & set(_names(row)):
        return f"waits: {', '.join(sorted(pause))} is paused"
    if row.state == State.WAITING:
        named = f", {row.parent_step}" if row.parent_step else ""
        return f"waits for the step before it{named}"
    if row.next_at > now:
        return f"waits for its time; put off: {row.reason}" if row.reason else "is not due yet"
    return "is due: the gate has not looked at it yet"


def _names(row: Row[Any]) -> tuple[str, ...]:
    """The targets under which an operator may have paused this delivery, whatever channel it will take."""
    return (
        "all",
        f"campaign:{row.definition}",
        f"care:{row.definition}",
        f"run:{row.run_id}",
        f"delivery:{row.public_id}",
    )


def _coming(verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    kept = ("at", "verdict", "reason", "rule", "evidence", "until")
    return {name: value for name, value in verdict.as_json().items() if name in kept}


def _attempt_text(attempt: Mapping[str, Any], zone: str) -> str:
    phase = f" at {attempt['phase']}" if attempt["phase"] else ""
    reply = f": {plain(attempt['reply'])}" if attempt["reply"] else ""
    return f"{local(attempt['at'], zone)}  attempt {attempt['number']} by {attempt['channel']} {attempt['outcome']}{phase}{reply}"


def _engagement_text(event: Mapping[str, Any], zone: str) -> str:
    link = f" link {event['link']} {plain(event['label'] or event['url'])}" if event["link"] else ""
    machine = f" (a machine: {plain(event['scanner'])})" if event["scanner"] else ""
    return f"{local(event['at'], zone)}  {event['kind']}{link}{machine}"
