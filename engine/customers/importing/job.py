"""What the parts of one import share: how cells are read, what has been counted, rejected and warned of."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from engine.customers.importing import cells
from engine.customers.importing.records import Record, Shape
from engine.definitions.policy import Policy
from engine.tokens import address_hash

_EXAMPLES = 3

Values = tuple[Any, ...]
"""What a row's cells mean, one value per known column."""


@dataclass
class Tally:
    """Rows so far. read = inserted + updated + unchanged + rejected."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    consents: int = 0  # rows that the consent ledger grew by

    @property
    def written(self) -> int:
        return self.inserted + self.updated

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


class RejectedRows(Protocol):
    """Where rows go that do not land: a file beside the one that is imported, or the answer to a push."""

    def add(self, line: int, reason: str, cells: Sequence[Any]) -> None: ...


@dataclass
class Job:
    """One file, or one push, on its way in. `as_number`: whether moments are numbers to this database. `overwrites`:
    an order becomes what is said of it, even where it is known to be further. `where`: what a warning calls the place of
    a row, by its line."""

    policy: Policy
    now: datetime
    hashing_key: str
    as_number: bool
    rejects: RejectedRows
    tally: Tally = field(default_factory=Tally)
    notes: Notes = field(default_factory=Notes)
    overwrites: bool = False
    where: Callable[[int], str] = "line {}".format

    def __post_init__(self) -> None:
        self.moment = cells.moments(self.policy.timezone, as_number=self.as_number)
        self.money = cells.money(self.policy.prices.currency)
        self.now_value = self.moment(self.now.isoformat())

    def as_moment(self, value: Any) -> str:
        """What `moment` gave, as ISO 8601 in UTC, whatever the database."""
        return cells.from_number(value).isoformat() if self.as_number else str(value)

    def reject(self, record: Record, reason: str) -> None:
        """This row does not land. The reason begins with the column's name, ours; the file's own is added."""
        column, colon, rest = reason.partition(": ")
        if colon and column in record.shape.origins:
            reason = f"{column} ({record.shape.origins[column]}): {rest}"
        written = record.cells if record.written is None else record.written
        self.reject_line(record.line, reason, written)

    def reject_line(self, line: int, reason: str, written: Sequence[str]) -> None:
        """The same for a line that never became a record."""
        self.tally.read += 1
        self.tally.rejected += 1
        self.rejects.add(line, reason, written)

    def read_all(self, reader: RowReader, records: Sequence[Record]) -> list[tuple[Record, Values]]:
        """The records that can be read, with their values; the others are rejected."""
        try:
            # Column by column is twice as fast, but cannot tell whose cell is bad.
            return list(zip(records, reader.read_columns(records), strict=True))
        except ValueError:
            pass
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
        self._plan = [(name, shape.places.get(name), read) for name, read in readers.items()]
        self._extras = list(shape.extras.items())

    def read(self, written: Sequence[str]) -> Values:
        """One value per reader. Raises CellError."""
        found = []
        for name, place, read in self._plan:
            try:
                found.append(None if place is None else read(written[place]))
            except ValueError as error:
                raise CellError(f"{name}: {error}") from None
        return tuple(found)

    def read_columns(self, records: Sequence[Record]) -> Iterator[Values]:
        """The same for each of these records. Raises ValueError where any cell is bad."""
        return zip(*self.columns(records), strict=True)

    def columns(self, records: Sequence[Record]) -> list[Sequence[Any]]:
        """What stands in each column, in the order of `readers`. Raises ValueError where any cell is bad."""
        written = list(zip(*[record.cells for record in records], strict=True))
        return [
            (None,) * len(records) if place is None else list(map(read, written[place]))
            for _, place, read in self._plan
        ]

    def attributes(self, written: Sequence[str]) -> str:
        """The columns that are not known, as JSON in the one spelling that compares equal on SQLite."""
        if not self._extras:
            return "{}"
        found = {name: written[place].strip() for name, place in self._extras}
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))
