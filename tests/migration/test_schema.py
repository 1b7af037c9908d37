"""Migrations build exactly the models' schema, on both databases."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select

from engine.store import tables
from engine.store.migrate import MIGRATIONS, newest_revision, status, upgrade
from engine.store.session import Store


def test_migrations_build_exactly_the_models_schema(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []


def test_upgrading_twice_changes_nothing(store: Store) -> None:
    assert status(store).is_current
    assert upgrade(store).is_current


def test_the_newest_file_is_where_alembic_stops() -> None:
    assert newest_revision() == ScriptDirectory(str(MIGRATIONS)).get_current_head()


def test_an_empty_database_is_at_no_revision(tmp_path: Path) -> None:
    empty = Store(f"sqlite:///{tmp_path / 'empty.db'}")
    assert status(empty).current is None
    assert not status(empty).is_current
    empty.close()


def test_a_moment_comes_back_aware_and_exact(store: Store) -> None:
    from datetime import UTC, datetime

    moment = datetime(2026, 11, 9, 2, 0, 0, 123456, tzinfo=UTC)
    with store.write() as connection:
        connection.execute(tables.pauses.insert().values(target="all", at=moment, by="test"))
    with store.read() as connection:
        assert connection.execute(select(tables.pauses.c.at)).scalar_one() == moment
