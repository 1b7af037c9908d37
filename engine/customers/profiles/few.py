"""Few customers: their habits and affinities are worked out one by one from their tallies, and written in sets.

The items of who only has new orders are added to what was counted; all others' are counted anew, as everybody's are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Select, Table, select

from engine.customers.profiles.adding import add_orders
from engine.customers.profiles.affinity import liked_points, refresh_affinities
from engine.customers.profiles.clicks import Points, add_clicks
from engine.customers.profiles.counted import counting
from engine.customers.profiles.few_profiles import Change, changed_grades, write_profiles
from engine.customers.profiles.kept import forget_times
from engine.customers.profiles.region import know_places, moment_of_places, places
from engine.customers.profiles.rhythm import Offsets, cycle, usual_hour
from engine.customers.profiles.tally import tallies, tallying
from engine.definitions.policy import Policy
from engine.store.tables import profiles, zone_offsets
from engine.store.temporary import analyze, drop, make, sorters
from engine.store.types import BigId
from engine.store.upsert import Upsert
from engine.store.zones import zone_rows

_MOST_ADDED = 10_000  # new orders: their items are in memory
_anew = Table(
    "counted_anew", MetaData(),
    Column("id", BigId, primary_key=True, autoincrement=False),
    prefixes=["TEMPORARY"],
)  # fmt: skip
_ALL_ANEW = select(_anew.c.id)
_ANEW = Upsert(_anew, ["id"], ["id"])


def refresh_few(
    connection: Connection, policy: Policy, now: datetime, chosen: Select[Any]
) -> tuple[int, list[Change]]:
    """Write the profiles and affinities of the chosen customers. Returns how many profiles were written, and the grades
    that changed."""
    with tallying(connection, policy, now, chosen):
        know_places(connection, policy.timezone, chosen)
        question = _question(policy.timezone, chosen)
        people = connection.execute(question, moment_of_places(now)).all()
        points = _count(connection, policy, now, people)
        clocks = _Clocks(connection, policy.timezone, people)
        habits = [_habits(one, clocks, points.get(one.id, (None, None))) for one in people]
        written = write_profiles(connection, policy, now, chosen, habits)
    before = {one.id: one.grade for one in people if one.is_known}
    return len(written), list(changed_grades(before, written))


@cache
def _question(shop: str, chosen: Select[Any]) -> Select[Any]:
    t, p = tallies.c, profiles.c
    homes = places(shop, chosen).subquery("homes")
    home = homes.c
    return (
        select(
            t.customer_id.label("id"), t.times, t.holds, t.added, home.province.label("lives_in"),
            home.city.label("lives_at"), home.zone, home.seconds, p.grade, p.category_points, p.brand_points,
            p.customer_id.is_not(None).label("is_known"),
        )
        .join_from(tallies, homes, home.customer_id == t.customer_id)
        .join(profiles, p.customer_id == t.customer_id, isouter=True)
    )  # fmt: skip


def _count(
    connection: Connection, policy: Policy, now: datetime, people: Sequence[Any]
) -> dict[int, Points]:
    """Write the affinities. Returns the points of all of a customer's: of categories and of brands."""
    new = {one.id: _numbers(one.added) for one in people if one.holds}
    if sum(map(len, new.values())) > _MOST_ADDED:
        new = {customer: orders for customer, orders in new.items() if not orders}
    added = add_orders(connection, [order for orders in new.values() for order in orders])
    points: dict[int, Points] = {}
    for one in people:
        customer = one.id
        if customer in new and customer not in added.unsure:
            points[customer] = (
                (one.category_points or 0) + added.points.get((customer, "category"), 0),
                (one.brand_points or 0) + added.points.get((customer, "brand"), 0),
            )
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
    with sorters(connection), counting(connection, policy.prices.currency, now, _ALL_ANEW):
        refresh_affinities(connection, now, _ALL_ANEW)
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
    """The customer, and the values of HABITS."""
    times = sorted(_numbers(person.times))
    hour, confidence = usual_hour(times, clocks.of(person), clocks.shop)
    return (person.id, person.lives_in, person.lives_at, hour, confidence, cycle(times), *points)
