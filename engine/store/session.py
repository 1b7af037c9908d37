"""Opening the database: one `Store` for SQLite and PostgreSQL, with short reads and writes as context managers."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, OperationalError
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

from engine.errors import StoreError

_BUSY_TIMEOUT_MS = 30_000
_LOCK_POLL_SECONDS = 0.001
"""SQLite itself would wait 1, 2, 5, 10, 15 … 100 ms between looks at the write lock: a worker slept on for as long again
after the dispatcher's 25 ms."""
_LASTING = frozenset({"53100", "28P01", "28000", "3D000"})
"""What waiting does not mend on PostgreSQL: a full disk, a wrong password, no such database."""
_BROKEN = (sqlite3.DatabaseError,)
"""Itself, none of its kinds: a file that is no database, or a damaged one."""


class Store:
    """The database behind everything. Safe to share between threads; open a new one after a fork.

    Raises StoreError for an address that names no database of ours, or a file that cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.url = _address(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgresql_engine(url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; on SQLite it never blocks a writer."""
        with self._told(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes, committed at the end. On SQLite it takes the write lock at once (BEGIN
        IMMEDIATE): a read that turns into a write would fail at once, whatever the time-out."""
        with self._told(), self.engine.connect() as plain:
            connection = plain.execution_options(yanshu_write=True)
            with connection.begin():
                yield connection

    def give_way(self) -> None:
        """Between two writes of one piece of work: SQLite's lock goes to whoever looks at the right moment, so let those who
        wait for it look."""
        if self.is_sqlite:
            time.sleep(2 * _LOCK_POLL_SECONDS)

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the driver's failures about the database itself into a sentence for a person."""
        try:
            yield
        except DatabaseError as error:
            if not (isinstance(error, OperationalError) or type(error.orig) in _BROKEN):
                raise
            # PostgreSQL's driver names the server itself.
            where = f"{self.url.database}: " if self.is_sqlite else ""
            raise StoreError(f"database: {where}{_first_line(error)}") from error


def _address(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:  # its text holds the whole address, with the password
        raise StoreError(
            "database: database_url is no address; write sqlite:///FILE or postgresql://user@host/name"
        ) from None


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else str(error)


def is_passing(error: BaseException) -> bool:
    """Whether waiting may help: a lock, a restart, a lost connection (not: full disk, read-only, no such table)."""
    cause = error.__cause__ if isinstance(error, StoreError) else error
    if not isinstance(cause, DBAPIError):
        return False
    text = str(cause.orig).lower()
    if isinstance(cause.orig, sqlite3.Error):
        return "locked" in text or "busy" in text
    if getattr(cause.orig, "sqlstate", None) in _LASTING:
        return False
    return isinstance(cause, OperationalError) or cause.connection_invalidated


waits_out_an_outage = retry(
    retry=retry_if_exception(is_passing),
    wait=wait_random_exponential(multiplier=0.1, max=5),
    stop=stop_after_delay(600),
    reraise=True,
)
"""Decorator: try again while the database is locked or away, for ten minutes at most. Only for whole transactions."""


def insert_ignoring(connection: Connection, table: Table, key: Sequence[str]) -> Any:
    """INSERT … ON CONFLICT (key) DO NOTHING in this database's dialect: what can run twice lands once.

    The result's `rowcount` says how many rows were new.
    """
    dialect = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    made = dialect(table).on_conflict_do_nothing(index_elements=list(key))
    return made.execution_options(preserve_rowcount=True)


def _sqlite_engine(url: str) -> Engine:
    path = make_url(url).database
    if path and path != ":memory:":
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            # Names and addresses are in it: for its owner only (SQLite gives its other files the same mode).
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise StoreError(f"database: {error.filename or path}: {error.strerror}") from error
    engine = create_engine(
        url, json_deserializer=_read_json, connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _read_json(text: str) -> Any:
    """Most customers have no attributes: their `{}` is worth no parser."""
    return {} if text == "{}" else json.loads(text)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is off: `_begin_sqlite` decides
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    # FULL: a commit must survive a power cut, or a message marked `sending` could go out twice.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA cache_size = -32000")
    # Every 16 MB in place of 4: the same pages are written again and again, and one of them is enough.
    cursor.execute("PRAGMA wal_autocheckpoint = 4000")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if not connection.get_execution_options().get("yanshu_write"):
        connection.exec_driver_sql("BEGIN")
        return
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 0")
    try:
        until = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
        while not _takes_the_lock(cursor) and time.monotonic() < until:
            time.sleep(_LOCK_POLL_SECONDS)
        if not cursor.connection.in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the refusal, in the library's words
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        cursor.close()


def _takes_the_lock(cursor: Any) -> bool:
    try:
        cursor.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        # What is no matter of waiting ends it too: the caller asks once more and is told.
        return error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY
    return True


def _postgresql_engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise StoreError(
            f"database: {parsed.drivername!r} is not supported; use sqlite:/// or postgresql://"
        )
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        json_deserializer=_read_json,
        pool_pre_ping=True,
        pool_size=10,
        connect_args={"connect_timeout": 10, "options": "-c timezone=UTC"},
    )
