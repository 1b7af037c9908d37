"""Workbooks that would not fit into memory are refused before the library reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from engine.customers.importing.lines import Lines
from engine.customers.importing.records import ANY_COLUMNS
from engine.customers.importing.spreadsheet import LARGEST, SheetRecords
from engine.errors import ImportFileError
from tests.integration.export_files import write_xlsx


def read(path: Path) -> list[list[str]]:
    with Lines(path) as lines:
        records = SheetRecords(lines, ANY_COLUMNS, lambda line, reason, cells: None)
        return [list(record.cells) for record in records]


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    book = write_xlsx(tmp_path / "a.xlsx", [["id"], ["1"]])
    assert read(book) == [["1"]]
    with zipfile.ZipFile(book, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/zeros", bytes(LARGEST))
    with pytest.raises(ImportFileError, match="at most 100,000,000 are taken"):
        read(book)


@pytest.mark.parametrize(
    ("name", "corner"),
    [
        ("xl/worksheets/sheet2.xml", 'r="XFD1048576"'),
        ("xl/worksheets/sheet2.xml", "r = 'xfd1048576'"),
        ("xl/elsewhere/s", 'r="XFD001048576"'),
    ],
)
def test_two_cells_in_far_corners_are_refused_instead_of_laid_out(
    name: str, corner: str, tmp_path: Path
) -> None:
    book = write_xlsx(tmp_path / "a.xlsx", [["id"], ["1"]])
    with zipfile.ZipFile(book, "a") as archive:
        archive.writestr(name, f'<row><c r="A1"/></row><row><c s="1" {corner}/></row>')
    with pytest.raises(
        ImportFileError, match="1,048,576 rows and 16,384 columns; at most 10,000,000"
    ):
        read(book)


def test_a_workbook_that_is_damaged_or_encrypted_is_no_traceback(tmp_path: Path) -> None:
    book = write_xlsx(tmp_path / "a.xlsx", [["id"], *([str(n)] for n in range(100))])
    whole = book.read_bytes()
    with zipfile.ZipFile(book) as archive:
        sheet = archive.getinfo("xl/worksheets/sheet1.xml")
    start = sheet.header_offset + 30 + len(sheet.filename)
    damaged = whole[:start] + bytes(byte ^ 0xFF for byte in whole[start : start + 40])
    encrypted = bytearray(whole)
    entry = whole.index(b"PK\x01\x02")
    encrypted[6] |= 1
    encrypted[entry + 8] |= 1
    for content in (damaged + whole[start + 40 :], bytes(encrypted)):
        book.write_bytes(content)
        with pytest.raises(ImportFileError, match="is not an XLSX file"):
            read(book)
