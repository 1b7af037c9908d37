"""Temporary tables: what the statements of one piece of work hand to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    PrimaryKeyConstraint,
    Select,
    Table,
    insert,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.visitors import InternalTraversal

_creations: dict[tuple[str, Table], str] = {}
_SQLITE_SORTER = -8000  # SQLite counts pages, and KiB where the number is negative
_FOR_LARGE_TABLES = """\
SELECT set_config('work_mem', greatest(setting::bigint, 32768)::text, true),
       set_config('default_statistics_target', '10', true)
FROM pg_settings WHERE name = 'work_mem'
"""

_IS_THERE = {
    "sqlite": text("SELECT 1 FROM sqlite_temp_master WHERE type = 'table' AND name = :name"),
    "postgresql": text("SELECT to_regclass('pg_temp.' || CAST(:name AS text))"),
}


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


def is_there(connection: Connection, table: Table) -> bool:
    """Whether this connection has that temporary table."""
    asked = _IS_THERE[connection.dialect.name]
    return connection.execute(asked, {"name": table.name}).scalar() is not None


def fill(
    connection: Connection, table: Table, question: Any, values: Mapping[str, Any] | None = None
) -> None:
    """With what a SELECT finds, its columns in the table's order. `values`: of the parameters that the question has."""
    names = [column.name for column in table.c]
    connection.execute(insert(table).from_select(names, question), values)


def make_of(
    connection: Connection, table: Table, question: Any, values: Mapping[str, Any] | None = None
) -> None:
    """Create a temporary table that is not there, of what a SELECT finds, its columns in the table's order.

    PostgreSQL writes such a table a page at a time and an INSERT row by row: half of the time of a large one. Keys it has
    none there.
    """
    if connection.dialect.name == "postgresql":
        names = ", ".join(column.name for column in table.c)
        connection.execute(_TableOf(f"{table.name} ({names})", question), values)
    else:
        make(connection, table)
        fill(connection, table, question, values)


class _TableOf(Executable, ClauseElement):
    """CREATE TEMPORARY TABLE … AS, as PostgreSQL has it."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 — SQLAlchemy wants a list
        ("shape", InternalTraversal.dp_string),
        ("question", InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, shape: str, question: Select[Any]) -> None:
        self.shape, self.question = shape, question


@compiles(_TableOf, "postgresql")
def _table_of(element: Any, compiler: Any, **kw: Any) -> str:
    return f"CREATE TEMPORARY TABLE {element.shape} AS {compiler.process(element.question, **kw)}"


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
    PostgreSQL, by default, goes to the disk beyond 4 MiB. And its ANALYZE of a temporary table looks at 3,000 rows here in
    place of 30,000, which would be a tenth of the work.
    """
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(_FOR_LARGE_TABLES)
        yield
        for name in ("work_mem", "default_statistics_target"):
            connection.exec_driver_sql(f"SET LOCAL {name} TO DEFAULT")
        return
    size = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql(f"PRAGMA cache_size = {_SQLITE_SORTER}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = {size}")
