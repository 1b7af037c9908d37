"""Row 6: a campaign expanded for a million customers, each in their own zone, beside the plainest INSERT … SELECT that
writes as many rows into the same table with the same indexes. Row 6p: the same on PostgreSQL.

Ours works out what is due in each zone, asks the audience, checks the unique key, and commits 10,000 rows at a time; the
plain statement writes constants in one transaction. BENCH_EXPANDED=100000 takes a smaller shop.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, text

from bench import postgres
from bench.rows import Measured, Row
from engine.definitions.version import digest
from engine.planning.expansion import expand
from engine.store.catalog import CatalogReader
from engine.store.migrate import upgrade
from engine.store.session import Store
from engine.store.tables import customers, definitions, deliveries, runs

PEOPLE = int(os.environ.get("BENCH_EXPANDED", "1000000"))
_REPETITIONS = 3
_NOW = datetime(2026, 1, 5, tzinfo=UTC)
_ZONES = (
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    None,
)
_FILE = "campaigns/everybody.yaml"
_CAMPAIGN = """\
kind: campaign
class: marketing
schedule: {at: "2026-01-05T10:00", timezone: customer}
audience: {all: []}
steps: [{id: mail, email: {subject: Hello, template: hello}}]
"""
_FILES = {_FILE: _CAMPAIGN, "templates/email/hello.html.j2": "<p>hello</p>"}
_PLAIN = """\
INSERT INTO deliveries (public_id, run_id, definition, step, customer_id, anchor, digest, class, priority, state,
                        due_at, next_at, not_after, deferrals, channel_index, attempts, created_at)
SELECT {public_id}, :run, 'everybody', 'mail', id, 'at:2026-01-05T10:00', :digest, 'marketing', 50, 'planned',
       created_at, created_at, updated_at, 0, 0, 0, created_at FROM customers
"""
_PUBLIC_ID = {
    "sqlite": "lower(hex(randomblob(10)))",
    "postgresql": "substr(md5(gen_random_uuid()::text), 1, 20)",
}


def _lay_down(connection: Connection) -> None:
    """The customers, and the campaign in force."""
    for first in range(0, PEOPLE, 20_000):
        connection.execute(
            insert(customers),
            [
                {"ref": f"{number}", "email": f"c{number}@example.com", "email_domain": "example.com",
                 "timezone": _ZONES[number % len(_ZONES)], "attributes": {}, "created_at": _NOW, "updated_at": _NOW}
                for number in range(first, min(first + 20_000, PEOPLE))
            ],
        )  # fmt: skip
    connection.execute(
        insert(definitions).values(
            kind="campaign", name="everybody", path=_FILE, files=_FILES,
            digest=digest(_FILES), current=True, applied_at=_NOW, applied_by="bench",
        )
    )  # fmt: skip


def _plain(store: Store) -> None:
    with store.write() as connection:
        run = connection.execute(
            insert(runs).values(
                definition="everybody", occurrence="plain", digest="d", priority=50, state="open",
                created_at=_NOW,
            )
        ).inserted_primary_key  # fmt: skip
        assert run is not None
        statement = _PLAIN.format(public_id=_PUBLIC_ID[connection.dialect.name])
        connection.execute(text(statement), {"run": run[0], "digest": "d"})


def _expanded(store: Store) -> None:
    with store.read() as connection:
        catalog = CatalogReader().read(connection)
    expand(store, catalog, _NOW)


def _seconds(store: Store, work: Callable[[Store], None]) -> float:
    started = time.perf_counter()
    work(store)
    seconds = time.perf_counter() - started
    with store.read() as connection:
        made = connection.execute(select(func.count()).select_from(deliveries)).scalar_one()
    assert made == PEOPLE, made
    return seconds


@contextmanager
def _sqlite_copies() -> Iterator[Callable[[], Store]]:
    """Fresh copies of the shop, one after the other."""
    with tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder:
        made = Path(folder) / "made.db"
        store = Store(f"sqlite:///{made}")
        upgrade(store)
        with store.write() as connection:
            _lay_down(connection)
        store.close()

        def fresh() -> Store:
            copy = Path(folder) / "copy.db"
            for old in copy.parent.glob("copy.db*"):
                old.unlink()
            shutil.copyfile(made, copy)
            return Store(f"sqlite:///{copy}")

        yield fresh


def _in_turn(name: str, measure: Callable[[Callable[[Store], None]], float]) -> Measured:
    ratios, notes = [], []
    for _ in range(_REPETITIONS):
        plain, ours = measure(_plain), measure(_expanded)
        ratios.append(ours / plain)
        notes.append(
            f"plain {plain:.1f} s, expansion {ours:.1f} s ({PEOPLE / ours:,.0f} rows a second)"
        )
    how = f"expansion ÷ plain INSERT … SELECT, {PEOPLE:,} rows, six zones, {name}"
    return Measured(ratios, how, notes)


def _on_sqlite() -> Measured:
    with _sqlite_copies() as fresh:

        def measure(work: Callable[[Store], None]) -> float:
            store = fresh()
            try:
                return _seconds(store, work)
            finally:
                store.close()

        return _in_turn("SQLite", measure)


def _on_postgres() -> Measured:
    with postgres.server() as address, postgres.database(address, "made") as made:
        with made.write() as connection:
            _lay_down(connection)
        made.close()

        def measure(work: Callable[[Store], None]) -> float:
            with postgres.copy(address, "made") as store:
                return _seconds(store, work)

        return _in_turn("PostgreSQL", measure)


EXPANSION_ROWS = (
    Row("6", "expansion of a campaign", _on_sqlite, 2.2, 1.3, more_is_better=False, binds=True),
    Row("6p", "the same on PostgreSQL", _on_postgres, 2.2, 1.3, more_is_better=False, binds=True),
)
