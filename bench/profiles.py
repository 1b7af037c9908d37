"""Row 13: profiles, grades, habits and affinities of everybody, beside the bare GROUP BYs that they stand on; and row
13i: the same of those who placed 1 % new orders, beside everybody's. Rows 13p and 13ip are the same on PostgreSQL.

Bare are four statements by hand, their results kept in tables without an index: orders per customer (count, sum, first,
last); orders per customer and hour; items per customer, order, category and brand, added up per customer. BENCH_PEOPLE and
BENCH_REPETITIONS set the size. The floor of row 13 binds on SQLite; where the others stand, docs/benchmarks.md says.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

from sqlalchemy import Connection, text

from bench.people import NOW, add_orders, figures, lay_down
from bench.postgres import database, server
from bench.rows import Measured, Row
from engine.customers.profile import refresh
from engine.definitions.loader import load_policy
from engine.store.migrate import upgrade
from engine.store.session import Store

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "50000"))
BOUGHT = 5 * PEOPLE
REPETITIONS = int(os.environ.get("BENCH_REPETITIONS", "3"))
_COMPLETED = "status IN ('paid', 'shipped', 'arrived', 'received')"
_EPOCH = {
    "sqlite": "placed_at / 1000000",
    "postgresql": "CAST(floor(extract(epoch FROM placed_at)) AS bigint)",
}
_BARE = (
    f"SELECT customer_id, count(*) AS n, sum(amount) AS a, min(placed_at) AS f, max(placed_at) AS l FROM orders WHERE {_COMPLETED} GROUP BY customer_id",
    f"SELECT customer_id, ({{epoch}} + 28800) % 86400 / 3600 AS h, count(*) AS n FROM orders WHERE {_COMPLETED} GROUP BY customer_id, h",
    "SELECT customer_id, category, count(*) AS n, sum(q) AS q FROM (SELECT o.customer_id, o.id, p.category, sum(i.quantity) AS q FROM orders o JOIN order_items i ON i.order_id = o.id"
    f" JOIN products p ON p.sku = i.sku WHERE o.{_COMPLETED} GROUP BY o.customer_id, p.category, o.id) AS bought GROUP BY customer_id, category",
    "SELECT customer_id, brand, count(*) AS n, sum(q) AS q FROM (SELECT o.customer_id, o.id, p.brand, sum(i.quantity) AS q FROM orders o JOIN order_items i ON i.order_id = o.id"
    f" JOIN products p ON p.sku = i.sku WHERE o.{_COMPLETED} GROUP BY o.customer_id, p.brand, o.id) AS bought GROUP BY customer_id, brand",
)


def _seconds(store: Store, work: Callable[[Connection], object]) -> float:
    started = time.perf_counter()
    with store.write() as connection:
        work(connection)
    return time.perf_counter() - started


def _bare(connection: Connection) -> None:
    epoch = _EPOCH[connection.dialect.name]
    for number, question in enumerate(_BARE):
        made = f"CREATE TEMPORARY TABLE bare{number} AS {question.format(epoch=epoch)}"
        connection.execute(text(made))
    for number in range(len(_BARE)):
        connection.exec_driver_sql(f"DROP TABLE bare{number}")


@contextmanager
def _shop(kind: str) -> Iterator[Store]:
    if kind == "PostgreSQL":
        with server() as address, database(address, "shop") as store:
            yield store
        return
    with tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder:
        store = Store(f"sqlite:///{Path(folder) / 'shop.db'}")
        upgrade(store)
        yield store
        store.close()


@lru_cache(maxsize=2)
def _measurements(kind: str) -> tuple[list[float], list[float], list[str]]:
    """Bare, everybody, 1 %, in turn; the first refresh, which writes every row for the first time, is only told of."""
    policy = load_policy({})
    full: list[float] = []
    some_of_all: list[float] = []
    notes = figures(PEOPLE, BOUGHT)

    def refresh_of(ids: list[int] | None) -> Callable[[Connection], object]:
        return lambda connection: refresh(connection, policy, NOW, ids)

    with _shop(kind) as store:
        with store.write() as connection:
            lay_down(connection, PEOPLE, BOUGHT)
            if kind == "PostgreSQL":  # as its own daemon does in time
                connection.exec_driver_sql("ANALYZE")
        first = _seconds(store, refresh_of(None))
        notes.append(f"the first refresh of all: {first:.1f} s")
        for turn in range(REPETITIONS):
            bare = _seconds(store, _bare)
            everybody = _seconds(store, refresh_of(None))
            begin = BOUGHT + 1 + turn * (BOUGHT // 100)
            with store.write() as connection:
                new = add_orders(
                    connection, PEOPLE, BOUGHT // 100, seed=50 + turn, first=begin, days=1
                )
            some = _seconds(store, refresh_of(sorted(new)))
            full.append(everybody / bare)
            some_of_all.append(some / everybody)
            notes.append(
                f"bare {bare:.1f} s, all {everybody:.1f} s, {len(new):,} customers {some:.2f} s"
            )
    return full, some_of_all, notes


def _full(kind: str) -> Measured:
    full, _, notes = _measurements(kind)
    how = f"refresh of {PEOPLE:,} customers with {BOUGHT:,} orders ÷ the bare GROUP BYs, {kind}"
    return Measured(full, how, notes)


def _partial(kind: str) -> Measured:
    _, some_of_all, _ = _measurements(kind)
    return Measured(some_of_all, f"refresh after 1 % new orders ÷ refresh of all, {kind}")


PROFILE_ROWS = tuple(
    row
    for mark, kind in (("", "SQLite"), ("p", "PostgreSQL"))
    for row in (
        Row(f"13{mark}", f"profiles of everybody, {kind}", partial(_full, kind), 3, 1.5, more_is_better=False, binds=not mark),
        Row(f"13i{mark}", f"profiles after 1 % new orders, {kind}", partial(_partial, kind), 0.05, 0.02, more_is_better=False, binds=False),
    )
)  # fmt: skip
