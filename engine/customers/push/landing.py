"""Landing pushes: each whole or not at all, several in one transaction, then the customers they touched made fresh.

The rows go the way of an import's, so the same rows leave the same database behind. What differs is around it: a push
with one bad row changes nothing, and only the profiles of whom it touched are computed anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from sqlalchemy import Connection

from engine.customers.importing.item_rows import ItemRows
from engine.customers.importing.job import Job
from engine.customers.importing.kinds import rows_of
from engine.customers.importing.product_rows import fill_items_of
from engine.customers.owners import find_owners
from engine.customers.profiles.freshness import is_fresh, refresh
from engine.customers.push.faults import Fault, Faults, RowFaults
from engine.customers.push.fields import FIELDS, ITEM_FIELDS
from engine.customers.push.rows import Push
from engine.customers.touched import Touched
from engine.customers.wake import leave_note
from engine.definitions.policy import Policy
from engine.store.catalog import CatalogReader
from engine.store.tables import orders
from engine.store.upsert import find

_OF_CUSTOMER = {"customers": "id", "tags": "customer_id", "events": "customer_id"}
"""The field that says whom a row is about. Orders and products learn it from what they change."""
_OF_ITEMS = frozenset({"category", "brand"})
"""What items have of their product."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of rows: rows = inserted + updated + unchanged."""

    rows: int
    inserted: int
    updated: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Landed:
    """A push that is in the database. `items`: of the orders, where they came with some."""

    rows: Counted
    items: Counted | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A push that changed nothing."""

    faults: tuple[Fault, ...]


Outcome = Landed | Refused


@dataclass
class _About:
    """Whom pushes are about: whose profiles have to be computed anew, who may be due for a message, and the products
    whose items may lack what is known now."""

    stale: set[int] = field(default_factory=set)
    people: set[int] = field(default_factory=set)
    skus: set[str] = field(default_factory=set)


class Lander:
    """Lands pushes under the policy in force. `hashing_key`: of addresses. Not for several threads at once."""

    def __init__(self, hashing_key: str) -> None:
        self._hashing_key = hashing_key
        self._reader = CatalogReader()

    def land(self, connection: Connection, pushes: Sequence[Push], now: datetime) -> list[Outcome]:
        """Land what can be landed of these pushes, as of `now`, in this writing transaction."""
        policy = self._reader.read(connection).policy
        about = _About()
        outcomes = [self._land_whole(connection, push, policy, now, about) for push in pushes]
        # Once for all of them: items are not found by their sku but by looking through all.
        about.stale.update(fill_items_of(connection, about.skus))
        if about.stale and is_fresh(connection, policy, now):
            # Where they are not fresh the scheduler computes everybody's anyway.
            refresh(connection, policy, now, sorted(about.stale))
        leave_note(connection, about.people, now)
        return outcomes

    def _land_whole(
        self, connection: Connection, push: Push, policy: Policy, now: datetime, about: _About
    ) -> Outcome:
        faults, touched = Faults(), Touched(everybody=False)
        with connection.begin_nested() as savepoint:
            job = self._job(connection, push, policy, now, faults, FIELDS[push.kind])
            items_job = self._job(connection, push, policy, now, faults, ITEM_FIELDS)
            _land_rows(connection, push, job, touched)
            if push.items:
                _land_items(connection, push, items_job, touched, faults)
            if faults.found:
                savepoint.rollback()
                return Refused(tuple(faults.found))
            _note_people(connection, push, job, touched, about)
        items = _counted(items_job) if push.items else None
        return Landed(_counted(job), items, job.notes.sentences())

    def _job(
        self,
        connection: Connection,
        push: Push,
        policy: Policy,
        now: datetime,
        faults: Faults,
        names: Iterable[str],
    ) -> Job:
        return Job(
            policy=policy,
            now=now,
            hashing_key=self._hashing_key,
            as_number=connection.dialect.name == "sqlite",
            overwrites=True,
            rejects=RowFaults(faults, push.places, tuple(names)),
            where=lambda line: push.places[line].path,
        )


def _land_rows(connection: Connection, push: Push, job: Job, touched: Touched) -> None:
    rows = rows_of(push.kind, job, touched)
    for shape, run in groupby(push.records, key=attrgetter("shape")):
        rows.land(connection, shape, list(run))


def _land_items(
    connection: Connection, push: Push, job: Job, touched: Touched, faults: Faults
) -> None:
    rows = ItemRows(job, touched)
    read = {}
    for ref, records in push.items:
        read[ref], wrong = rows.read(records)
        for record in records:
            if record.line in wrong:
                job.reject(record, wrong[record.line])
    if not faults.found:
        known = find(connection, orders, "ref", read, "id")
        rows.write(connection, {known[ref][0]: items for ref, items in read.items()})


def _note_people(
    connection: Connection, push: Push, job: Job, touched: Touched, about: _About
) -> None:
    """Learn whom this push is about. One that changed nothing is about nobody."""
    about.stale |= touched.ids
    about.people |= touched.ids
    if push.kind == "products" and job.tally.written:
        named = [one for one in push.records if not _OF_ITEMS.isdisjoint(one.shape.places)]
        about.skus |= Push("products", named).column("sku")
    name = _OF_CUSTOMER.get(push.kind)
    if name is not None and job.tally.written:
        about.people |= set(find_owners(connection, push.column(name)).values())


def _counted(job: Job) -> Counted:
    tally = job.tally
    return Counted(tally.read, tally.inserted, tally.updated, tally.unchanged)
