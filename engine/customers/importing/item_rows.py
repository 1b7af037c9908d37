"""Order items from an import: an order's items are replaced whole, wherever in the file they stand.

The rows are spooled through a temporary SQLite file and come back sorted by order, so that memory stays bounded
however the file is sorted.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, delete, insert, select

from engine.customers.importing import cells
from engine.customers.importing.job import CellError, Job, RowReader, Values
from engine.customers.importing.records import Columns, Record, Shape
from engine.customers.profiles.kept import forget_items
from engine.customers.touched import Touched
from engine.store.among import among
from engine.store.tables import order_items, orders, products
from engine.store.upsert import find

COLUMNS = Columns(
    known=("order_id", "sku", "title", "category", "brand", "size", "quantity", "price"),
    required=("order_id",),
)
_WRITTEN = ("sku", "title", "category", "brand", "size", "quantity", "price")
_CHUNK = 1000
_MOST_PAID = 10**15
"""In the smallest unit: thousands of such items add up to what 64 bits hold."""

_OWNERS = select(orders.c.customer_id).where(among(orders.c.id, "changed"))
Order = tuple[str, list[Record]]
"""An order's own id and its item rows."""


class Spool:
    """Records set aside, to be given back order by order, each order's in the order of the file."""

    def __init__(self) -> None:
        self._shapes: dict[Shape, int] = {}
        self._disk = sqlite3.connect("", isolation_level=None)  # a file of its own that nobody sees
        self._disk.execute("PRAGMA journal_mode = OFF")
        self._disk.execute("CREATE TABLE spool (ref TEXT, line INTEGER, shape INTEGER, cells TEXT)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._disk.close()

    def add(self, records: Iterable[Record], ref: Callable[[Record], str]) -> None:
        """Set these records aside. `ref`: the id of the order that a record belongs to."""
        numbers = self._shapes
        rows = [
            (
                ref(record), record.line, numbers.setdefault(record.shape, len(numbers)),
                json.dumps((record.cells, record.written, record.fault)),
            )
            for record in records
        ]  # fmt: skip
        self._disk.execute("BEGIN")
        self._disk.executemany("INSERT INTO spool VALUES (?, ?, ?, ?)", rows)
        self._disk.execute("COMMIT")

    def batches(self, size: int) -> Iterator[list[Order]]:
        """Whole orders, so many that they have `size` rows or a few more."""
        rows = self._disk.execute("SELECT ref, line, shape, cells FROM spool ORDER BY ref, line")
        shapes = list(self._shapes)
        batch: list[Order] = []
        count = 0
        for ref, lines in groupby(rows, key=lambda row: row[0]):
            records = [Record(shapes[row[2]], row[1], *json.loads(row[3])) for row in lines]
            batch.append((ref, records))
            count += len(records)
            if count >= size:
                yield batch
                batch, count = [], 0
        if batch:
            yield batch


def order_of(record: Record) -> str:
    """The id of the order that an item belongs to."""
    place = record.shape.places.get("order_id")
    return "" if place is None else record.cells[place].strip()


class ItemRows:
    """Lands items. `touched` learns whose orders have other items now."""

    columns = COLUMNS

    def __init__(self, job: Job, touched: Touched) -> None:
        self._job, self._touched = job, touched
        self._readers = _readers(job)
        self._plans: dict[Shape, RowReader] = {}

    def land(self, connection: Connection, batch: Sequence[Order]) -> None:
        """Replace the items of these orders where they differ. Rejected are the rows of an unknown order, and all of an
        order with a bad row: some of its items would take the place of all, when the mended row is imported too."""
        known = find(connection, orders, "ref", [ref for ref, _ in batch], "id")
        new: dict[int, list[tuple[Any, ...]]] = {}
        for ref, records in batch:
            if ref in known:
                items, faults = self.read(records)
                if faults:
                    self._reject(records, faults)
                else:
                    new[known[ref][0]] = items
            else:
                for record in records:
                    self._job.reject(record, record.fault or f"order_id: there is no order {ref!r}")
        self.write(connection, new)

    def _reject(self, records: Sequence[Record], faults: Mapping[int, str]) -> None:
        with_it = f"line {min(faults)} of the same order was rejected"
        for record in records:
            self._job.reject(record, faults.get(record.line, with_it))

    def write(self, connection: Connection, new: Mapping[int, list[tuple[Any, ...]]]) -> None:
        """Replace the items of these orders (internal id → values of _WRITTEN) where they differ. What a file does not
        say of a category or brand is that of the product."""
        new = _with_products(connection, new)
        there = _items_of(connection, list(new))
        changed = {order: items for order, items in new.items() if items != there.get(order, [])}
        _replace(connection, changed)
        if changed:
            owners = connection.execute(_OWNERS, {"changed": list(changed)}).scalars()
            self._touched.add(owners)
        self._count(new, there, changed)

    def reader(self, shape: Shape) -> RowReader:
        """Reads the cells of this shape, in the order of COLUMNS.known."""
        reader = self._plans.get(shape)
        if reader is None:
            reader = self._plans[shape] = _ItemReader(shape, self._readers)
            for name in shape.extras:
                self._job.notes.add("columns of the items are not known and were left out", repr(name))  # fmt: skip
        return reader

    def read(self, records: Sequence[Record]) -> tuple[list[tuple[Any, ...]], dict[int, str]]:
        """The values of _WRITTEN of the records that can be read, and by its line what is wrong with each other one."""
        found, faults = [], {}
        for record in records:
            try:
                if record.fault is not None:
                    raise CellError(record.fault)
                found.append(self.reader(record.shape).read(record.cells)[1:])
            except CellError as error:
                faults[record.line] = str(error)
        return found, faults

    def _count(
        self,
        new: Mapping[int, list[tuple[Any, ...]]],
        there: dict[int, list[tuple[Any, ...]]],
        changed: dict[int, list[tuple[Any, ...]]],
    ) -> None:
        for order, items in new.items():
            written = len(items) if order in changed else 0
            self._job.tally.landed(len(items), written, 0 if order in there else written)


class _ItemReader(RowReader):
    """Reads items; what one costs must add up with that of others in a whole number of the database."""

    def read(self, written: Sequence[str]) -> Values:
        return _plausible(super().read(written))


def _plausible(values: Values) -> Values:
    """Raises CellError."""
    quantity, price = values[-2:]
    if quantity and price and quantity * price > _MOST_PAID:
        raise CellError("price: times the quantity is more than anybody pays")
    return values


def _readers(job: Job) -> dict[str, cells.Cell]:
    """In the order of COLUMNS.known."""
    return {
        "order_id": cells.identifier,
        "sku": cells.text,
        "title": cells.text,
        "category": cells.name,
        "brand": cells.name,
        "size": cells.text,
        "quantity": cells.optional(cells.whole_number),
        "price": cells.optional(job.money),
    }


def _with_products(
    connection: Connection, new: Mapping[int, list[tuple[Any, ...]]]
) -> dict[int, list[tuple[Any, ...]]]:
    """The same, with the category and brand of known products where the items have none."""
    lacking = {
        sku
        for items in new.values()
        for sku, _, category, brand, *_ in items
        if sku and not (category and brand)
    }
    known = find(connection, products, "sku", lacking, "category", "brand")
    if not known:
        return dict(new)

    def filled(item: tuple[Any, ...]) -> tuple[Any, ...]:
        sku, title, category, brand, *rest = item
        of_product = known.get(sku, (None, None))
        return (sku, title, category or of_product[0], brand or of_product[1], *rest)

    return {order: [filled(item) for item in items] for order, items in new.items()}


def _items_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[tuple[Any, ...]]]:
    columns = [order_items.c[name] for name in _WRITTEN]
    found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for start in range(0, len(ids), _CHUNK):
        question = (
            select(order_items.c.order_id, *columns)
            .where(order_items.c.order_id.in_(ids[start : start + _CHUNK]))
            .order_by(order_items.c.order_id, order_items.c.position)
        )
        for order, *values in connection.execute(question):
            found[order].append(tuple(values))
    return found


def _replace(connection: Connection, changed: dict[int, list[tuple[Any, ...]]]) -> None:
    ids = list(changed)
    forget_items(connection, ids)
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        connection.execute(delete(order_items).where(order_items.c.order_id.in_(some)))
    rows = [
        {"order_id": order, "position": position, **dict(zip(_WRITTEN, values, strict=True))}
        for order, items in changed.items()
        for position, values in enumerate(items, start=1)
    ]
    if rows:
        connection.execute(insert(order_items), rows)
