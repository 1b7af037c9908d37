"""Records by the batch: as the file has them, or as whole orders."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from itertools import islice

from engine.customers.importing.item_rows import Spool
from engine.customers.importing.mapped_orders import MappedOrders
from engine.customers.importing.records import Record
from engine.definitions.mapping import ImportMapping


def batches(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """`size` records at a time; each list is emptied when the next one is asked for."""
    rest = iter(records)
    while batch := list(islice(rest, size)):
        yield batch
        batch.clear()
        gc.collect(0)


def orders_of(
    found: Iterable[list[Record]],
    spool: Spool,
    mapped: MappedOrders,
    mapping: ImportMapping,
    size: int,
) -> Iterator[list[list[Record]]]:
    """The rows of whole orders, a batch of orders at a time. A row without an order's id stands alone."""
    if mapping.rows == "order":
        for batch in found:
            yield [[record] for record in batch]
        return
    for batch in found:
        spool.add(batch, mapped.ref)
    for some in spool.batches(size):
        runs = ([rows] if ref else [[row] for row in rows] for ref, rows in some)
        yield [rows for run in runs for rows in run]
        gc.collect(0)
