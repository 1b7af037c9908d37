"""Ids that stand more than once in a file: the later row counts, and somebody should know.

Rows of one batch are compared. Of earlier batches nothing is kept but the newest row that was there before the import:
what lies beyond it came with this file. A row that an earlier batch found in the database already is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, select

from engine.customers.importing.job import Job, Values
from engine.customers.importing.records import Record

_WHAT = "rows have an id that an earlier one has: the last of them counts"


class Repeats:
    """Notes them, of one file, whose rows go into `table`. Asked before each batch is written."""

    def __init__(self, job: Job, table: Table) -> None:
        self._job, self._table = job, table
        self._newest: int | None = None

    def note(
        self,
        connection: Connection,
        read: Sequence[tuple[Record, Values]],
        there: Mapping[str, Any],
    ) -> None:
        """`there`: the rows of these that are in the table, by their ref; the last value of each is its id."""
        if self._newest is None:
            self._newest = connection.execute(select(func.max(self._table.c.id))).scalar() or 0
        seen: dict[str, Record] = {}
        for record, values in read:
            ref = values[0]
            first, known = seen.setdefault(ref, record), there.get(ref)
            is_new = known is not None and known[-1] > self._newest
            if is_new or (first is not record and first.cells != record.cells):
                self._job.notes.add(_WHAT, f"{ref!r} in {self._job.where(record.line)}")
