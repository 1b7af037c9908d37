"""The customers that a refresh is about, as a temporary table: one statement for any number of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    Select,
    Table,
    insert,
    select,
)

from engine.store.types import BigId

_chosen = Table(
    "chosen", MetaData(),
    Column("id", BigId, primary_key=True, autoincrement=False),
    prefixes=["TEMPORARY"],
)  # fmt: skip

_SQLITE_SORTER = -8000  # SQLite counts pages, and KiB where the number is negative
_POSTGRESQL_SORTER = "64MB"


@contextmanager
def choosing(connection: Connection, ids: Sequence[int] | None) -> Iterator[Select[Any] | None]:
    """The ids as a subquery, for as long as it lasts; None for all customers."""
    if ids is None:
        yield None
        return
    _chosen.create(connection, checkfirst=False)
    wanted = [{"id": number} for number in sorted(set(ids))]
    if wanted:
        connection.execute(insert(_chosen), wanted)
    analyze(connection, _chosen)
    yield select(_chosen.c.id)
    _chosen.drop(connection, checkfirst=False)


def keyed(*names: str) -> PrimaryKeyConstraint:
    """The key of a temporary table that SQLite keeps in its order. PostgreSQL joins and groups by hashing, and an index
    beside a table that is filled in no order costs it more than all the rest."""
    return PrimaryKeyConstraint(*names).ddl_if(dialect="sqlite")


def analyze(connection: Connection, *tables: Table) -> None:
    """PostgreSQL knows nothing of the size of a temporary table until it is told to look."""
    if connection.dialect.name == "postgresql":
        for table in tables:
            connection.exec_driver_sql(f"ANALYZE {table.name}")


@contextmanager
def sorters(connection: Connection) -> Iterator[None]:
    """How much memory each sort of a statement may take, for as long as it lasts.

    SQLite lets each grow as large as its page cache, and the usual hours need four at once: 128 MiB for a million orders.
    PostgreSQL, by default, goes to the disk beyond 4 MiB.
    """
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(f"SET LOCAL work_mem = '{_POSTGRESQL_SORTER}'")
        yield
        connection.exec_driver_sql("SET LOCAL work_mem TO DEFAULT")
        return
    size = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql(f"PRAGMA cache_size = {_SQLITE_SORTER}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = {size}")
