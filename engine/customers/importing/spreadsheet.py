"""The rows of an XLSX file's first sheet, as text: numbers as they are read, days and times in ISO 8601."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from engine.customers.importing.lines import Lines
from engine.customers.importing.records import (
    LONGEST_CELL,
    REJECT_COLUMNS,
    Columns,
    Record,
    Reject,
    Shape,
    check_columns,
    check_header,
)
from engine.errors import ImportFileError

LARGEST = 100_000_000
"""Bytes of a workbook once it is unpacked: the library reads a sheet whole, and takes twice as much memory for it."""
MOST_CELLS = 10_000_000
"""Of a sheet, empty ones between its outermost cells included: the library lays them all out."""
_BLOCK = 1 << 20
_CELL = re.compile(rb"""\br\s*=\s*["']([A-Z]{1,3})0*([0-9]{1,7})["']""", re.IGNORECASE)
_EXACT = 10**15
"""From here on a spreadsheet no longer keeps each digit of a number."""


class SheetRecords:
    """The rows below the first one, which is the header. Blank rows are passed over. `line`: the row's number."""

    def __init__(self, lines: Lines, columns: Columns, reject: Reject) -> None:
        self._lines, self._reject = lines, reject
        sheet = _open(lines.path)
        self._first = sheet.start[0] + 1 if sheet.start else 1
        self._rows = iter(sheet.iter_rows()) if sheet.start else iter(())
        self.names = self._header(lines.path)
        check_columns(lines.path, self.names, columns)
        self._shape = Shape.of(self.names, columns)

    def _header(self, path: Path) -> Sequence[str]:
        row = next(self._rows, None)
        if row is None:
            raise ImportFileError(f"{path}: its first sheet is empty; a header row is needed")
        names = [str(cell).strip() for cell in row]
        while names and not names[-1]:
            names.pop()
        check_header(path, names)
        if tuple(names[:2]) == REJECT_COLUMNS:
            raise ImportFileError(f"{path}: rejected rows are mended as CSV; save it so")
        return names

    def __iter__(self) -> Iterator[Record]:
        width = len(self.names)
        for line, row in enumerate(self._rows, start=self._first + 1):
            if not any(cell != "" for cell in row):
                continue
            cells = [str(cell) for cell in row]
            try:
                read = [_text(cell) for cell in row[:width]]
                if any(cell != "" for cell in row[width:]):
                    raise ValueError("has cells beside the header's columns")
            except ValueError as error:
                self._reject(line, str(error), cells[:width])
                continue
            yield Record(self._shape, line, read)
        self._lines.bytes_done = self._lines.path.stat().st_size


def _open(path: Path) -> CalamineSheet:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > LARGEST:
                raise ImportFileError(f"{path}: {size:,} bytes unpacked; at most {LARGEST:,} are taken. Save it as CSV")  # fmt: skip
            _check_extent(path, archive)
        book = CalamineWorkbook.from_path(str(path))
        if not book.sheet_names:
            raise ImportFileError(f"{path}: holds no sheet")
        return book.get_sheet_by_index(0)
    except (
        CalamineError,
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        RuntimeError,
    ) as error:
        # RuntimeError: zipfile's word for what is encrypted.
        raise ImportFileError(f"{path}: is not an XLSX file: {error}") from None


def _check_extent(path: Path, archive: zipfile.ZipFile) -> None:
    """Two cells in far corners would make a sheet of 17,000,000,000. Raises ImportFileError."""
    for name in archive.namelist():  # a workbook may keep its sheets under any name
        columns: set[bytes] = set()
        rows, tail = 0, b""
        with archive.open(name) as sheet:
            while block := sheet.read(_BLOCK):
                found = _CELL.findall(tail + block)
                columns.update(column.upper() for column, _ in found)
                rows = max(rows, max((int(row) for _, row in found), default=0))
                tail = block[-32:]
        width = max(map(_number_of_column, columns), default=0)
        if rows * width > MOST_CELLS:
            raise ImportFileError(
                f"{path}: a sheet of {rows:,} rows and {width:,} columns; at most {MOST_CELLS:,} cells are taken. Save it as CSV"
            )


def _number_of_column(letters: bytes) -> int:
    """
    >>> _number_of_column(b"A"), _number_of_column(b"XFD")
    (1, 16384)
    """
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _text(cell: Any) -> str:
    """A cell as CSV would spell it. Raises ValueError."""
    if isinstance(cell, str):
        if "\0" in cell:
            raise ValueError("holds a NUL byte")
        if len(cell) > LONGEST_CELL // 4 and len(cell.encode(errors="replace")) > LONGEST_CELL:
            raise ValueError(f"a cell is longer than {LONGEST_CELL:,} bytes")
        return cell
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float | int):
        return _number(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)


def _number(cell: float) -> str:
    """As a spreadsheet shows it, with 15 digits: a sum of 0.1 and 0.2 is kept as 0.30000000000000004.

    >>> _number(12.0), _number(12.5), _number(0.1 + 0.2), _number(1e-7)
    ('12', '12.5', '0.3', '0.0000001')
    """
    if abs(cell) >= _EXACT:
        raise ValueError(f"the number {cell:.0f} has lost digits in the spreadsheet; keep ids as text")  # fmt: skip
    return f"{Decimal(f'{cell:.15g}'):f}"
