"""Filling a table without its indexes, and making them after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Table, literal, select

_WORTH_IT = 50_000  # rows for which to make indexes anew costs less


@contextmanager
def indexes_after(connection: Connection, table: Table, coming: Table) -> Iterator[None]:
    """PostgreSQL takes as many rows as `coming` has into an empty table without its indexes, save the key, and makes these
    after: row by row they are a third of the work. Whoever reads the table waits until the transaction ends."""
    indexes = []
    if connection.dialect.name == "postgresql" and _is_first(connection, table, coming):
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
    for index in indexes:
        index.drop(connection)
    yield
    for index in indexes:
        index.create(connection)


def _is_first(connection: Connection, table: Table, coming: Table) -> bool:
    one = select(literal(1))
    if connection.execute(one.select_from(table).limit(1)).first() is not None:
        return False
    return (
        connection.execute(one.select_from(coming).offset(_WORTH_IT).limit(1)).first() is not None
    )
