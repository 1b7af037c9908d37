"""Expansion: a run becomes deliveries inside the database, in chunks, each row guarded by its unique key.

Running it twice, or in four schedulers at once, changes nothing: INSERT … SELECT … ON CONFLICT DO NOTHING.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    cast,
    column,
    func,
    literal,
    null,
    select,
)

from engine.audience.compiler import PEOPLE, Scope, matches, with_cuts
from engine.definitions import regions
from engine.definitions.campaign import Care, Schedule
from engine.definitions.policy import Policy
from engine.definitions.trees import tops_of
from engine.planning.due_times import due_times, spread_over, zone_times
from engine.planning.finish import day_limits
from engine.planning.finish import pieces as finish_pieces
from engine.planning.local_time import DAY, local_seconds
from engine.planning.occurrences import Occurrence, occurrences
from engine.planning.rows import chunks, delivery_rows, insert_by_days, insert_rows
from engine.planning.runs import ensure_run, expanded, holds_open, is_complete, known_runs
from engine.planning.series import insert_later_steps
from engine.planning.triggers import Span, computed_once, due_rows, zone_of_customer
from engine.store.catalog import Catalog, Version
from engine.store.given import given
from engine.store.session import Store
from engine.store.tables import customers, deliveries
from engine.store.warm_ups import begun_by_rule
from engine.store.zones import ensure_zones

SHORTEST_HORIZON = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Expanded:
    """What one pass of expansion made: deliveries per definition id."""

    deliveries: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.deliveries.values())


def horizon(policy: Policy) -> timedelta:
    """How far ahead runs are expanded: the longest frequency window, so that a cap sees whom it must keep room for."""
    return max([rule.per.delta for rule in policy.frequency] + [SHORTEST_HORIZON])


@dataclass(frozen=True, slots=True)
class _Pass:
    """One pass over all definitions; what they share of the customers is asked once, not once a definition."""

    store: Store
    catalog: Catalog
    now: datetime
    reach: timedelta
    zones: Collection[str]
    chunks: Sequence[tuple[int, int]]


def expand(
    store: Store, catalog: Catalog, now: datetime, reach: timedelta | None = None
) -> Expanded:
    """Make every delivery that is due from now until `reach` ahead (default: the horizon). Idempotent."""
    reach = horizon(catalog.policy) if reach is None else reach
    with store.write() as connection:
        zones = _zones(connection, catalog.policy)
        ensure_zones(connection, zones)
    everybody = _Pass(store, catalog, now, reach, zones, chunks(store))
    made = {}
    for name, version in catalog.current.items():
        definition = version.definition
        if definition.schedule is not None:
            made[name] = _expand_dates(everybody, version, definition.schedule)
        elif isinstance(definition, Care):
            made[name] = _expand_care(store, version, definition, catalog, now, reach)
    return Expanded({name: count for name, count in made.items() if count})


def expand_for(
    store: Store, catalog: Catalog, now: datetime, people: Collection[int], reach: timedelta
) -> Expanded:
    """Make what care rules have for these customers alone: what just became known of them may be a trigger.

    The others wait for `expand`, which looks at everybody and costs accordingly; so do days that go to everybody.
    Idempotent.
    """
    with store.write() as connection:
        ensure_zones(connection, _zones(connection, catalog.policy, people))
    made = {
        name: _expand_care(store, version, version.definition, catalog, now, reach, people)
        for name, version in catalog.current.items()
        if isinstance(version.definition, Care) and version.definition.schedule is None
    }
    return Expanded({name: count for name, count in made.items() if count})


def _zones(
    connection: Connection, policy: Policy, people: Collection[int] | None = None
) -> set[str]:
    question = select(customers.c.timezone).distinct()
    if people is not None:
        question = question.where(customers.c.id.in_(people))
    found = connection.execute(question).scalars()
    return {zone for zone in found if zone} | {policy.timezone, *regions.zones()}


def _expand_dates(everybody: _Pass, version: Version, schedule: Schedule) -> int:
    """The occurrences that go to everybody: a campaign's, or a care rule's festivals."""
    now, zone = everybody.now, everybody.catalog.policy.timezone
    found = occurrences(schedule, zone, everybody.zones, Span(now, now + everybody.reach))
    with everybody.store.read() as connection:
        there = known_runs(connection, version, found)
    made = 0
    for one in found:
        # What had begun before the file was put in force is not joined midway, unless it is that very date.
        if one.text not in there and schedule.recurs and one.starts_at < version.applied_at:
            continue
        if one.text in there and is_complete(there[one.text], now):
            continue
        made += _expand_occurrence(everybody, version, schedule, one)
    return made


def _expand_occurrence(
    everybody: _Pass, version: Version, schedule: Schedule, when: Occurrence
) -> int:
    store, policy, now = everybody.store, everybody.catalog.policy, everybody.now
    with store.write() as connection:
        run = ensure_run(connection, version, when.text, when.starts_at, now)
    if run is None or when.starts_at > now + everybody.reach or is_complete(run, now):
        return 0
    scope = Scope(now=now, timezone=policy.timezone, policy=policy, segments=version.segments)
    made = 0
    if run.expanded_at is None or not _is_ranked(version):
        with store.read() as connection:
            scope = with_cuts(connection, version.definition.audience, scope)
            pieces = _pieces(connection, version, schedule, scope, when)
        query = _everybodys_rows(version, schedule, scope, run, when, pieces)
        for low, high in everybody.chunks:
            with store.write() as connection:
                if not holds_open(connection, run.id):
                    return made
                made += insert_rows(connection, query.where(customers.c.id.between(low, high)))
                insert_later_steps(connection, version, [run.id], now, between=(low, high))
    with store.write() as connection:
        connection.execute(expanded(run.id, now))
    return made


def _is_ranked(version: Version) -> bool:
    """Places in a `top` are given out once: people who moved up later would be added to the n who were chosen."""
    audience = version.definition.audience
    return next(iter(tops_of(audience, version.segments)), None) is not None


def _pieces(
    connection: Connection, version: Version, schedule: Schedule, scope: Scope, when: Occurrence
) -> CTE | None:
    """The time over which a run that must be finished is spread, in each zone; None for any other."""
    if schedule.finish_by is None:
        return None
    policy, definition = scope.policy, version.definition
    begun = begun_by_rule(connection, policy.volume)
    limits, people = day_limits(policy, definition, begun, when.starts_at), 0
    if limits:
        everybody = select(func.count()).select_from(PEOPLE)
        people = connection.execute(
            everybody.where(matches(definition.audience, scope))
        ).scalar_one()
    return spread_over(
        {
            zone: finish_pieces(policy, definition, zone, due, when.finish[zone], limits, people)
            for zone, due in when.due.items()
        }
    )


def _everybodys_rows(
    version: Version,
    schedule: Schedule,
    scope: Scope,
    run: Any,
    when: Occurrence,
    pieces: CTE | None,
) -> Select[Any]:
    zones = zone_times(schedule, when)
    times = due_times(version.definition.id, schedule, when, zones, pieces)
    return (
        delivery_rows(
            version,
            scope.policy,
            run_id=literal(run.id, BigInteger),
            customer_id=customers.c.id,
            anchor=literal(when.text, Text),
            order_id=cast(null(), BigInteger),
            event_id=cast(null(), BigInteger),
            due=times.due,
            not_after=times.not_after,
            now=scope.now,
        )
        .select_from(PEOPLE.join(zones, zones.c.zone == zone_of_customer(scope.policy)))
        .where(matches(version.definition.audience, scope))
    )


def _expand_care(
    store: Store,
    version: Version,
    care: Care,
    catalog: Catalog,
    now: datetime,
    reach: timedelta,
    only: Collection[int] | None = None,
) -> int:
    policy = catalog.policy
    span = Span(now - care.trigger.grace.delta, now + reach)
    found = _with_days(due_rows(care, policy, span, catalog.membership, only), policy)
    scope = Scope(now=now, timezone=policy.timezone, policy=policy, segments=version.segments)
    people = PEOPLE.join(found, found.c.customer_id == customers.c.id)
    chosen = (_is_new(care, found), matches(care.audience, scope))
    days = select(found.c.day).select_from(people).where(*chosen).distinct()

    def rows_of(by_day: Mapping[int, int]) -> Select[Any]:
        columns = (column("day", BigInteger), column("run_id", BigInteger))
        of_day = given("of_day", columns, sorted(by_day.items()))
        query = delivery_rows(
            version,
            policy,
            run_id=of_day.c.run_id,
            customer_id=customers.c.id,
            anchor=found.c.anchor,
            order_id=found.c.order_id,
            event_id=found.c.event_id,
            due=found.c.due,
            not_after=found.c.due + care.trigger.grace.seconds,
            now=now,
        )
        of_their_day = people.join(of_day, of_day.c.day == found.c.day)
        return query.select_from(of_their_day).where(*chosen)

    return insert_by_days(store, days, rows_of, version, policy, now)


def _with_days(found: FromClause, policy: Policy) -> CTE:
    """The due rows with the shop's day (days since 1970) on which each is due."""
    local = local_seconds(found.c.due, literal(policy.timezone, Text))
    day = cast(func.floor(local / DAY), BigInteger).label("day")
    return computed_once(select(*found.c, day), "numbered")


def _is_new(care: Care, found: FromClause) -> ColumnElement[bool]:
    existing = deliveries.alias("existing")
    return ~(
        select(existing.c.id)
        .where(
            existing.c.definition == care.id,
            existing.c.step == care.steps[0].id,
            existing.c.customer_id == found.c.customer_id,
            existing.c.anchor == found.c.anchor,
        )
        .exists()
    )
