"""The kinds of import, and what lands the rows of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from sqlalchemy import Connection

from engine.customers.importing.contact_rows import ContactRows
from engine.customers.importing.customer_rows import CustomerRows
from engine.customers.importing.event_rows import EventRows
from engine.customers.importing.job import Job
from engine.customers.importing.order_rows import OrderRows
from engine.customers.importing.product_rows import ProductRows
from engine.customers.importing.records import Columns, Record, Shape
from engine.customers.importing.suppression_rows import SuppressionRows
from engine.customers.importing.tag_rows import TagRows
from engine.customers.touched import Touched
from engine.definitions.campaign import Channel, MessageClass

Kind = Literal["customers", "orders", "products", "tags", "events", "contacts", "suppressions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSummary:
    """What became of a file's rows: read = inserted + updated + unchanged + rejected.

    `consents`: entries made in the ledger. `rejects_path`: None where no row was rejected. `reach`: customers of the
    whole shop who can be written to, by channel and class. `items`: the same for the `--items` file, or for the items
    that a mapped file of orders holds. `created`: customers made from orders.
    """

    kind: str
    read: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int
    consents: int
    warnings: tuple[str, ...]
    rejects_path: Path | None
    reach: Mapping[tuple[Channel, MessageClass], int]
    items: ImportSummary | None = None
    created: int = 0


class Rows(Protocol):
    """Lands one kind of rows."""

    @property
    def columns(self) -> Columns: ...

    def land(self, connection: Connection, shape: Shape, records: Sequence[Record]) -> None: ...


_TOUCHING: Mapping[str, Callable[[Job, Touched], Rows]] = {
    "customers": CustomerRows,
    "orders": OrderRows,
}
_ROWS: Mapping[str, Callable[[Job], Rows]] = {
    "products": ProductRows,
    "tags": TagRows,
    "events": EventRows,
    "contacts": ContactRows,
    "suppressions": SuppressionRows,
}


def rows_of(kind: Kind, job: Job, touched: Touched) -> Rows:
    """What lands rows of this kind. `touched` learns whose profiles have to be computed anew."""
    return _TOUCHING[kind](job, touched) if kind in _TOUCHING else _ROWS[kind](job)
