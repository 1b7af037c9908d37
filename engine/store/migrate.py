"""Bringing the database to this version's schema, and telling whether it is there.

Every command and every process asks whether it is there; Alembic, which takes longer to load than the question, is
loaded where there is something to migrate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, inspect

from engine.errors import StoreError
from engine.store import tables
from engine.store.session import Store

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The revision that the database is at (None: empty) and the one that this program wants."""

    current: str | None
    wanted: str

    @property
    def is_current(self) -> bool:
        return self.current == self.wanted


def status(store: Store) -> SchemaStatus:
    with store.read() as connection:
        return SchemaStatus(_current(connection), newest_revision())


def newest_revision() -> str:
    """The revision that the migrations lead to: their files' names begin with it, `0001`, `0002` and so on."""
    return max(path.name.partition("_")[0] for path in MIGRATIONS.glob("versions/[0-9]*.py"))


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql(
        "SELECT version_num FROM alembic_version"
    ).scalar_one_or_none()


def upgrade(store: Store) -> SchemaStatus:
    """Run what is missing, in one transaction. Safe to run twice and at the same time."""
    from alembic import command

    with store.write() as connection:
        if not store.is_sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7305814301)")
        command.upgrade(_config(connection), "head")
        # A newer zone database may be installed: the rows are made anew when they are next needed.
        connection.execute(delete(tables.zone_offsets))
    return status(store)


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


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
