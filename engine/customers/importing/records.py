"""Import files as records: rows of CSV, or objects of JSON lines, with the columns that the kind of import knows."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from engine.customers.importing.lines import Lines
from engine.errors import A_LETTER_OR_TWO, ImportFileError, did_you_mean, nearest

LONGEST_CELL = 100_000
"""Bytes."""
JSON_SUFFIXES = (".jsonl", ".ndjson")
REJECT_COLUMNS = ("line", "reason")
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
_SHOWN = 200
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SHAPES_KEPT = 1000

Reject = Callable[[int, str, Sequence[str]], None]
"""Takes the line, the reason and the cells as they stood."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a kind of import knows, and those that it cannot do without. Others are attributes."""

    known: tuple[str, ...]
    required: tuple[str, ...]
    any_of: tuple[str, ...] = ()  # of these one at least
    nested: tuple[str, ...] = ()  # hold JSON: JSON lines may write it as it is

    def missing(self, names: Sequence[str]) -> str | None:
        """A sentence on the first required column that is not there, with the nearest one that is; None if all are."""
        for name in self.required:
            if name not in names:
                others = [other for other in names if other not in self.known]
                same = next((other for other in others if other.lower() == name), None)
                near = f"; did you mean {same!r}?" if same else did_you_mean(name, others)
                return f"column {name!r} is missing{near}"
        if self.any_of and not set(self.any_of) & set(names):
            return f"one of the columns {', '.join(self.any_of)} is needed"
        return None

    def near(self, names: Sequence[str]) -> Iterator[str]:
        """Each column that is not known, but looks like one that is known and not there.

        >>> list(Columns(("id", "email", "phone"), ()).near(["id", "E-Mail", "phone", "phone2"]))
        ["'E-Mail'; did you mean 'email'?"]
        """
        lacking = {_bare(name): name for name in self.known if name not in names}
        for name in names:
            meant = None if name in self.known else nearest(_bare(name), lacking, A_LETTER_OR_TWO)
            if meant:
                yield f"{name!r}; did you mean {lacking[meant]!r}?"


ANY_COLUMNS = Columns(known=(), required=())
"""Of a file that a mapping reads."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Where a record's cells are: `places` of the known columns, and of the others by name. `origins`: what the file
    calls a column, where a mapping says that."""

    names: tuple[str, ...]
    places: Mapping[str, int]
    extras: Mapping[str, int]
    origins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Sequence[str], columns: Columns) -> Shape:
        places = {name: place for place, name in enumerate(names) if name in columns.known}
        extras = {
            name: place for place, name in enumerate(names) if name and name not in columns.known
        }
        return cls(tuple(names), places, extras)


class Record(NamedTuple):
    """One row: its first line, and its cells as the shape says. All cells are text. `written`: the cells as they stood
    in the file, where a mapping made these of them. `fault`: why the row cannot land, where that is known already."""

    shape: Shape
    line: int
    cells: Sequence[str]
    written: Sequence[str] | None = None
    fault: str | None = None


class CsvRecords:
    """The rows of a CSV file. `names`: its header. Broken rows go to `reject`; blank ones are passed over."""

    def __init__(
        self, lines: Lines, columns: Columns, reject: Reject, delimiter: str = ","
    ) -> None:
        self._lines, self._reject = lines, reject
        mark = "," if lines.is_rejects else delimiter
        self._rows = csv.reader(lines, strict=True, delimiter=mark)
        header = self._header(lines)
        # A file of rejected rows can be mended and imported as it is: our two columns and quotes come off again.
        self._is_rejects = tuple(header[:2]) == REJECT_COLUMNS
        self.names = header[2:] if self._is_rejects else header
        check_columns(lines.path, self.names, columns, mark)
        self._shape = Shape.of(self.names, columns)

    def _header(self, lines: Lines) -> list[str]:
        try:
            names = [name.strip() for name in next(self._rows)]
        except StopIteration:
            raise ImportFileError(f"{lines.path}: is empty; a header line is needed") from None
        except csv.Error as error:
            raise ImportFileError(f"{lines.path}: the header cannot be read: {error}") from None
        if lines.fault:
            raise ImportFileError(
                f"{lines.path}: the header {lines.fault}; save it as UTF-8 CSV, or name its encoding in a mapping"
            )
        check_header(lines.path, names)
        return names

    def __iter__(self) -> Iterator[Record]:
        lines, rows, shape = self._lines, self._rows, self._shape
        taken, width = lines.taken, len(shape.names) + (2 if self._is_rejects else 0)
        while True:
            taken.clear()
            line = lines.number + 1
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                self._refuse(line, f"cannot be read as CSV: {error}", [])
                continue
            if len(cells) != width:
                if any(cells):
                    self._refuse(line, f"has {len(cells)} cells, the header has {width}", cells)
                continue
            if self._is_rejects:
                cells = [_unwrapped(cell) for cell in cells[2:]]
            reason = lines.fault or _too_long(taken, cells)
            if reason is not None:
                self._reject(line, reason, cells)
            elif cells[0] or any(cells):
                yield Record(shape, line, cells)

    def _refuse(self, line: int, reason: str, cells: list[str]) -> None:
        """A quote that was never closed swallows the rows below it: only its own line is bad."""
        if len(self._lines.taken) > 1:
            self._lines.give_back()
            cells = []
        self._reject(line, reason, cells or [self._lines.taken[0].rstrip("\r\n")])


class JsonRecords:
    """The objects of a file of JSON lines. A key that a line does not name is left as it is in the database."""

    names = ("record",)

    def __init__(self, lines: Lines, columns: Columns, reject: Reject) -> None:
        self._lines, self._columns, self._reject = lines, columns, reject
        self._single = frozenset(columns.known) - frozenset(columns.nested)
        self._shapes: dict[tuple[str, ...], Shape] = {}

    def __iter__(self) -> Iterator[Record]:
        for number, text in self._written():
            try:
                yield self._record(number, text)
            except ValueError as error:
                self._reject(number, str(error), [text])

    def _written(self) -> Iterator[tuple[int, str]]:
        """Each object's line and text. A file of rejected rows has it in a cell."""
        lines = self._lines
        if lines.is_rejects:
            column = Columns(known=self.names, required=self.names)
            for record in CsvRecords(lines, column, self._reject):
                yield record.line, record.cells[0]
            return
        for line in lines:
            if not line.isspace():
                yield lines.number, line.rstrip("\r\n")
            lines.taken.clear()

    def _record(self, number: int, text: str) -> Record:
        if self._lines.fault:
            raise ValueError(self._lines.fault)
        found = _parse(text)
        missing = self._columns.missing(list(found))
        if missing:
            raise ValueError(missing)
        nested = [name for name, value in found.items() if isinstance(value, dict | list)]
        if nested:  # their numbers stay numbers
            whole = json.loads(text)
            found |= {name: whole[name] for name in nested}
        shape = self._shape(tuple(found))
        cells = [
            _plain(name, value) if name in self._single else _kept(name, value)
            for name, value in found.items()
        ]
        return Record(shape, number, cells, [text])

    def _shape(self, names: tuple[str, ...]) -> Shape:
        shape = self._shapes.get(names)
        if shape is None:
            if len(self._shapes) >= _SHAPES_KEPT:
                self._shapes.clear()
            shape = self._shapes[names] = Shape.of(names, self._columns)
        return shape


class Records(Protocol):
    """The records of a file, once."""

    @property
    def names(self) -> Sequence[str]: ...

    def __iter__(self) -> Iterator[Record]: ...


def torn(names: Sequence[str], line: int, fault: str, cells: Sequence[str]) -> Record:
    """What can still be made out of a row that a reader refused with this fault, under the reader's `names`."""
    written = cells
    if names == JsonRecords.names:
        try:
            found = _parse(cells[0])
        except ValueError:
            found = {}
        names, cells = tuple(found), [str(value) for value in found.values()]
    filled = [*cells, *[""] * (len(names) - len(cells))]
    return Record(_torn_shape(tuple(names)), line, filled, written, fault)


@lru_cache
def _torn_shape(names: tuple[str, ...]) -> Shape:
    return Shape(names, {name: place for place, name in enumerate(names)}, {})


def open_records(lines: Lines, columns: Columns, reject: Reject, delimiter: str = ",") -> Records:
    """The records of a file, by its suffix: JSON lines, a spreadsheet, else CSV. Raises ImportFileError."""
    path: Path = lines.path
    if path.suffix.lower() in JSON_SUFFIXES or lines.is_rejected_json:
        return JsonRecords(lines, columns, reject)
    if path.suffix.lower() == ".xlsx":
        from engine.customers.importing.spreadsheet import SheetRecords

        return SheetRecords(lines, columns, reject)
    if path.suffix.lower() in (".xls", ".xlsb", ".ods"):
        raise ImportFileError(f"{path}: such spreadsheets are not supported yet; save it as XLSX or CSV")  # fmt: skip
    return CsvRecords(lines, columns, reject, delimiter)


def check_header(path: Path, names: Sequence[str]) -> None:
    """Raises ImportFileError where a column's name stands twice."""
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise ImportFileError(f"{path}: column {twice!r} stands twice in the header")


def check_columns(
    path: Path, names: Sequence[str], columns: Columns, delimiter: str | None = None
) -> None:
    """Raises ImportFileError where the header lacks a column, or is one cell because something else is between them."""
    shown = ", ".join(names)[:_SHOWN]
    other = (
        next((mark for mark in _SEPARATORS if mark in names[0]), None) if len(names) == 1 else None
    )
    if delimiter and other and other != delimiter:
        said = "tab" if other == "\t" else f'"{other}"'
        raise ImportFileError(
            f"{path}: its columns seem to be separated by {_SEPARATORS[other]}: the header is {shown!r};"
            f" a mapping with `delimiter: {said}` reads it"
        )
    missing = columns.missing(names)
    if missing:
        raise ImportFileError(f"{path}: {missing}; the header is {shown!r}")


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would compute this cell instead of showing it."""
    return cell.startswith(_FORMULA)


def _unwrapped(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and is_formula(cell[1:]) else cell


def _too_long(taken: Sequence[str], cells: Iterable[str]) -> str | None:
    # A character has four bytes at most: short lines need no look at their cells.
    if len(taken) == 1 and len(taken[0]) < LONGEST_CELL // 4:
        return None
    if any(len(cell.encode(errors="replace")) > LONGEST_CELL for cell in cells):
        return f"a cell is longer than {LONGEST_CELL:,} bytes"
    return None


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _parse(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object")
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a surrogate pair") from None
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"is not JSON: {name}")


def _plain(name: str, value: Any) -> str:
    """A value of a known column, as CSV would spell it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        raise ValueError(f"{name}: is not a single value")
    return _kept(name, value)


def _kept(name: str, value: Any) -> str:
    """A value of an attribute, which is text whatever the file's format: a list or an object as its JSON."""
    written = "" if value is None else value
    if not isinstance(written, str):
        try:
            written = json.dumps(written, ensure_ascii=False, allow_nan=False)
        except ValueError:
            raise ValueError(f"{name}: holds a number that is too large") from None
    if "\0" in name or "\0" in written:
        raise ValueError(f"{name}: holds a NUL byte".replace("\0", "�"))
    if len(written) > LONGEST_CELL // 4 and len(written.encode()) > LONGEST_CELL:
        raise ValueError(f"{name}: is longer than {LONGEST_CELL:,} bytes")
    return written
