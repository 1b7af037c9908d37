"""What the parts of one import share: how cells are read, what has been counted, rejected and warned of."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.customers import cells
from engine.customers.records import Record, Shape
from engine.customers.rejects import Rejects
from engine.definitions.policy import Policy
from engine.tokens import address_hash

_EXAMPLES = 3


@dataclass
class Tally:
    """Rows so far. read = inserted + updated + unchanged + rejected."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    consents: int = 0  # rows that the consent ledger grew by

    def landed(self, rows: int, changed: int, inserted: int) -> None:
        """`rows` went through, of which `changed` were written, of which `inserted` are new."""
        self.read += rows
        self.inserted += inserted
        self.updated += changed - inserted
        self.unchanged += rows - changed


class Notes:
    """Things worth a warning, counted, each with a few examples."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = defaultdict(int)
        self._examples: dict[str, list[str]] = defaultdict(list)

    def add(self, what: str, example: str, count: int = 1) -> None:
        """`what` is a sentence that follows a number: "rows name an unknown time zone"."""
        self._counts[what] += count
        if len(self._examples[what]) < _EXAMPLES:
            self._examples[what].append(example)

    def sentences(self) -> tuple[str, ...]:
        return tuple(
            f"{count:,} {what} (for example {', '.join(self._examples[what])})"
            for what, count in self._counts.items()
        )


@dataclass
class Job:
    """One file on its way in. `as_number`: whether moments are numbers to this database."""

    policy: Policy
    now: datetime
    hashing_key: str
    as_number: bool
    rejects: Rejects
    tally: Tally = field(default_factory=Tally)
    notes: Notes = field(default_factory=Notes)

    def __post_init__(self) -> None:
        self.moment = cells.moments(self.policy.timezone, as_number=self.as_number)
        self.money = cells.money(self.policy.prices.currency)
        self.now_value = self.moment(self.now.isoformat())

    def reject(self, record: Record, reason: str) -> None:
        """This row does not land."""
        self.reject_line(record.line, reason, record.cells)

    def reject_line(self, line: int, reason: str, written: Sequence[str]) -> None:
        """The same for a line that never became a record."""
        self.tally.read += 1
        self.tally.rejected += 1
        self.rejects.add(line, reason, written)

    def read_all(
        self, reader: RowReader, records: Sequence[Record]
    ) -> list[tuple[Record, list[Any]]]:
        """The records that can be read, with their values; the others are rejected."""
        good = []
        for record in records:
            try:
                good.append((record, reader.read(record.cells)))
            except CellError as error:
                self.reject(record, str(error))
        return good

    def hash_of(self, address: str) -> str:
        return address_hash(self.hashing_key, address)


class CellError(ValueError):
    """What is wrong with a row, beginning with the column's name."""


class RowReader:
    """Reads the known columns of one shape in the order of `readers`: None for a column that the file lacks."""

    def __init__(self, shape: Shape, readers: Mapping[str, cells.Cell]) -> None:
        self._names = list(readers)
        self._blank: list[Any] = [None] * len(self._names)
        self._plan = [
            (slot, shape.places[name], readers[name])
            for slot, name in enumerate(self._names)
            if name in shape.places
        ]
        self._extras = list(shape.extras.items())

    def read(self, written: Sequence[str]) -> list[Any]:
        """One value per reader. Raises CellError."""
        found = self._blank.copy()
        slot = 0
        try:
            for slot, place, read in self._plan:
                found[slot] = read(written[place])
        except ValueError as error:
            raise CellError(f"{self._names[slot]}: {error}") from None
        return found

    def attributes(self, written: Sequence[str]) -> str:
        """The columns that are not known, as JSON in the one spelling that compares equal on SQLite."""
        if not self._extras:
            return "{}"
        found = {name: written[place].strip() for name, place in self._extras}
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))
