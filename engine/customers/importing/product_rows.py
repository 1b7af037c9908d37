"""Products from an import. Items that were sold without a category or brand get those of their product."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from engine.customers.importing import cells
from engine.customers.importing.job import Job, RowReader
from engine.customers.importing.records import Columns, Record, Shape
from engine.customers.importing.repeats import Repeats
from engine.customers.profiles.kept import forget_products
from engine.definitions.import_columns import PRODUCTS
from engine.store.among import among
from engine.store.tables import order_items, orders, products
from engine.store.upsert import Upsert, find, merge_json

_WRITTEN = (*PRODUCTS.known, "attributes")
_OF_ITEMS = ("category", "brand")


class ProductRows:
    """Lands products, by their sku. A column that the file lacks is left as it is; a blank cell empties it."""

    columns = Columns(known=PRODUCTS.known, required=PRODUCTS.required)

    def __init__(self, job: Job) -> None:
        self._job = job
        self._repeats = Repeats(job, products)
        self._readers: dict[str, cells.Cell] = {
            "sku": cells.identifier,
            "title": cells.text,
            **dict.fromkeys(_OF_ITEMS, cells.name),
            **dict.fromkeys(("url", "image"), cells.text),
            "price": cells.optional(job.money),
        }
        self._plan = lru_cache(maxsize=1000)(self._make_plan)
        self.changed = False

    def land(self, connection: Connection, shape: Shape, records: Sequence[Record]) -> None:
        """Write these rows; of several with one sku the last wins."""
        reader, pick, upsert = self._plan(shape)
        rows: dict[str, tuple[Any, ...]] = {}
        read = self._job.read_all(reader, records)
        for record, values in read:
            rows[values[0]] = pick((*values, reader.attributes(record.cells)))
        there = find(connection, products, "sku", rows, *_OF_ITEMS, "id")
        self._repeats.note(connection, read, there)
        forget_products(connection, _changing(upsert.columns, rows, there))
        changed = upsert.run(connection, list(rows.values()), there)
        self.changed |= changed > 0
        self._job.tally.landed(len(read), changed, len(rows) - len(there))

    def _make_plan(self, shape: Shape) -> tuple[RowReader, Any, Upsert]:
        columns = [name for name in _WRITTEN if name in shape.places or name == "attributes"]
        upsert = Upsert(
            products, ["sku"], columns,
            kept=() if shape.extras else ["attributes"],
            rules={"attributes": merge_json("attributes", on_sqlite=self._job.as_number)},
        )  # fmt: skip
        pick = itemgetter(*[_WRITTEN.index(name) for name in columns])
        return RowReader(shape, self._readers), pick, upsert


def _changing(
    columns: Sequence[str], rows: Mapping[str, tuple[Any, ...]], there: Mapping[str, Any]
) -> list[str]:
    """The products (sku → values of `columns`) whose category or brand becomes another. `there`: what these are now."""
    places = [(columns.index(name), slot) for slot, name in enumerate(_OF_ITEMS) if name in columns]
    unknown = (None,) * len(_OF_ITEMS)
    return [
        sku
        for sku, row in rows.items()
        if any(row[place] != there.get(sku, unknown)[slot] for place, slot in places)
    ]


def fill_items(connection: Connection) -> int:
    """Give items without a category or brand those of their product, where that has them. Returns how many changed.

    What an item was sold as stays: a product that moves to another category takes no old order with it. Nobody's count
    changes by it: an item without a category counts as of its product's anyway.
    """
    filling = _FILL.where(_LACKS).execution_options(preserve_rowcount=True)
    return connection.execute(filling).rowcount


def fill_items_of(connection: Connection, skus: Collection[str]) -> list[int]:
    """The same for the items of these products alone. Returns the customers who ordered what changed."""
    known = [row[0] for row in find(connection, products, "sku", skus, "id").values()]
    lacking = connection.execute(_LACKING, {"products": known}).all() if known else []
    if lacking:
        filling = _FILL.where(_LACKS, among(order_items.c.id, "ids"))
        connection.execute(filling, {"ids": [row[0] for row in lacking]})
    return [row[1] for row in lacking]


_LACKS = or_(*[order_items.c[name].is_(None) & products.c[name].is_not(None) for name in _OF_ITEMS])
_FILL = (
    update(order_items)
    .values({name: func.coalesce(order_items.c[name], products.c[name]) for name in _OF_ITEMS})
    .where(order_items.c.sku == products.c.sku)
)
_LACKING = (
    select(order_items.c.id, orders.c.customer_id)
    .join(orders, orders.c.id == order_items.c.order_id)
    .join(products, products.c.sku == order_items.c.sku)
    .where(among(products.c.id, "products"), _LACKS)
)


def has_items(connection: Connection) -> bool:
    """Whether any order's items are known."""
    return connection.execute(select(order_items.c.id).limit(1)).first() is not None
