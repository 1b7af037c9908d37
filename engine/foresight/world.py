"""A world to try things out in: a copy of the shop's database in a temporary SQLite file, gone afterwards.

The real store is only read, in one reading transaction that blocks nobody. Memory stays bounded: SQLite copies its own
pages, PostgreSQL streams rows in parts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from engine.store.apart import copy_pages, throwaway
from engine.store.run_rows import IN_HAND
from engine.store.session import Store
from engine.store.tables import State, attempts, audit, decisions, deliveries, leases, metadata

_CHUNK = 10_000
_LEFT_BEHIND = frozenset({leases.name, audit.name, attempts.name, decisions.name})
"""What no trigger, audience or cap asks for. (The SQLite copy is of whole pages and brings them along.)"""


@contextmanager
def copied_world(store: Store) -> Iterator[Store]:
    """A store of one's own with what is in this one; messages on their way count as sent there.

    Raises StoreError where the copy finds no room.
    """
    with tempfile.TemporaryDirectory(prefix="yanshu-world-") as folder:  # for its owner only
        path = Path(folder) / "world.db"
        if store.is_sqlite:
            copy_pages(store, path)
        world = throwaway(path)
        try:
            if not store.is_sqlite:
                _copy_rows(store, world)
            _settle(world)
            yield world
        finally:
            world.close()


def _copy_rows(store: Store, world: Store) -> None:
    metadata.create_all(world.engine)
    with store.read() as source:
        # All tables as of one moment.
        source.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for table in metadata.sorted_tables:
            if table.name not in _LEFT_BEHIND:
                _copy_table(source, world, table)


def _copy_table(source: Connection, world: Store, table: Table) -> None:
    rows = source.execute(select(table), execution_options={"yield_per": _CHUNK})
    for part in rows.partitions(_CHUNK):
        with world.write() as connection:
            connection.execute(insert(table), [dict(row._mapping) for row in part])


def _settle(world: Store) -> None:
    """Nobody else acts in this world: leases are free, and what was handed to workers arrives."""
    with world.write() as connection:
        connection.execute(delete(leases))
        arrive(connection)


def arrive(connection: Connection) -> None:
    """Everything that is queued or on its way was sent when it was to go."""
    sent_at = func.coalesce(deliveries.c.send_at, deliveries.c.admitted_at)
    connection.execute(
        update(deliveries)
        .where(IN_HAND, deliveries.c.state.in_((State.QUEUED, State.SENDING)))
        .values(
            state=State.SENT.value, sent_at=sent_at, ended_at=sent_at, first_attempt_at=sent_at,
            attempts=deliveries.c.attempts + 1, batch=None, reason=None,
        )
    )  # fmt: skip
