"""Customers made from orders: written in sets, so that the newest order tells and an older one only fills gaps.

A file may be sorted either way, and be imported again: what holds is what the newest order said, of each fact that it
names. A blank cell never empties anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Table, and_, case, func, or_, select

from engine.customers.consent import record_imported
from engine.customers.importing.buyers import GROUPS, PHONE, REGION, Buyer, fold
from engine.customers.importing.job import Job
from engine.customers.owners import find_owners
from engine.definitions.campaign import Channel
from engine.store.tables import customers, orders
from engine.store.upsert import Rule, Upsert

_CHUNK = 1000
_COLUMNS = ["ref", *(name for group in GROUPS for name in group), "attributes", "created_at", "updated_at"]  # fmt: skip
Says = Callable[[Table, Any, tuple[str, ...]], ColumnElement[bool]]
"""Whether the row that came decides about a group of columns."""


class BuyerRows:
    """Lands buyers. `match`: an address by which a customer with another id is found. `created`: customers made."""

    def __init__(self, job: Job, match: Literal["email", "phone"] | None) -> None:
        self._job, self._match = job, match
        self._newer, self._older = _upsert(_says_newer), _upsert(_says_older)
        self.created = 0

    def write(self, connection: Connection, buyers: Sequence[Buyer]) -> dict[str, int]:
        """Write what these orders say. Returns the internal ids of their buyers by the ids that the orders name."""
        owners = find_owners(connection, {buyer.ref for buyer in buyers})
        same = self._matched(connection, buyers, owners)
        refs = _refs(connection, set(owners.values()))
        newest = self._newest(connection, set(owners.values()))
        people: dict[str, list[Buyer]] = defaultdict(list)
        for buyer in reversed(buyers):  # so that of several at one moment the last comes first
            owner = owners.get(buyer.ref)
            people[same.get(buyer.ref, buyer.ref) if owner is None else refs[owner]].append(buyer)
        known = {refs[owner]: placed for owner, placed in newest.items()}
        self._write(connection, people, known)
        made = find_owners(connection, {buyer.ref for buyer in buyers if buyer.ref not in owners})
        mates = find_owners(connection, set(same.values()))
        self.created += len(people.keys() - set(refs.values()))
        return {**owners, **{ref: mates[mate] for ref, mate in same.items()}, **made}

    def _write(
        self, connection: Connection, people: Mapping[str, list[Buyer]], known: Mapping[str, Any]
    ) -> None:
        newer: list[tuple[Any, ...]] = []
        older: list[tuple[Any, ...]] = []
        said: dict[tuple[str, Channel], bool] = {}
        now = self._job.now_value
        for ref, buyers in people.items():
            buyers.sort(key=lambda buyer: buyer.placed, reverse=True)
            since = known.get(ref)
            fresh = [buyer for buyer in buyers if since is None or buyer.placed >= since]
            for rows, some in ((newer, fresh), (older, buyers[len(fresh) :])):
                if some:
                    values = [value for group in fold(some) for value in group]
                    rows.append((ref, *values, "{}", now, now))
            said |= _consents_of(fresh)
        self._newer.run(connection, newer)
        self._older.run(connection, older)
        if said:
            self._job.tally.consents += record_imported(connection, said, at=self._job.now)

    def _matched(
        self, connection: Connection, buyers: Sequence[Buyer], owners: dict[str, int]
    ) -> dict[str, str]:
        """Adds to `owners` the buyers who are there under another id. Returns those who are one with another buyer of
        these, by that one's id."""
        if self._match is None:
            return {}
        column = f"{self._match}_hash"
        unknown = {b.ref: getattr(b, column) for b in buyers if b.ref not in owners}
        there = _by_address(connection, column, {one for one in unknown.values() if one})
        first: dict[str, str] = {}
        same: dict[str, str] = {}
        for ref, address in unknown.items():
            if address in there:
                owners[ref] = there[address]
            elif address and first.setdefault(address, ref) != ref:
                same[ref] = first[address]
        return same

    def _newest(self, connection: Connection, ids: Iterable[int]) -> dict[int, Any]:
        """When each placed their newest order that is known, as the database takes it."""
        found = {}
        for some in _chunks(ids):
            question = (
                select(orders.c.customer_id, func.max(orders.c.placed_at))
                .where(orders.c.customer_id.in_(some))
                .group_by(orders.c.customer_id)
            )
            for owner, placed in connection.execute(question):
                found[owner] = self._job.moment(placed.isoformat())
        return found


def _consents_of(fresh: Sequence[Buyer]) -> dict[tuple[str, Channel], bool]:
    """What the newest orders say of their own addresses."""
    said: dict[tuple[str, Channel], bool] = {}
    for buyer in reversed(fresh):
        hashes: tuple[tuple[str | None, Channel], ...] = (
            (buyer.email_hash, "email"), (buyer.phone_hash, "sms"),
        )  # fmt: skip
        said |= {
            (address, channel): word
            for (address, channel), word in zip(hashes, buyer.consents, strict=True)
            if address is not None and word is not None
        }
    return said


def _upsert(says: Says) -> Upsert:
    rules: dict[str, Rule] = {name: _rule(name, group, says) for group in GROUPS for name in group}
    kept = ("attributes", "created_at")
    return Upsert(customers, ["ref"], _COLUMNS, kept=kept, rules=rules, stamp="updated_at")


def _rule(name: str, group: tuple[str, ...], says: Says) -> Rule:
    def rule(table: Table, excluded: Any) -> ColumnElement[Any]:
        return case((says(table, excluded, group), excluded[name]), else_=table.c[name])

    return rule


def _says_newer(table: Table, excluded: Any, group: tuple[str, ...]) -> ColumnElement[bool]:
    """What the newest order names; but a number that dies never takes the place of one that does not, nor a town
    without its street (which was masked) that of a whole address."""
    names = or_(*[excluded[name].is_not(None) for name in group])
    if group == GROUPS[REGION]:
        return and_(names, or_(excluded.address.is_not(None), table.c.address.is_(None)))
    if group != GROUPS[PHONE]:
        return names
    lasts = and_(table.c.phone.is_not(None), table.c.phone_valid_until.is_(None))
    return and_(names, or_(excluded.phone_valid_until.is_(None), ~lasts))


def _says_older(table: Table, excluded: Any, group: tuple[str, ...]) -> ColumnElement[bool]:
    """What nobody has said yet; and a number that lasts where the known one does not."""
    unknown = and_(*[table.c[name].is_(None) for name in group])
    if group != GROUPS[PHONE]:
        return unknown
    lasts = and_(excluded.phone.is_not(None), excluded.phone_valid_until.is_(None))
    return or_(table.c.phone.is_(None), and_(lasts, table.c.phone_valid_until.is_not(None)))


def _by_address(connection: Connection, column: str, hashes: Iterable[str]) -> dict[str, int]:
    """The customer who has each address; of several the one who came first."""
    found: dict[str, int] = {}
    address = customers.c[column]
    for some in _chunks(hashes):
        question = select(address, func.min(customers.c.id)).where(address.in_(some))
        found.update({row[0]: row[1] for row in connection.execute(question.group_by(address))})
    return found


def _refs(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for some in _chunks(ids):
        question = select(customers.c.id, customers.c.ref).where(customers.c.id.in_(some))
        found.update({row[0]: row[1] for row in connection.execute(question)})
    return found


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(values)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
