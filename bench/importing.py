"""Row cdnow: importing the 69,659 CDNOW orders beside a bare sqlite3 executemany of the same rows."""

from __future__ import annotations

import csv
import gzip
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.baselines.sqlite_orders import seconds as bare_seconds
from bench.rows import Measured, Row
from engine.customers.importing.files import import_file
from engine.definitions.loader import load_policy
from engine.settings import Settings
from engine.store.migrate import upgrade
from engine.store.session import Store

_SOURCE = Path(__file__).parent.parent / "tests" / "data" / "cdnow_orders.csv.gz"
_REPETITIONS = 3
_NOW = datetime(1998, 7, 1, tzinfo=UTC)


def _measure() -> Measured:
    ratios, notes = [], []
    for _ in range(_REPETITIONS):
        with tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder:
            bare = bare_seconds(_SOURCE, Path(folder) / "bare.db")
            ours = _import_seconds(Path(folder))
        ratios.append(ours / bare)
        notes.append(f"bare {bare:.2f} s, import {ours:.2f} s")
    return Measured(
        ratios,
        "import orders (checks, upsert, indexes, profiles) ÷ bare executemany, SQLite",
        notes,
    )


def _import_seconds(folder: Path) -> float:
    store = Store(f"sqlite:///{folder / 'shop.db'}")
    upgrade(store)
    settings, policy = Settings(address_key="bench", project=folder), load_policy({})
    orders, customers = folder / "orders.csv", folder / "customers.csv"
    orders.write_bytes(gzip.decompress(_SOURCE.read_bytes()))
    with orders.open(newline="") as file:
        known = sorted({row["customer_id"] for row in csv.DictReader(file)})
    customers.write_text("id\n" + "\n".join(known) + "\n")
    import_file(store, "customers", customers, settings=settings, policy=policy, now=_NOW)
    started = time.perf_counter()
    import_file(store, "orders", orders, settings=settings, policy=policy, now=_NOW)
    seconds = time.perf_counter() - started
    store.close()
    return seconds


IMPORT_ROW = Row(
    "cdnow", "import of the CDNOW orders", _measure, 10, 5, more_is_better=False, binds=True
)
