"""Tags from an import: what the shop's people know of a customer, by dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case, select

from engine.customers import cells
from engine.customers.job import Job, RowReader
from engine.customers.owners import find_owners
from engine.customers.records import Columns, Record, Shape
from engine.customers.upsert import Upsert
from engine.definitions.import_columns import TAGS
from engine.store.tables import tags

_KEY = ["customer_id", "dimension", "value"]
_CHUNK = 1000


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
        """Write these rows; of several of one tag the last wins. Rows of a customer who is not there are rejected."""
        read = self._job.read_all(RowReader(shape, self._readers), records)
        people = find_owners(connection, {values[0] for _, values in read})
        dated: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        undated: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        landed = 0
        for record, (ref, dimension, value, at, by) in read:
            owner = people.get(ref)
            if owner is None:
                self._job.reject(record, f"customer_id: there is no customer {ref!r}")
                continue
            landed += 1
            key, rows = (owner, dimension, value), undated if at is None else dated
            rows[key] = (*key, at or self._job.now_value, by, None)
        for key in dated:
            undated.pop(key, None)
        new = len(dated) + len(undated) - _count(connection, {key[0] for key in (*dated, *undated)}, {*dated, *undated})  # fmt: skip
        changed = self._dated.run(connection, list(dated.values()))
        changed += self._undated.run(connection, list(undated.values()))
        self._job.tally.landed(landed, changed, new)


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


def _count(connection: Connection, owners: set[int], keys: set[tuple[Any, ...]]) -> int:
    """How many of these tags are there."""
    found = 0
    ids = sorted(owners)
    for start in range(0, len(ids), _CHUNK):
        question = select(*[tags.c[name] for name in _KEY]).where(
            tags.c.customer_id.in_(ids[start : start + _CHUNK])
        )
        found += sum(tuple(row) in keys for row in connection.execute(question))
    return found
