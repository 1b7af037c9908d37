"""Habits and affinities of few customers: worked out one by one from their tallies, and written in sets.

The items of who only has new orders are added to what was counted; all others' are counted anew, as everybody's are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Select, Table, Text, select, update

from engine.customers.adding import add_orders
from engine.customers.affinity import liked_points, refresh_affinities
from engine.customers.clicks import Points, add_clicks
from engine.customers.counted import counting
from engine.customers.kept import forget_times
from engine.customers.region import forget, place, placed
from engine.customers.rhythm import Offsets, cycle, usual_hour
from engine.customers.tally import tallies
from engine.customers.temporary import analyze, drop, make
from engine.customers.upsert import Upsert
from engine.definitions.policy import Policy
from engine.store.tables import profiles, zone_offsets
from engine.store.types import BigId
from engine.store.zones import zone_rows

_MOST_ADDED = 10_000  # new orders: their items are in memory
_metadata = MetaData()
_anew = Table(
    "counted_anew", _metadata,
    Column("id", BigId, primary_key=True, autoincrement=False),
    prefixes=["TEMPORARY"],
)  # fmt: skip
_found = Table(
    "habits_found", _metadata,
    Column("customer_id", BigId, primary_key=True, autoincrement=False),
    Column("province", Text), Column("city", Text),
    Column("usual_hour", BigId), Column("usual_hour_confidence", BigId), Column("cycle_seconds", BigId),
    Column("category_points", BigId), Column("brand_points", BigId),
    prefixes=["TEMPORARY"],
)  # fmt: skip
_HABITS = tuple(column.name for column in _found.c)[1:]
_ALL_ANEW = select(_anew.c.id)
_ANEW = Upsert(_anew, ["id"], ["id"])
_FOUND = Upsert(_found, ["customer_id"], ["customer_id", *_HABITS])


def refresh_habits_of_few(
    connection: Connection, policy: Policy, now: datetime, chosen: Select[Any]
) -> None:
    """Write the habits of the chosen customers into the profiles that they have, and their affinities. Their orders are in
    `tallies` already."""
    place(connection, policy.timezone, now, chosen)
    people = connection.execute(_question()).all()
    points = _count(connection, policy, now, people)
    clocks = _Clocks(connection, policy.timezone, people)
    rows = [_habits(person, clocks, points.get(person.id, (None, None))) for person in people]
    before = [(person.id, *person[-len(_HABITS) :]) for person in people]
    _write(connection, [row for row, old in zip(rows, before, strict=True) if row != old])
    forget(connection)


@cache
def _question() -> Select[Any]:
    t, p = tallies.c, profiles.c
    return (
        select(
            t.customer_id.label("id"), t.times, t.holds, t.added, placed.c.province.label("lives_in"),
            placed.c.city.label("lives_at"), placed.c.zone, placed.c.seconds, *[p[name] for name in _HABITS],
        )
        .join_from(tallies, placed, placed.c.customer_id == t.customer_id)
        .join(profiles, p.customer_id == t.customer_id)
    )  # fmt: skip


def _count(
    connection: Connection, policy: Policy, now: datetime, people: Sequence[Any]
) -> dict[int, Points]:
    """Write the affinities. Returns the points of all of a customer's: of categories and of brands."""
    new = {one.id: _numbers(one.added) for one in people if one.holds}
    if sum(map(len, new.values())) > _MOST_ADDED:
        new = {customer: orders for customer, orders in new.items() if not orders}
    added = add_orders(connection, [order for orders in new.values() for order in orders])
    points = {
        one.id: (
            (one.category_points or 0) + added.points.get((one.id, "category"), 0),
            (one.brand_points or 0) + added.points.get((one.id, "brand"), 0),
        )
        for one in people
        if one.id in new and one.id not in added.unsure
    }
    anew = [one.id for one in people if one.id not in points]
    of_anew = _count_anew(connection, policy, now, anew) if anew else {}
    # Last: a click counts where anybody bought of what its link is labelled.
    add_clicks(connection, now, points)
    return {one: _or_none(found) for one, found in points.items()} | of_anew


def _or_none(points: Points) -> Points:
    """Who likes nothing has no points."""
    return points[0] or None, points[1] or None


def _numbers(text: str | None) -> list[int]:
    return [int(word) for word in text.split(",")] if text else []


def _count_anew(
    connection: Connection, policy: Policy, now: datetime, people: Iterable[int]
) -> dict[int, Points]:
    make(connection, _anew)
    _ANEW.run(connection, [(customer,) for customer in people])
    analyze(connection, _anew)
    forget_times(connection, _ALL_ANEW)
    with counting(connection, policy.prices.currency, now, _ALL_ANEW):
        refresh_affinities(connection, now, _ALL_ANEW, is_forgotten=True)
    found = connection.execute(select(liked_points)).all()
    drop(connection, liked_points, _anew)
    return {row.customer_id: (row.categories, row.brands) for row in found}


class _Clocks:
    """The clocks of customers and the shop."""

    def __init__(self, connection: Connection, shop: str, people: Iterable[Any]) -> None:
        self.shop = _as_offsets(zone_rows(shop))
        changing = {one.zone for one in people if one.seconds is None}
        self._steady: dict[int, Offsets] = {}
        self._changing: dict[str, Offsets] = {}
        if changing:
            self._changing = _read_offsets(connection, changing)

    def of(self, person: Any) -> Offsets:
        if person.seconds is None:
            return self._changing[person.zone]
        steady = self._steady.get(person.seconds)
        if steady is None:
            steady = self._steady[person.seconds] = Offsets((-(2**62),), (person.seconds,))
        return steady


def _read_offsets(connection: Connection, zones: Collection[str]) -> dict[str, Offsets]:
    z = zone_offsets.c
    question = select(z.zone, z.from_epoch, z.seconds).where(z.zone.in_(zones))
    rows: dict[str, list[dict[str, int]]] = {zone: [] for zone in zones}
    for row in connection.execute(question.order_by(z.zone, z.from_epoch)):
        rows[row.zone].append({"from_epoch": row.from_epoch, "seconds": row.seconds})
    return {zone: _as_offsets(found) for zone, found in rows.items()}


def _as_offsets(rows: Sequence[Any]) -> Offsets:
    """Of a zone's stretches, in order."""
    return Offsets([row["from_epoch"] for row in rows], [row["seconds"] for row in rows])


def _habits(person: Any, clocks: _Clocks, points: Points) -> tuple[Any, ...]:
    """The values of `habits_found`."""
    times = sorted(_numbers(person.times))
    hour, confidence = usual_hour(times, clocks.of(person), clocks.shop)
    return (person.id, person.lives_in, person.lives_at, hour, confidence, cycle(times), *points)


def _write(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    make(connection, _found)
    _FOUND.run(connection, rows)
    connection.execute(_written())
    drop(connection, _found)


@cache
def _written() -> Any:
    values = {name: _found.c[name] for name in _HABITS}
    return update(profiles).values(values).where(profiles.c.customer_id == _found.c.customer_id)
