"""Trying something out on the shop's data: whatever is written there is gone afterwards."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event

from engine.errors import StoreError
from engine.store.session import Store


@contextmanager
def apart(store: Store) -> Iterator[Connection]:
    """A transaction of which nothing stays. On SQLite, whose only writer it would be, in a copy: nobody waits for it.

    Raises StoreError where the copy finds no room.
    """
    if not store.is_sqlite:
        with store.write() as connection:
            yield connection
            connection.rollback()
        return
    with tempfile.TemporaryDirectory(prefix="yanshu-apart-") as folder:  # for its owner only
        path = Path(folder) / "shop.db"
        copy_pages(store, path)
        copy = throwaway(path)
        try:
            with copy.write() as connection:
                yield connection
        finally:
            copy.close()


def copy_pages(store: Store, path: Path) -> None:
    """The whole of a SQLite database as of one moment. Raises StoreError."""
    with store.read() as connection, sqlite3.connect(path) as copy:
        source: Any = connection.connection.driver_connection
        try:
            source.backup(copy)
        except sqlite3.Error as error:
            raise StoreError(f"the copy to {path.parent} failed: {error}") from error
    copy.close()


def throwaway(path: Path) -> Store:
    """A store in a file that need not survive a power cut."""
    store = Store(f"sqlite:///{path}")
    event.listen(store.engine, "connect", _write_in_haste)
    return store


def _write_in_haste(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = OFF")
    cursor.execute("PRAGMA foreign_keys = OFF")
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.execute("PRAGMA cache_size = -128000")
    cursor.close()
