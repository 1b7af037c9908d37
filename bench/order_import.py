"""Row 12: importing a million orders on PostgreSQL beside a bare COPY and the same upsert in SQL; rows 12m and 12p: how
much more memory a process takes for a million rows than for a hundred thousand, on SQLite and on PostgreSQL.

BENCH_ORDERS=100000 takes a smaller file; five orders a customer, made up from a seed. The import's time is that of the
whole command's work: reading and checking, landing, the profiles of those whose orders changed, who can be reached.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import insert

from bench.baselines.postgres_orders import seconds as bare_seconds
from bench.people import NOW
from bench.postgres import database, server
from bench.rows import Measured, Row
from engine.customers.importing.files import import_file
from engine.definitions.loader import load_policy
from engine.settings import Settings
from engine.store.session import Store
from engine.store.tables import customers

ORDERS = int(os.environ.get("BENCH_ORDERS", "1000000"))
_PER_CUSTOMER = 5
_FEW = 10  # of these parts of ORDERS one is the small import, whose memory is compared
_REPETITIONS = 3
_BEGIN = datetime(2024, 5, 1)  # noqa: DTZ001 - written as the shop's clock shows it
_STATUSES = ("received",) * 8 + ("paid", "closed")
_PIECE = 50_000


def write_orders(path: Path, many: int, seed: int = 1) -> None:
    """A file of `many` orders, of the customers 1 to many / 5, in the shop's zone."""
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        file.write("id,customer_id,status,placed_at,amount,quantity,coupon\n")
        for number in range(1, many + 1):
            placed = _BEGIN + timedelta(seconds=rng.randrange(900 * 86_400))
            amount = f"{rng.randrange(10, 2000)}.{rng.randrange(100):02}"
            coupon = "SPRING" if rng.random() < 0.1 else ""
            file.write(
                f"A{number:09},{rng.randint(1, many // _PER_CUSTOMER)},{rng.choice(_STATUSES)},"
                f"{placed},{amount},{rng.randint(1, 3)},{coupon}\n"
            )


def lay_down_customers(store: Store, many: int) -> None:
    with store.write() as connection:
        for start in range(1, many + 1, _PIECE):
            rows = [
                {"ref": str(n), "attributes": {}, "created_at": NOW, "updated_at": NOW}
                for n in range(start, min(many + 1, start + _PIECE))
            ]
            connection.execute(insert(customers), rows)
    if not store.is_sqlite:
        with store.engine.connect() as plain:
            plain.exec_driver_sql("ANALYZE customers")
            plain.commit()


def _measure() -> Measured:
    ratios, notes = [], []
    with tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder, server() as address:
        path = Path(folder) / "orders.csv"
        write_orders(path, ORDERS)
        for turn in range(_REPETITIONS):
            with database(address, f"bare{turn}") as store:
                lay_down_customers(store, ORDERS // _PER_CUSTOMER)
                bare = _bare(store, path)
            with database(address, f"ours{turn}") as store:
                lay_down_customers(store, ORDERS // _PER_CUSTOMER)
                ours, landed = _import(store, path)
            ratios.append(ours / bare)
            notes.append(
                f"bare {bare:.1f} s, import {ours:.1f} s, of which {landed:.1f} s until the last order had landed"
            )
    how = f"import of {ORDERS:,} orders ÷ COPY and upsert in SQL, PostgreSQL, in turn"
    return Measured(ratios, how, notes)


def _bare(store: Store, path: Path) -> float:
    started = time.perf_counter()
    with store.write() as connection:
        bare_seconds(connection, path)
    return time.perf_counter() - started


def _import(store: Store, path: Path) -> tuple[float, float]:
    """The whole, and until the last batch."""
    settings, policy = Settings(address_key="bench", project=path.parent), load_policy({})
    last = started = time.perf_counter()

    def on_progress(_rows: int, _size: int) -> None:
        nonlocal last
        last = time.perf_counter()

    found = import_file(
        store, "orders", path, settings=settings, policy=policy, now=NOW, on_progress=on_progress
    )
    seconds = time.perf_counter() - started
    assert found.inserted == ORDERS, found
    return seconds, last - started


def _memory_sqlite() -> Measured:
    with tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder:
        urls = [f"sqlite:///{Path(folder) / name}.db" for name in ("few", "many")]
        return _memory(Path(folder), urls, "SQLite")


def _memory_postgresql() -> Measured:
    with (
        tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder,
        server() as address,
        database(address, "few") as few,
        database(address, "many") as many,
    ):
        urls = [one.url.render_as_string(hide_password=False) for one in (few, many)]
        return _memory(Path(folder), urls, "PostgreSQL")


def _memory(folder: Path, urls: list[str], name: str) -> Measured:
    """One process for each size, as a person starts it: `yanshu import orders FILE`."""
    peaks = []
    for size, url in zip((ORDERS // _FEW, ORDERS), urls, strict=True):
        project = folder / f"shop{size}"
        run = partial(_yanshu, {"YANSHU_PROJECT": str(project), "YANSHU_DATABASE_URL": url})
        run("init", str(project))
        run("db", "upgrade")
        store = Store(url)
        lay_down_customers(store, size // _PER_CUSTOMER)
        store.close()
        write_orders(project / "orders.csv", size)
        peaks.append(run("import", "orders", str(project / "orders.csv"), "--now", NOW.isoformat()))
    notes = [f"peak {peak / 2**20:.0f} MiB" for peak in peaks]
    how = f"growth of the peak from {ORDERS // _FEW:,} to {ORDERS:,} rows, one process each, {name}"
    return Measured([(peaks[1] - peaks[0]) / 1e6], how, notes)


def _yanshu(environment: dict[str, str], *words: str) -> int:
    """Run the command; the most memory that its process held, in bytes."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("YANSHU_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.cli", *words],
        env=kept | environment,
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bench: yanshu {words[0]} ended with {process.returncode}")
    return used.ru_maxrss * 1024


ORDER_IMPORT_ROWS = (
    Row("12", "import of orders, PostgreSQL", _measure, 3, 1.5, more_is_better=False, binds=True),
    Row("12m", "memory of an import, SQLite", _memory_sqlite, 50, None, more_is_better=False, binds=True, unit="MB"),
    Row("12p", "memory of an import, PostgreSQL", _memory_postgresql, 50, None, more_is_better=False, binds=True, unit="MB"),
)  # fmt: skip
