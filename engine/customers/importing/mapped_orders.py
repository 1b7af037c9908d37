"""Orders of a mapped export: each row, or each run of item rows, becomes an order, its items and its buyer.

All of an order is checked before any of it is written, and written in one transaction: a bad row takes its whole
order with it, so that no order stands there with some of its items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from engine.customers.importing.buyer_rows import BuyerRows
from engine.customers.importing.buyers import Buyer, BuyerReader
from engine.customers.importing.cell_changes import cleaner
from engine.customers.importing.item_rows import COLUMNS as ITEM_COLUMNS
from engine.customers.importing.item_rows import ItemRows
from engine.customers.importing.job import CellError, Job, Values
from engine.customers.importing.order_rows import OrderRows
from engine.customers.importing.records import Columns, Record
from engine.customers.importing.translation import Translation, column_of, extras_of
from engine.customers.owners import find_owners
from engine.customers.touched import Touched
from engine.definitions.import_columns import BUYER
from engine.definitions.mapping import ImportMapping, Source
from engine.errors import ImportFileError
from engine.store.tables import orders
from engine.store.upsert import find

Rows = Sequence[Record]
"""The rows of one order, as they stand in the file."""
_OWN = ("placed_at", "amount")
"""What only an order's first row says, where a row is an item."""
_MAPPED_ITEMS = Columns(known=ITEM_COLUMNS.known[1:], required=())
_BUYER = Columns(known=BUYER, required=())


@dataclass(frozen=True, slots=True)
class _Order:
    """An order that can be read: its rows, its record with what that means, its buyer and the values of its items."""

    rows: Rows
    record: Record
    values: Values
    buyer: Buyer | None
    items: list[tuple[Any, ...]]

    @property
    def ref(self) -> str:
        return str(self.values[0])

    @property
    def customer(self) -> str:
        return str(self.values[1])


class _BadRow(Exception):
    """A row of an order that cannot be read."""

    def __init__(self, record: Record, reason: str) -> None:
        self.record, self.reason = record, reason
        super().__init__(reason)


class MappedOrders:
    """Lands orders. `items_job` counts the items. `ref` reads the id of the order that a row belongs to; blank where it
    has none."""

    def __init__(self, job: Job, items_job: Job, touched: Touched, mapping: ImportMapping) -> None:
        self._job, self._mapping = job, mapping
        self.ref = column_of(mapping, "id")
        self._orders, self._items = OrderRows(job, touched), ItemRows(items_job, touched)
        self._buyers: BuyerRows | None = None
        if mapping.customer is not None:
            self._buyers = BuyerRows(job, mapping.match)
            until = mapping.customer.get("phone_valid_until")
            self._buyer = BuyerReader(job, until.expiry if until else None)
        self._of = lru_cache(maxsize=1000)(lambda names: _Translations(mapping, names))

    @property
    def created(self) -> int:
        """Customers made."""
        return self._buyers.created if self._buyers else 0

    def fit(self, names: Sequence[str]) -> None:
        """Raises ImportFileError where a file with these columns does not fit the mapping."""
        self._of(tuple(names))

    def land(self, connection: Connection, batch: Iterable[Rows]) -> None:
        """Write these orders."""
        read = list(self._read(batch))
        people = self._people(connection, read)
        landed: set[str] = set()
        for shape, run in groupby(read, key=lambda one: one.record.shape):
            some = [one for one in run if self._has_customer(one, people)]
            pairs = [(one.record, one.values) for one in some]
            landed |= self._orders.write(connection, shape, pairs, people)
        if self._mapping.rows == "item":
            known = find(connection, orders, "ref", landed, "id")
            with_items = {one.ref: one.items for one in read if one.items and one.ref in known}
            self._items.write(connection, {known[ref][0]: i for ref, i in with_items.items()})

    def _people(self, connection: Connection, read: Sequence[_Order]) -> dict[str, int]:
        if self._buyers is None:
            return find_owners(connection, {one.customer for one in read})
        return self._buyers.write(connection, [one.buyer for one in read if one.buyer])

    def _has_customer(self, order: _Order, people: dict[str, int]) -> bool:
        if order.customer in people:
            return True
        self._reject(order.rows, order.record.line, f"customer_id: there is no customer {order.customer!r}")  # fmt: skip
        return False

    def _read(self, batch: Iterable[Rows]) -> Iterator[_Order]:
        for rows in batch:
            torn = next((row for row in rows if row.fault is not None), None)
            if torn is not None:
                self._reject(rows, torn.line, str(torn.fault))
                continue
            try:
                yield self._read_order(rows)
            except _BadRow as bad:
                self._reject(rows, bad.record.line, bad.reason, bad.record)

    def _reject(self, rows: Rows, line: int, reason: str, translated: Record | None = None) -> None:
        """`line`: that of the row with this fault; the others go with it."""
        for row in rows:
            if row.line != line:
                self._job.reject(row, row.fault or f"line {line} of the same order was rejected")
            elif translated is not None:
                self._job.reject(translated, reason)
            else:
                self._job.reject(row, reason)

    def _read_order(self, rows: Rows) -> _Order:
        """Raises _BadRow."""
        head = self._head(rows)
        record, values = self._order(head)
        buyer = self._buyer_of(head, values)
        items = [self._item(row) for row in rows if self._at(row).has_item(row)]
        return _Order(rows, record, values, buyer, items)

    def _head(self, rows: Rows) -> Record:
        """The row that says what is the order's own."""
        if self._mapping.rows == "order":
            return rows[0]
        head = next((row for row in rows if self._at(row).is_head(row)), None)
        if head is None:
            raise _BadRow(rows[0], "no row of this order says when it was placed, and for how much")
        return head

    def _at(self, row: Record) -> _Translations:
        """Those for this row's columns: of JSON lines each may have its own."""
        try:
            return self._of(row.shape.names)
        except ImportFileError as error:
            raise _BadRow(row, str(error)) from None

    def _order(self, row: Record) -> tuple[Record, Values]:
        record = _translated(self._at(row).order, row)
        try:
            return record, self._orders.reader(record.shape).read(record.cells)
        except CellError as error:
            raise _BadRow(record, str(error)) from None

    def _buyer_of(self, row: Record, order: Values) -> Buyer | None:
        if self._buyers is None:
            return None
        record = _translated(self._at(row).buyer, row)
        try:
            return self._buyer.read(record, order)
        except CellError as error:
            raise _BadRow(record, str(error)) from None

    def _item(self, row: Record) -> tuple[Any, ...]:
        record = _translated(self._at(row).item, row)
        try:
            return tuple(self._items.reader(record.shape).read(record.cells)[1:])
        except CellError as error:
            raise _BadRow(record, str(error)) from None


class _Translations:
    """A mapping's sections, for one header. Raises ImportFileError where they do not fit."""

    def __init__(self, mapping: ImportMapping, names: tuple[str, ...]) -> None:
        extras = extras_of(mapping, names)
        columns = OrderRows.columns
        self.order = Translation(mapping, mapping.columns, columns, names, extras=extras)
        self.buyer = Translation(mapping, mapping.customer or {}, _BUYER, names)
        self.item = Translation(mapping, mapping.items, _MAPPED_ITEMS, names)
        self._clean = cleaner(mapping.blank)
        places = {name: place for place, name in enumerate(names)}
        self._own = _places([mapping.columns[name] for name in _OWN], places)
        self._item_places = _places(mapping.items.values(), places)

    def is_head(self, row: Record) -> bool:
        return any(self._clean(row.cells[place]) for place in self._own)

    def has_item(self, row: Record) -> bool:
        return any(self._clean(row.cells[place]) for place in self._item_places)


def _places(sources: Iterable[Source], places: dict[str, int]) -> list[int]:
    return [places[name] for source in sources for name in source.theirs() if name in places]


def _translated(translation: Translation, row: Record) -> Record:
    try:
        return translation.record(row)
    except CellError as error:
        raise _BadRow(Record(translation.shape, row.line, row.cells, row.cells), str(error)) from None  # fmt: skip
