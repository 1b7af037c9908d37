"""Row 15: `simulate --days 40` of a shop with the shipped example files, beside the same decisions made live without
sending: the daemon's own planner and dispatcher in the shop's database, looking at the same moments.

BENCH_FUTURE_PEOPLE and BENCH_FUTURE_DAYS set the size; five orders a customer, made up from a seed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, text, update

from bench.people import NOW, lay_down
from bench.rows import Measured, Row
from engine.customers.profiles.freshness import ensure_fresh
from engine.definitions.loader import Definitions, load, read_files
from engine.foresight.apply import rehearse
from engine.foresight.outcome import simulate
from engine.foresight.simulation import Passage
from engine.planning.look import look
from engine.settings import Settings
from engine.store.catalog import CatalogReader
from engine.store.migrate import upgrade
from engine.store.session import Store
from engine.store.tables import customers

PEOPLE = int(os.environ.get("BENCH_FUTURE_PEOPLE", "100000"))
DAYS = timedelta(days=int(os.environ.get("BENCH_FUTURE_DAYS", "40")))
_REPETITIONS = int(os.environ.get("BENCH_FUTURE_REPETITIONS", "3"))
_ROOT = Path(__file__).resolve().parent.parent


class _Live(Passage):
    """The same moments in the shop's own database, with its commits, and every look as the daemon makes it."""

    def _look(self, moment: datetime) -> None:
        look(self.world, self.catalog, moment, self._reach(moment))


def _measure() -> Measured:
    ratios, notes = [], []
    with tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder:
        definitions = load(_files())
        settings = Settings(project=Path(folder), secret_key="bench", address_key="bench")
        path = Path(folder) / "shop.db"
        _make_up(Store(f"sqlite:///{path}"), definitions)
        for number in range(_REPETITIONS):
            copy = Path(folder) / f"live{number}.db"
            shutil.copy(path, copy)
            started = time.perf_counter()
            future = simulate(Store(f"sqlite:///{path}"), definitions, settings, NOW, DAYS)
            foreseen = time.perf_counter() - started
            live, decided = _live(Store(f"sqlite:///{copy}"), definitions, settings)
            copy.unlink()
            ratios.append(foreseen / live)
            notes.append(
                f"simulate {foreseen:.0f} s, live {live:.0f} s, {future.sent:,} sent, {decided:,} decisions"
            )
    how = f"{DAYS.days} days of {PEOPLE:,} customers with {5 * PEOPLE:,} orders, the example files, SQLite"
    return Measured(ratios, how, notes)


def _files() -> dict[str, str]:
    files = dict(read_files(_ROOT / "config"))
    for path in (_ROOT / "templates").rglob("*.j2"):
        files[path.relative_to(_ROOT).as_posix()] = path.read_text(encoding="utf-8")
    return files


def _make_up(store: Store, definitions: Definitions) -> None:
    """The shop of the rows about people, with addresses, consents and birthdays."""
    upgrade(store)
    with store.write() as connection:
        lay_down(connection, PEOPLE, 5 * PEOPLE)
        _make_reachable(connection)
    ensure_fresh(store, definitions.policy, NOW)
    with store.write() as connection:
        connection.execute(text("ANALYZE"))
    with store.read() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


def _make_reachable(connection: Connection) -> None:
    connection.execute(
        update(customers).values(
            email=text("'c' || id || '@example.com'"), email_hash=text("'hash' || id"),
            email_domain="example.com", birthday_month=text("1 + id % 12"),
            birthday_day=text("1 + id % 28"),
        )
    )  # fmt: skip
    connection.execute(
        text(
            "INSERT INTO consents (address_hash, channel, class, granted, at, source)"
            " SELECT email_hash, 'email', c.value, 1, 0, 'import' FROM customers,"
            ' json_each(\'["marketing", "care"]\') c WHERE customers.id % 10 <> 0'
        )
    )


def _live(store: Store, definitions: Definitions, settings: Settings) -> tuple[float, int]:
    started = time.perf_counter()
    rehearse(store, definitions, NOW, by="bench")
    with store.read() as connection:
        catalog = CatalogReader().read(connection)
    passage = _Live(store, catalog, settings, NOW, NOW + DAYS)
    passage.run()
    seconds = time.perf_counter() - started
    store.close()
    return seconds, passage.decided


FUTURE_ROW = Row(
    "15",
    "simulate --days 40 ÷ the same decisions made live",
    _measure,
    3,
    1,
    more_is_better=False,
    binds=False,
)
