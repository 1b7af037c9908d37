"""Bringing the database to this version's schema, and telling whether it is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, delete

from engine.errors import StoreError
from engine.store import tables
from engine.store.session import Store


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The revision that the database is at (None: empty) and the one that this program wants."""

    current: str | None
    wanted: str

    @property
    def is_current(self) -> bool:
        return self.current == self.wanted


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def status(store: Store) -> SchemaStatus:
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    assert wanted is not None
    with store.read() as connection:
        return SchemaStatus(MigrationContext.configure(connection).get_current_revision(), wanted)


def upgrade(store: Store) -> SchemaStatus:
    """Run what is missing, in one transaction. Safe to run twice and at the same time."""
    with store.write() as connection:
        if not store.is_sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7305814301)")
        command.upgrade(_config(connection), "head")
        # A newer zone database may be installed: the rows are made anew when they are next needed.
        connection.execute(delete(tables.zone_offsets))
    return status(store)


def require_current(store: Store) -> None:
    """Raise StoreError where the schema is not this program's: SQLite is migrated by any command, PostgreSQL by hand."""
    found = status(store)
    if found.is_current:
        return
    if store.is_sqlite:
        upgrade(store)
        return
    state = "empty" if found.current is None else f"at revision {found.current}"
    raise StoreError(
        f"database: {state}, this program wants {found.wanted}; run `yanshu db upgrade`"
    )
