"""The database's own manners: who waits for whom, and what a person is told."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from engine.errors import StoreError
from engine.store import session
from engine.store.migrate import upgrade
from engine.store.session import Store
from engine.store.tables import audit
from engine.store.watch import Watch

NOW = datetime(2026, 11, 2, tzinfo=UTC)


def write_one(store: Store, entered: threading.Event, leave: threading.Event) -> None:
    with store.write() as connection:
        entered.set()
        leave.wait(30)
        connection.execute(audit.insert().values(at=NOW, by="op", action="test", data={}))


@pytest.fixture
def shop(tmp_path: Path) -> Store:
    store = Store(f"sqlite:///{tmp_path / 'shop.db'}")
    upgrade(store)
    return store


def test_a_writer_waits_until_another_connection_lets_go_of_the_lock(shop: Store) -> None:
    other = Store(str(shop.url))
    entered, leave, second = threading.Event(), threading.Event(), threading.Event()
    first = threading.Thread(target=write_one, args=(other, entered, leave))
    first.start()
    assert entered.wait(30)
    later = threading.Thread(target=write_one, args=(shop, second, leave))
    later.start()
    assert not second.is_set()
    leave.set()
    first.join(30)
    later.join(30)
    with shop.read() as connection:
        assert connection.execute(select(func.count()).select_from(audit)).scalar_one() == 2


def test_a_lock_that_is_never_let_go_is_told_and_the_next_try_works(
    shop: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_BUSY_TIMEOUT_MS", 20)
    other = Store(str(shop.url))
    with (
        other.write(),
        pytest.raises(StoreError, match=r"shop\.db: database is locked") as refused,
        shop.write(),
    ):
        pass
    assert session.is_passing(refused.value)
    with shop.write() as connection:
        connection.execute(audit.insert().values(at=NOW, by="op", action="test", data={}))


def test_a_watch_tells_once_that_another_connection_committed(store: Store) -> None:
    other = Store(store.url.render_as_string(hide_password=False))
    with Watch(store) as watch:
        watch.has_changed()
        assert not watch.has_changed()
        with other.write() as connection:
            connection.execute(audit.insert().values(at=NOW, by="op", action="test", data={}))
        assert watch.has_changed() is store.is_sqlite
        assert not watch.has_changed()
    other.close()
