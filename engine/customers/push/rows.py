"""The rows of a push, checked against the table of fields and turned into the records that an import lands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from engine.customers.importing.records import LONGEST_CELL, Columns, Record, Shape
from engine.customers.push.body import (
    MOST_ITEMS,
    Fraction,
    Row,
    TooManyRowsError,
    as_json,
    name_of,
    type_of,
)
from engine.customers.push.faults import Faults, Place
from engine.customers.push.fields import FIELDS, ITEM_FIELDS, Field, PushKind
from engine.definitions.import_columns import BY_KIND
from engine.errors import did_you_mean

_ITEM_COLUMNS = Columns(BY_KIND["items"].known, ("order_id",))
_EXPONENT = re.compile(r"[eE][-+]?[0-9]{1,2}$")
OrderItems = tuple[str, list[Record]]
"""An order's own id and its items."""


@dataclass(frozen=True, slots=True)
class Push:
    """Rows that can be landed. A record's `line` is the number of its place in `places`."""

    kind: PushKind
    records: list[Record] = field(default_factory=list)
    items: list[OrderItems] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)

    def column(self, name: str) -> set[str]:
        """What stands in this field, trimmed."""
        found = (record.cells[record.shape.places[name]].strip() for record in self.records)
        return set(found)


def read_rows(kind: PushKind, rows: Sequence[Row], faults: Faults) -> Push:
    """The rows as records. What does not fit the table of fields is a fault. Raises TooManyRowsError for the items."""
    push = Push(kind)
    columns = Columns(BY_KIND[kind].known, BY_KIND[kind].required)
    shaped, shaped_items = _Shapes(columns), _Shapes(_ITEM_COLUMNS)
    left = MOST_ITEMS
    for row in rows:
        if faults.is_full:
            break
        before = len(faults.found)
        cells = dict(_cells(row.place, row.value, FIELDS[kind], faults))
        items = row.value.get("items") if kind == "orders" else None
        if isinstance(items, list):
            left -= len(items)
            if left < 0:
                raise TooManyRowsError(f"a push has {MOST_ITEMS:,} items at most")
            found = list(_items(row.place, items, cells.get("id", ""), faults))
        if len(faults.found) > before:
            continue
        push.records.append(shaped.record(cells, row.place, push.places))
        if isinstance(items, list):
            of_order = [shaped_items.record(item, place, push.places) for place, item in found]
            push.items.append((cells["id"].strip(), of_order))
    return push


class _Shapes:
    """Makes records; those that name the same columns share their shape."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._shapes: dict[tuple[str, ...], Shape] = {}

    def record(self, cells: Mapping[str, str], place: Place, places: list[Place]) -> Record:
        names = tuple(cells)
        shape = self._shapes.get(names)
        if shape is None:
            shape = self._shapes[names] = Shape.of(names, self._columns)
        places.append(place)
        return Record(shape, len(places) - 1, list(cells.values()))


def _items(
    place: Place, items: Sequence[Any], order: str, faults: Faults
) -> Iterator[tuple[Place, dict[str, str]]]:
    for number, item in enumerate(items):
        here = Place(f"{place.path}.items[{number}]", place.line)
        if faults.is_full:
            return
        if isinstance(item, dict):
            yield here, {"order_id": order, **dict(_cells(here, item, ITEM_FIELDS, faults))}
        else:
            faults.add(here, f"is {name_of(item)}; an item is an object")


def _cells(
    place: Place, row: Mapping[str, Any], fields: Mapping[str, Field], faults: Faults
) -> Iterator[tuple[str, str]]:
    """The cells by name, as an import has them."""
    _ask_required(place, row, fields, faults)
    for name, value in row.items():
        if faults.is_full:
            return
        known = fields.get(name)
        if known is None:
            hint = did_you_mean(name[:60], fields) or f"; known: {', '.join(fields)}"
            faults.add(place.at(name), f"is not a field here{hint}")
        elif type_of(value) not in known.types:
            faults.add(place.at(name), f"is {name_of(value)}; write {_expected(known)}")
        elif known.holds == "attributes":
            yield from _attributes(place.at(name), value or {}, fields, faults)
        elif known.holds != "items":
            cell = _spelt_out(value) if known.holds == "amount" else value
            yield from _cell(place, name, cell, faults)


def _ask_required(
    place: Place, row: Mapping[str, Any], fields: Mapping[str, Field], faults: Faults
) -> None:
    for name, known in fields.items():
        if known.required and name not in row:
            near = did_you_mean(name, [other for other in row if other not in fields])
            faults.add(place.at(name), f"is missing{near}")


def _expected(known: Field) -> str:
    """`a string or an integer`."""
    types = [f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in known.types if name != "null"]  # fmt: skip
    return " or ".join(types)


def _attributes(
    place: Place, given: Mapping[str, Any], fields: Mapping[str, Field], faults: Faults
) -> Iterator[tuple[str, str]]:
    """Attributes become columns of their own, as other columns of a file do."""
    for name, value in given.items():
        if not name.strip():
            faults.add(place.at(name), "has no name")
        elif name in fields:
            faults.add(place.at(name), "is a field of the row, not an attribute")
        else:
            yield from _cell(place, name, value, faults)


def _cell(place: Place, name: str, value: Any, faults: Faults) -> Iterator[tuple[str, str]]:
    try:
        written = _written(value)
    except ValueError as error:
        faults.add(place.at(name), str(error))
        return
    if len(written) > LONGEST_CELL // 4 and len(written.encode()) > LONGEST_CELL:
        faults.add(place.at(name), f"is longer than {LONGEST_CELL:,} bytes")
    else:
        yield name, written


def _spelt_out(amount: Any) -> Any:
    """JSON may say 1.5E+3, as Java does. Beyond two digits it is left as it is, and refused."""
    if isinstance(amount, Fraction) and _EXPONENT.search(amount):
        return f"{Decimal(amount):f}"
    return amount


def _written(value: Any) -> str:
    """A value as the cell of a file spells it. Raises ValueError."""
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else as_json(value)
