"""Files as shop platforms export them, for tests: those of tests/data/exports, and small spreadsheets made on the spot."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from engine.definitions.mapping import ImportMapping
from engine.definitions.mappings import load_mapping

ROOT = Path(__file__).parent.parent.parent
EXPORTS = ROOT / "tests" / "data" / "exports"
_NS = "http://schemas.openxmlformats.org"
_MAIN, _RELS, _OFFICE = f"{_NS}/spreadsheetml/2006/main", f"{_NS}/package/2006/relationships", f"{_NS}/officeDocument/2006/relationships"  # fmt: skip


def shipped(name: str) -> ImportMapping:
    """A mapping of config/mappings."""
    path = ROOT / "config" / "mappings" / f"{name}.yaml"
    return load_mapping({f"mappings/{name}.yaml": path.read_text(encoding="utf-8")}, name)


def mapping(text: str, name: str = "ours") -> ImportMapping:
    """A mapping from its YAML."""
    return load_mapping({f"mappings/{name}.yaml": text}, name)


def export(folder: Path, name: str) -> Path:
    """A copy of one of the files, so that what is rejected stands beside the copy."""
    return Path(shutil.copy(EXPORTS / name, folder / name))


def write_xlsx(path: Path, rows: Sequence[Sequence[str | float]]) -> Path:
    """A workbook of one sheet: numbers as numbers, text as inline strings."""
    lines = "".join(
        f'<row r="{number}">{"".join(_cell(cell, place, number) for place, cell in enumerate(row))}</row>'
        for number, row in enumerate(rows, start=1)
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_NS}/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_RELS}"><Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_RELS}"><Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_MAIN}"><sheetData>{lines}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in parts.items():
            book.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return path


def _cell(cell: str | float, place: int, row: int) -> str:
    at = f'r="{chr(ord("A") + place)}{row}"'
    if isinstance(cell, str):
        return f'<c {at} t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
    return f"<c {at}><v>{cell!r}</v></c>"
