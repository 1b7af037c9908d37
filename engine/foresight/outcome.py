"""Reading what became of a simulated world, in sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, func, literal, select

from engine.definitions.loader import Definitions
from engine.foresight.changes import POLICY_FILE
from engine.foresight.future import Course, Future, Held, LeftOut, Volume
from engine.foresight.sample import Parts
from engine.foresight.simulation import Lived, Progress, lived_through
from engine.planning.due import whole_days
from engine.planning.local_time import local_seconds
from engine.settings import Settings
from engine.store.session import Store
from engine.store.tables import State, customers, decisions, deliveries, pauses
from engine.store.types import epoch_seconds

SAMPLES = 3
"""Customers who are named for each reason."""
_EPOCH = date(1970, 1, 1)
_BUDGET = "budget"


def simulate(
    store: Store,
    definitions: Definitions,
    settings: Settings,
    now: datetime,
    span: timedelta,
    on_progress: Progress | None = None,
) -> Future:
    """What the files would do within `span` from now on, through every trigger and the gate. Only reads the store."""
    with lived_through(store, definitions, settings, now, span, on_progress) as lived:
        return read_future(lived, definitions, settings)


def read_future(lived: Lived, definitions: Definitions, settings: Settings) -> Future:
    """All figures of a world in which the time has passed."""
    with lived.store.read() as connection:
        return _Reading(connection, lived, definitions, settings).future()


@dataclass
class _Reading:
    connection: Connection
    lived: Lived
    definitions: Definitions
    settings: Settings
    _rules: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    def future(self) -> Future:
        policy = self.lived.catalog.policy
        volumes, held = self._volumes(), self._held()
        return Future(
            start=self.lived.start,
            end=self.lived.end,
            zone=policy.timezone,
            currency=policy.prices.currency,
            customers=self._count(select(func.count()).select_from(customers)),
            volumes=volumes,
            courses=self._courses(volumes),
            held=held,
            held_by_day=self._held_by_day(),
            contacts=self._contacts(),
            paused=list(self.connection.execute(select(pauses.c.target)).scalars()),
        )

    # -- what went out --

    def _volumes(self) -> list[Volume]:
        day = self._day_of(deliveries.c.sent_at)
        rows = self.connection.execute(
            select(day, deliveries.c.channel, deliveries.c.definition, deliveries.c.step, func.count())
            .where(self._went_out())
            .group_by(day, deliveries.c.channel, deliveries.c.definition, deliveries.c.step)
            .order_by(day, deliveries.c.channel, deliveries.c.definition)
        )  # fmt: skip
        found: dict[tuple[date, str, str], list[int]] = defaultdict(lambda: [0, 0])
        each = Parts(self.connection, self.definitions, self.settings, self.lived.start)
        for number, channel, definition, step, count in rows.all():
            sums = found[_date(number), channel, definition]
            sums[0] += count
            sums[1] += count * each.of(definition, step) if channel == "sms" else 0
        return [
            Volume(day, channel, name, sent, parts, self._cost(channel, sent, parts))
            for (day, channel, name), (sent, parts) in found.items()
        ]

    def _cost(self, channel: str, sent: int, parts: int) -> Decimal:
        prices = self.lived.catalog.policy.prices
        return parts * prices.sms if channel == "sms" else sent * prices.email

    def _contacts(self) -> Mapping[int, int]:
        each = (
            select(deliveries.c.customer_id, func.count().label("messages"))
            .where(self._went_out())
            .group_by(deliveries.c.customer_id)
            .subquery()
        )
        rows = self.connection.execute(
            select(each.c.messages, func.count()).group_by(each.c.messages).order_by(each.c.messages)
        )  # fmt: skip
        found = {messages: people for messages, people in rows.all()}  # noqa: C416  # typed so
        everybody = self._count(select(func.count()).select_from(customers))
        return {0: everybody - sum(found.values()), **found}

    # -- what did not --

    def _held(self) -> list[Held]:
        deferred = self._decided("defer")
        skipped = self._decided("skip")
        waiting = self._still_put_off()
        keys = sorted({*deferred, *skipped, *waiting})
        rules = self._rules
        return [
            Held(
                definition, reason, rules[reason, place],
                *deferred.get((definition, reason, place), (0, 0)),
                skipped.get((definition, reason, place), (0, 0))[1],
                waiting.get((definition, reason, place), 0),
            )
            for definition, reason, place in keys
            if _is_cap(reason, rules[reason, place])
        ]  # fmt: skip

    def _decided(self, verdict: str) -> dict[tuple[str, str, str], tuple[int, int]]:
        """(definition, reason, rule's place) → decisions and deliveries."""
        rows = self.connection.execute(
            select(
                deliveries.c.definition, decisions.c.reason, decisions.c.rule,
                func.count(), func.count(decisions.c.delivery_id.distinct()),
            )
            .join(deliveries, deliveries.c.id == decisions.c.delivery_id)
            .where(decisions.c.id > self.lived.first_decision, decisions.c.verdict == verdict)
            .group_by(deliveries.c.definition, decisions.c.reason, decisions.c.rule)
        )  # fmt: skip
        found = {}
        for definition, reason, rule, count, distinct in rows.all():
            found[definition, reason, self._note(reason, rule)] = (count, distinct)
        return found

    def _still_put_off(self) -> dict[tuple[str, str, str], int]:
        last = (
            select(func.max(decisions.c.id).label("id"))
            .join(deliveries, deliveries.c.id == decisions.c.delivery_id)
            .where(decisions.c.id > self.lived.first_decision, self._is_waiting())
            .group_by(decisions.c.delivery_id)
            .subquery()
        )
        rows = self.connection.execute(
            select(deliveries.c.definition, decisions.c.reason, decisions.c.rule, func.count())
            .join(last, last.c.id == decisions.c.id)
            .join(deliveries, deliveries.c.id == decisions.c.delivery_id)
            .where(decisions.c.verdict == "defer")
            .group_by(deliveries.c.definition, decisions.c.reason, decisions.c.rule)
        )
        found = {}
        for definition, reason, rule, count in rows.all():
            found[definition, reason, self._note(reason, rule)] = count
        return found

    def _held_by_day(self) -> Mapping[tuple[date, str], int]:
        day = self._day_of(decisions.c.at)
        rows = self.connection.execute(
            select(day, decisions.c.reason, decisions.c.rule, func.count())
            .where(decisions.c.id > self.lived.first_decision)
            .group_by(day, decisions.c.reason, decisions.c.rule)
        )
        found: dict[tuple[date, str], int] = defaultdict(int)
        for number, reason, rule, count in rows.all():
            if _is_cap(reason, rule):
                found[_date(number), reason] += count
        return dict(found)

    # -- by definition --

    def _courses(self, volumes: list[Volume]) -> list[Course]:
        known = self.definitions.sendable()
        waiting = self._by_definition(self._is_waiting())
        left_out = self._left_out()
        return [
            Course(
                id=name,
                kind=one.kind,
                message_class=one.message_class,
                due=sum(v.sent for v in volumes if v.definition == name)
                + sum(left.count for left in left_out.get(name, ()))
                + waiting.get(name, 0),
                sent=_by_channel(volumes, name),
                left_out=left_out.get(name, []),
                waiting=waiting.get(name, 0),
                parts=sum(v.parts for v in volumes if v.definition == name),
                cost=sum((v.cost for v in volumes if v.definition == name), Decimal()),
            )
            for name, one in known.items()
        ]

    def _by_definition(self, which: ColumnElement[bool]) -> dict[str, int]:
        rows = self.connection.execute(
            select(deliveries.c.definition, func.count())
            .where(which)
            .group_by(deliveries.c.definition)
        )
        return {name: count for name, count in rows.all()}  # noqa: C416  # typed so

    def _left_out(self) -> dict[str, list[LeftOut]]:
        ended = (
            deliveries.c.state.in_((State.SKIPPED, State.HOLDOUT))
            & (func.coalesce(deliveries.c.ended_at, deliveries.c.due_at) >= self._start())
            & (deliveries.c.due_at <= self._end())
        )
        reason = func.coalesce(deliveries.c.reason, deliveries.c.state)
        rows = self.connection.execute(
            select(deliveries.c.definition, reason.label("why"), func.count())
            .where(ended)
            .group_by(deliveries.c.definition, reason)
            .order_by(deliveries.c.definition, func.count().desc(), reason)
        ).all()
        found: dict[str, list[LeftOut]] = {}
        for definition, why, count in rows:
            same = ended & (deliveries.c.definition == definition) & (reason == why)
            some = self.connection.execute(
                select(deliveries.c.id, customers.c.ref)
                .join(customers, customers.c.id == deliveries.c.customer_id)
                .where(same)
                .order_by(customers.c.id)
                .limit(SAMPLES)
            ).all()
            rule = self._rule_of(some[0].id)
            found.setdefault(definition, []).append(
                LeftOut(why, count, rule, [row.ref for row in some])
            )
        return found

    def _rule_of(self, delivery: int) -> Mapping[str, Any]:
        """The rule of the last skip of a delivery."""
        query = select(decisions.c.rule).where(
            decisions.c.delivery_id == delivery, decisions.c.verdict == "skip"
        )
        return (
            self.connection.execute(query.order_by(decisions.c.id.desc()).limit(1)).scalar() or {}
        )

    # -- pieces of SQL --

    def _went_out(self) -> ColumnElement[bool]:
        return (deliveries.c.state == State.SENT) & (deliveries.c.admitted_at >= self._start())

    def _is_waiting(self) -> ColumnElement[bool]:
        still = deliveries.c.state.in_((State.PLANNED, State.WAITING))
        return still & (deliveries.c.due_at <= self._end())

    def _start(self) -> ColumnElement[Any]:
        return literal(self.lived.start, deliveries.c.due_at.type)

    def _end(self) -> ColumnElement[Any]:
        return literal(self.lived.end, deliveries.c.due_at.type)

    def _day_of(self, moment: ColumnElement[Any]) -> ColumnElement[int]:
        zone = literal(self.lived.catalog.policy.timezone, Text)
        return whole_days(local_seconds(epoch_seconds(moment), zone))

    def _count(self, query: Any) -> int:
        return int(self.connection.execute(query).scalar_one())

    # -- rules --

    def _note(self, reason: str, rule: Mapping[str, Any]) -> str:
        place = f"{rule.get('file')}:{rule.get('line')}"
        self._rules[reason, place] = rule
        return place


def _by_channel(volumes: list[Volume], name: str) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for volume in volumes:
        if volume.definition == name:
            found[volume.channel] += volume.sent
    return dict(found)


def _is_cap(reason: str, rule: Mapping[str, Any]) -> bool:
    """A rule of the policy, or a budget: not what is asked of the customer (consent, address, audience)."""
    return rule.get("file") == POLICY_FILE or reason.startswith(_BUDGET)


def _date(number: Any) -> date:
    return _EPOCH + timedelta(days=int(number))
