"""Tags from an import: what the shop's people know of a customer, by dimension."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case, delete, select

from engine.customers.importing import cells
from engine.customers.importing.job import Job, RowReader
from engine.customers.importing.records import Columns, Record, Shape
from engine.customers.owners import find_owners
from engine.customers.tags import fault_of
from engine.definitions.import_columns import TAGS
from engine.store.tables import tags
from engine.store.upsert import Upsert

_KEY = ["customer_id", "dimension", "value"]
_CHUNK = 1000
_Key = tuple[int, str, str]
_Row = tuple[Any, ...]
"""Customer, dimension, value, time, author, rule."""


class TagRows:
    """Lands tags. One that is there already keeps its time and author, unless the file names others.

    A tag that a rule had put becomes one that a person put: the rule no longer takes it away.
    """

    columns = Columns(known=TAGS.known, required=TAGS.required)

    def __init__(self, job: Job) -> None:
        self._job = job
        self._readers: dict[str, cells.Cell] = {
            "customer_id": cells.identifier,
            "dimension": cells.identifier,
            "value": cells.identifier,
            "tagged_at": cells.optional(job.moment),
            "by": cells.text,
        }
        self._dated = _upsert(_as_the_file_says)
        self._undated = _upsert(_as_it_was)

    def land(self, connection: Connection, shape: Shape, records: Sequence[Record]) -> None:
        """Write these rows; of several of one tag the last wins, and of several values of a dimension that takes one.
        Rows of a customer who is not there, or of a tag that tagging.yaml does not know, are rejected."""
        read = self._job.read_all(RowReader(shape, self._readers), records)
        people = find_owners(connection, {values[0] for _, values in read})
        rows: dict[_Key, _Row] = {}
        landed = 0
        for record, (ref, dimension, value, at, by) in read:
            owner, fault = people.get(ref), self._fault(dimension, value)
            if owner is None:
                self._job.reject(record, f"customer_id: there is no customer {ref!r}")
            elif fault is not None:
                self._job.reject(record, fault)
            else:
                landed += 1
                self._take(rows, (owner, dimension, value), at, by)
        new = len(rows) - self._make_room(connection, rows)
        changed = self._dated.run(connection, [row for row in rows.values() if row[3] is not None])
        undated = [(*row[:3], self._job.now_value, *row[4:]) for row in rows.values() if row[3] is None]  # fmt: skip
        changed += self._undated.run(connection, undated)
        self._job.tally.landed(landed, changed, new)

    def _take(self, rows: dict[_Key, _Row], tag: _Key, at: Any, by: str | None) -> None:
        """A row without a time is no later word on a tag than one with it."""
        owner, dimension, value = tag
        slot = tag if self._takes_several(dimension) else (owner, dimension, "")
        there = rows.get(slot)
        if at is None and there is not None and there[2] == value and there[3] is not None:
            return
        rows.pop(slot, None)
        rows[slot] = (*tag, at, by, None)

    def _fault(self, dimension: str, value: str) -> str | None:
        """A shop whose tagging.yaml names no dimension takes any."""
        tagging = self._job.policy.tagging
        fault = fault_of(dimension, value, tagging) if tagging.dimensions else None
        return None if fault is None else ": ".join(fault)

    def _takes_several(self, dimension: str) -> bool:
        known = self._job.policy.tagging.dimensions.get(dimension)
        return known is None or known.several

    def _make_room(self, connection: Connection, rows: dict[_Key, _Row]) -> int:
        """Other values of dimensions that take one go. Returns how many of these tags are there."""
        keys = {row[:3] for row in rows.values()}
        found, gone = 0, []
        for key, owner, dimension, value in _tags_of(connection, {row[0] for row in rows.values()}):
            if (owner, dimension, value) in keys:
                found += 1
            elif (owner, dimension, "") in rows:
                gone.append(key)
        for start in range(0, len(gone), _CHUNK):
            connection.execute(delete(tags).where(tags.c.id.in_(gone[start : start + _CHUNK])))
        return found


def _upsert(rule: Any) -> Upsert:
    rules = {name: rule(name) for name in ("tagged_at", "tagged_by")}
    return Upsert(tags, _KEY, [*_KEY, "tagged_at", "tagged_by", "rule"], rules=rules)


def _as_the_file_says(name: str) -> Any:
    def rule(table: Table, excluded: Any) -> ColumnElement[Any]:
        return case((excluded[name].is_(None), table.c[name]), else_=excluded[name])

    return rule


def _as_it_was(name: str) -> Any:
    def rule(table: Table, excluded: Any) -> ColumnElement[Any]:
        return case((table.c.rule.is_not(None), excluded[name]), else_=table.c[name])

    return rule


def _tags_of(connection: Connection, owners: set[int]) -> Iterator[tuple[int, int, str, str]]:
    """The tags that these customers have."""
    ids = sorted(owners)
    for start in range(0, len(ids), _CHUNK):
        question = select(tags.c.id, *[tags.c[name] for name in _KEY]).where(
            tags.c.customer_id.in_(ids[start : start + _CHUNK])
        )
        yield from map(tuple, connection.execute(question))
