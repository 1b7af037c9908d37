"""The plan: what applying the files would change, who would get what and when, what it would cost. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select

from engine.audience.compiler import PEOPLE, Scope, matches
from engine.audience.malicious import is_malicious
from engine.customers.consent import permissions
from engine.customers.profiles.freshness import looking
from engine.definitions import regions
from engine.definitions.campaign import Campaign, Care, Channel, Schedule, Step
from engine.definitions.loader import Definitions
from engine.foresight.changes import Change, compare, fingerprint, versions_to_come, wanted
from engine.foresight.collisions import FEW, Collision, collisions, warnings_of
from engine.foresight.future import Future
from engine.foresight.outcome import read_future
from engine.foresight.readiness import refuse_broken_templates
from engine.foresight.renames import warn_of_renames
from engine.foresight.sample import sms_parts
from engine.foresight.simulation import Progress, lived_through
from engine.foresight.trials import untested
from engine.planning.expansion import horizon
from engine.planning.finish import cannot_finish
from engine.planning.holdout import draws, reason_held_out
from engine.planning.occurrences import next_occurrence
from engine.planning.triggers import Span, due_rows
from engine.settings import Settings
from engine.store.session import Store
from engine.store.tables import customers, deliveries
from engine.store.warm_ups import begun_by_rule
from engine.store.zones import ensure_zones

SHORT_LEAD = timedelta(days=3)
"""A mailing takes three days and more to prepare."""
_CHUNK = 10_000
_CUSTOMERS = select(customers, is_malicious().label("is_malicious"))


@dataclass(frozen=True, slots=True)
class LaterStep:
    """A later step, as if nobody dropped out before it: conditions and the caps can only take people away."""

    id: str
    after: str
    wait: str
    by_channel: Mapping[str, int]
    sms_parts: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Sendings:
    """What one campaign or care rule would do: a campaign for its date, a care rule within the horizon.

    People, channels and parts are those of the first step; `cost` is that of all steps, at most.
    """

    id: str
    kind: str
    message_class: str
    first: datetime | None
    last: datetime | None
    people: int
    already: int  # who have it from this occurrence before
    by_channel: Mapping[str, int]  # who would be reached by it, as the gate chooses
    left_out: Mapping[str, int]  # reason → people
    sms_parts: int
    cost: Decimal
    warnings: Sequence[str] = field(default=())
    later: Sequence[LaterStep] = field(default=())


@dataclass(frozen=True, slots=True)
class Plan:
    changes: Sequence[Change]
    sendings: Sequence[Sendings]
    fingerprint: str
    currency: str
    horizon: timedelta
    zone: str  # the shop's, in which people are shown times
    warnings: Sequence[str] = ()  # of the changes; those of one sending stand there
    future: Future | None = None  # None: not played through

    @property
    def has_changes(self) -> bool:
        return any(change.what != "unchanged" for change in self.changes)

    def as_json(self) -> dict[str, Any]:
        from engine.foresight.plan_text import as_json

        return as_json(self)

    def as_text(self) -> str:
        """For people, the caps' part only where the future was played through."""
        from engine.foresight.plan_text import as_text

        return as_text(self)

    def as_markdown(self) -> str:
        """For a comment on a pull request."""
        from engine.foresight.plan_markdown import as_markdown

        return as_markdown(self)


def make_plan(
    store: Store,
    definitions: Definitions,
    settings: Settings,
    now: datetime,
    *,
    span: timedelta | None = None,
    on_progress: Progress | None = None,
    keeps: bool = True,
) -> Plan:
    """What would happen; with `span`, after every cap too, played through in a copy of the shop for so long.

    Raises DefinitionsError for templates that do not hold. Writes nothing but zones and, if it `keeps` them, since `now`
    is now, the profiles of the day by the rules in force.
    """
    plan = _look_around(store, definitions, settings, now, keeps=keeps)
    if span is None:
        return plan
    with lived_through(store, definitions, settings, now, span, on_progress) as lived:
        future = read_future(lived, definitions, settings)
        return _with_future(plan, definitions, future, collisions(lived, definitions, future))


def _with_future(
    plan: Plan, definitions: Definitions, future: Future, found: list[Collision]
) -> Plan:
    """The plan, and on each campaign what the caps do to it."""
    courses = {course.id: course for course in future.courses}
    sendings = []
    for sending in plan.sendings:
        definition = definitions.sendable()[sending.id]
        more: list[str] = []
        if isinstance(definition, Campaign):
            more += warnings_of(courses[sending.id], definition, future, found)
        sendings.append(replace(sending, warnings=(*sending.warnings, *more)))
    return replace(plan, sendings=sendings, future=future)


def _look_around(
    store: Store, definitions: Definitions, settings: Settings, now: datetime, *, keeps: bool
) -> Plan:
    new = wanted(definitions)
    with store.read() as connection:
        touched = versions_to_come(compare(connection, new))
    refuse_broken_templates(definitions, settings, touched)
    policy = definitions.policy
    with store.write() as connection:
        zones = [
            zone
            for zone in connection.execute(select(customers.c.timezone).distinct()).scalars()
            if zone
        ]
        zones += regions.zones()
        ensure_zones(connection, {*zones, policy.timezone})
    with looking(store, policy, now, keeps=keeps) as connection:
        trials = untested(connection, new)
        look = _Look(connection, definitions, settings, now, {*zones, policy.timezone}, trials)
        changes = compare(connection, new)
        return Plan(
            changes=changes,
            sendings=[look.at(definition) for definition in definitions.sendable().values()],
            fingerprint=fingerprint(connection, new),
            currency=policy.prices.currency,
            horizon=horizon(policy),
            zone=policy.timezone,
            warnings=warn_of_renames(connection, changes, new),
        )


@dataclass
class _Look:
    connection: Connection
    definitions: Definitions
    settings: Settings
    now: datetime
    zones: set[str]
    untested: Mapping[str, str]

    def at(self, definition: Campaign | Care) -> Sendings:
        if definition.schedule is not None:
            return self._dated(definition, definition.schedule)
        assert isinstance(definition, Care)
        return self._care(definition)

    def _dated(self, campaign: Campaign | Care, schedule: Schedule) -> Sendings:
        """What goes to everybody, at its date or the next one of its dates."""
        policy = self.definitions.policy
        when = next_occurrence(schedule, policy.timezone, self.zones, self.now)
        if when is None:
            nobody = {step.channels: _Reach() for step in campaign.steps}
            return self._sendings(campaign, nobody, None, None, 0, ["it never comes again"])
        spread = schedule.spread.delta if schedule.spread else timedelta()
        query = _CUSTOMERS.select_from(PEOPLE).where(matches(campaign.audience, self._scope()))
        already = self.connection.execute(
            select(func.count()).where(
                deliveries.c.definition == campaign.id,
                deliveries.c.anchor == when.text,
                deliveries.c.parent_step.is_(None),
            )
        ).scalar_one()
        reach = self._reach(campaign, query)
        first = reach[campaign.steps[0].channels]
        warnings = _campaign_warnings(schedule, when.starts_at, first, self.now)
        if when.starts_at > self.now and campaign.id in self.untested:
            warnings.append(self.untested[campaign.id])
        last = when.ends_at + spread
        if when.finish:
            last = max(when.finish.values())
            begun = begun_by_rule(self.connection, policy.volume)
            span = (when.starts_at, last)
            warnings += cannot_finish(policy, campaign, *span, first.by_channel, begun)
        return self._sendings(campaign, reach, when.starts_at, last, already, warnings)

    def _care(self, care: Care) -> Sendings:
        policy = self.definitions.policy
        span = Span(self.now - care.trigger.grace.delta, self.now + horizon(policy))
        found = due_rows(care, policy, span, self.definitions.membership)
        people = PEOPLE.join(found, found.c.customer_id == customers.c.id)
        chosen = matches(care.audience, self._scope())
        first, last = self.connection.execute(
            select(func.min(found.c.due), func.max(found.c.due)).select_from(people).where(chosen)
        ).one()
        reach = self._reach(care, _CUSTOMERS.select_from(people).where(chosen))
        of_rule = (deliveries.c.definition == care.id) & deliveries.c.parent_step.is_(None)
        same = of_rule & (deliveries.c.anchor == found.c.anchor)
        already = self.connection.execute(
            select(func.count())
            .select_from(
                people.join(deliveries, same & (deliveries.c.customer_id == customers.c.id))
            )
            .where(chosen)
        ).scalar_one()
        return self._sendings(care, reach, _moment(first), _moment(last), already, ())

    def _sendings(
        self,
        definition: Campaign | Care,
        reaches: _Reaches,
        first: datetime | None,
        last: datetime | None,
        already: int,
        warnings: Sequence[str],
    ) -> Sendings:
        reach = reaches[definition.steps[0].channels]
        parts, cost = self._cost(definition, definition.steps[0], reach)
        later = [
            self._later(definition, step, reaches[step.channels]) for step in definition.steps[1:]
        ]
        return Sendings(
            id=definition.id,
            kind=definition.kind,
            message_class=definition.message_class,
            first=first,
            last=last,
            people=reach.people,
            already=already,
            by_channel={name: count for name, count in reach.by_channel.items() if count},
            left_out=dict(reach.left_out),
            sms_parts=parts,
            cost=cost + sum(step.cost for step in later),
            warnings=tuple(warnings),
            later=tuple(later),
        )

    def _cost(self, definition: Campaign | Care, step: Step, reach: _Reach) -> tuple[int, Decimal]:
        """SMS parts and money, where everybody whom it reaches gets it."""
        prices = self.definitions.policy.prices
        parts = reach.by_channel["sms"] * sms_parts(
            self.definitions, self.settings, definition, step, reach.sample, self.now
        )
        return parts, reach.by_channel["email"] * prices.email + parts * prices.sms

    def _later(self, definition: Campaign | Care, step: Step, reach: _Reach) -> LaterStep:
        assert step.after is not None
        parts, cost = self._cost(definition, step, reach)
        reached: dict[str, int] = {n: count for n, count in reach.by_channel.items() if count}
        return LaterStep(step.id, step.after.step, str(step.after.wait), reached, parts, cost)

    def _scope(self) -> Scope:
        policy = self.definitions.policy
        return Scope(self.now, policy.timezone, policy, self.definitions.segments)

    def _reach(self, definition: Campaign | Care, query: Any) -> _Reaches:
        found = {step.channels: _Reach() for step in definition.steps}
        for rows in self._chunks(query):
            for channels, reach in found.items():
                reach.count(self.connection, self.definitions, definition, channels, rows, self.now)
        return found

    def _chunks(self, query: Any) -> Iterator[Sequence[Any]]:
        result = self.connection.execution_options(yield_per=_CHUNK).execute(query)
        yield from result.partitions(_CHUNK)


@dataclass
class _Reach:
    """Whom a definition reaches by which channel, as the gate would choose today (caps and hours aside)."""

    by_channel: Counter[Channel] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    sample: list[Any] = field(default_factory=list)
    people: int = 0

    def count(
        self,
        connection: Connection,
        definitions: Definitions,
        definition: Campaign | Care,
        channels: Sequence[Channel],
        rows: Sequence[Any],
        now: datetime,
    ) -> None:
        policy = definitions.policy
        holds_out = bool(draws(definition, policy))
        wanted_keys = [
            (hashed, channel, definition.message_class)
            for row in rows
            for channel in channels
            if (hashed := _address_hash(row, channel, now))
        ]
        allowed = permissions(connection, definitions.policy, wanted_keys)
        for row in rows:
            self.people += 1
            if holds_out and reason_held_out(row.id, definition, policy):
                self.left_out["holdout"] += 1
                continue
            self._place(row, channels, definition.message_class, allowed, now)

    def _place(
        self, row: Any, channels: Sequence[Channel], message_class: str, allowed: Any, now: datetime
    ) -> None:
        if row.is_malicious:
            self.left_out["malicious"] += 1
            return
        reason = "no address"
        for channel in channels:
            hashed = _address_hash(row, channel, now)
            if hashed is None:
                continue
            permission = allowed[hashed, channel, message_class]
            if permission.allowed:
                self.by_channel[channel] += 1
                if channel == "sms" and len(self.sample) < FEW:
                    self.sample.append(row._mapping)
                return
            reason = permission.reason
        self.left_out[reason] += 1


_Reaches = Mapping[tuple[Channel, ...], _Reach]
"""By the channels of a step: most steps of a series share theirs."""


def _address_hash(row: Any, channel: str, now: datetime) -> str | None:
    if channel == "email":
        return row.email_hash  # type: ignore[no-any-return]
    if row.phone_valid_until is not None and row.phone_valid_until < now:
        return None
    return row.phone_hash  # type: ignore[no-any-return]


def _campaign_warnings(
    schedule: Schedule, starts_at: datetime, reach: _Reach, now: datetime
) -> list[str]:
    warnings = []
    if starts_at + schedule.expires.delta < now:
        warnings.append("its time has passed: everybody would be skipped as expired")
    elif starts_at - now < SHORT_LEAD and schedule.recurs is None:
        warnings.append("it is due in less than three days: a mailing takes longer to prepare well")
    reached = sum(reach.by_channel.values())
    if reached < FEW:
        warnings.append(f"it reaches only {reached} people")
    if reach.people and sum(reach.left_out.values()) * 10 >= reach.people * 4:
        warnings.append(
            f"{sum(reach.left_out.values())} of {reach.people} people cannot be reached"
        )
    return warnings


def _moment(epoch: int | None) -> datetime | None:
    return None if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
