"""The customers that a refresh is about, as a temporary table: one statement for any number of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Select, Table, insert, select

from engine.store.types import BigId

_chosen = Table(
    "chosen", MetaData(),
    Column("id", BigId, primary_key=True, autoincrement=False),
    prefixes=["TEMPORARY"],
)  # fmt: skip

_SORTER_KIB = -8000  # SQLite counts pages, and KiB where the number is negative


@contextmanager
def choosing(connection: Connection, ids: Sequence[int] | None) -> Iterator[Select[Any] | None]:
    """The ids as a subquery, for as long as it lasts; None for all customers."""
    if ids is None:
        yield None
        return
    _chosen.create(connection)
    wanted = [{"id": number} for number in sorted(set(ids))]
    if wanted:
        connection.execute(insert(_chosen), wanted)
    analyze(connection, _chosen)
    yield select(_chosen.c.id)
    _chosen.drop(connection)


def analyze(connection: Connection, *tables: Table) -> None:
    """PostgreSQL knows nothing of the size of a temporary table until it is told to look."""
    if connection.dialect.name == "postgresql":
        for table in tables:
            connection.exec_driver_sql(f"ANALYZE {table.name}")


@contextmanager
def small_sorters(connection: Connection) -> Iterator[None]:
    """SQLite lets each sorter of a statement grow as large as its page cache, and the usual hours need four at once:
    128 MiB for a million orders."""
    if connection.dialect.name != "sqlite":
        yield
        return
    size = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql(f"PRAGMA cache_size = {_SORTER_KIB}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = {size}")
