"""Temporary tables: what the statements of one refresh hand to each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, PrimaryKeyConstraint, Table, insert
from sqlalchemy.schema import CreateTable

_creations: dict[tuple[str, Table], str] = {}
_SQLITE_SORTER = -8000  # SQLite counts pages, and KiB where the number is negative
_MORE_WORK_MEM = """\
SELECT set_config('work_mem', greatest(setting::bigint, 32768)::text, true) FROM pg_settings WHERE name = 'work_mem'
"""


def keyed(*names: str) -> PrimaryKeyConstraint:
    """The key of a temporary table that SQLite keeps in its order. PostgreSQL joins and groups by hashing, and an index
    beside a table that is filled in no order costs it more than all the rest."""
    return PrimaryKeyConstraint(*names).ddl_if(dialect="sqlite")


def make(connection: Connection, *tables: Table) -> None:
    """Create temporary tables that are not there.

    SQLAlchemy would write each out anew every time, and for a push of one customer that is much of the work.
    """
    for table in tables:
        key = (connection.dialect.name, table)
        if key not in _creations:
            _creations[key] = str(CreateTable(table).compile(dialect=connection.dialect))
        connection.exec_driver_sql(_creations[key])


def fill(connection: Connection, table: Table, question: Any) -> None:
    """With what a SELECT finds, its columns in the table's order."""
    names = [column.name for column in table.c]
    connection.execute(insert(table).from_select(names, question))


def drop(connection: Connection, *tables: Table) -> None:
    for table in tables:
        connection.exec_driver_sql(f"DROP TABLE {table.name}")


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
        connection.exec_driver_sql(_MORE_WORK_MEM)
        yield
        connection.exec_driver_sql("SET LOCAL work_mem TO DEFAULT")
        return
    size = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql(f"PRAGMA cache_size = {_SQLITE_SORTER}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = {size}")
