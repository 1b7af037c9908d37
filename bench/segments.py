"""Row 14: a segment over a million customers beside the same question in SQL written by hand, on SQLite; row 14p: the
same on PostgreSQL.

YANSHU_BENCH_CUSTOMERS=1000000 takes the whole shop; five orders a customer, made up by arithmetic.
YANSHU_BENCH_SHOP keeps the made-up shop of row 14 in that file, for another time.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, text

from bench.postgres import database, server
from bench.rows import Measured, Row
from engine.audience.compiler import Scope, select_ids
from engine.customers.profiles.freshness import refresh
from engine.definitions.loader import check, load_policy
from engine.store.migrate import upgrade
from engine.store.recordset import encode_moment
from engine.store.session import Store
from engine.store.tables import customers

_REPETITIONS = 3
_NOW = datetime(2026, 11, 1, tzinfo=UTC)
_SEGMENT = """\
kind: segment
all:
  - {city: {in: [上海, 杭州]}}
  - {last_order_at: {within: 365d}}
  - {ordered: {count: {gte: 2}, sum: {gte: 500}, within: 365d}}
  - {not: {tag: {dimension: temper, value: picky}}}
"""
_BY_HAND = """\
SELECT count(*) FROM customers c JOIN profiles p ON p.customer_id = c.id
JOIN (SELECT customer_id FROM orders
      WHERE status IN ('paid', 'shipped', 'arrived', 'received') AND placed_at >= :since AND placed_at <= :now
      GROUP BY customer_id HAVING count(*) >= 2 AND sum(amount) >= 50000) b ON b.customer_id = c.id
WHERE coalesce(c.city, p.city) IN ('上海', '杭州') AND p.last_order_at >= :since
AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.customer_id = c.id AND t.dimension = 'temper' AND t.value = 'picky')
"""


@contextmanager
def _shop(kind: str, size: int) -> Iterator[Store]:
    if kind == "PostgreSQL":
        with server() as address, database(address, "shop") as store:
            _lay_down(store, size)
            yield store
        return
    kept = os.environ.get("YANSHU_BENCH_SHOP")
    with tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder:
        path = Path(kept) if kept else Path(folder) / "shop.db"
        there = path.exists()
        store = Store(f"sqlite:///{path}")
        if not there:
            upgrade(store)
            _lay_down(store, size)
        yield store
        store.close()


def _lay_down(store: Store, size: int) -> None:
    with store.write() as connection:
        _make_up(connection, size)
        if not store.is_sqlite:
            connection.execute(text("ANALYZE"))
        refresh(connection, load_policy({}), _NOW)
        connection.execute(text("ANALYZE"))


def _measure(kind: str) -> Measured:
    size = int(os.environ.get("YANSHU_BENCH_CUSTOMERS", "200000"))
    definitions, _ = check({"segments/asked.yaml": _SEGMENT})
    assert definitions is not None
    policy = load_policy({})
    scope = Scope(_NOW, policy.timezone, policy, definitions.segments)
    ratios, notes = [], []
    with _shop(kind, size) as store:
        for _ in range(_REPETITIONS):
            with store.read() as connection:
                hand, wanted = _seconds(connection, None)
                ours, found = _seconds(connection, (definitions.segments["asked"].tree, scope))
            assert found == wanted, (found, wanted)
            ratios.append(ours / hand)
            notes.append(f"by hand {hand:.2f} s, segment {ours:.2f} s, {found:,} customers")
    how = f"segment ÷ SQL by hand, {size:,} customers, {5 * size:,} orders, {kind}"
    return Measured(ratios, how, notes)


def _seconds(connection: Connection, question: tuple[object, Scope] | None) -> tuple[float, int]:
    started = time.perf_counter()
    if question is None:
        since = _NOW - timedelta(days=365)
        bounds = {"now": encode_moment(connection, _NOW), "since": encode_moment(connection, since)}
        count = connection.execute(text(_BY_HAND), bounds).scalar_one()
    else:
        tree, scope = question
        chosen = select_ids(tree, scope).subquery()  # type: ignore[arg-type]
        count = connection.execute(select(func.count()).select_from(chosen)).scalar_one()
    return time.perf_counter() - started, count


def _make_up(connection: Connection, size: int) -> None:
    """Arithmetic on the row's number stands for chance: the same shop every time."""
    places, tempers = ["上海", "杭州", "广州", "成都", "北京"], 10
    for start in range(0, size, 50_000):
        part = [
            {"ref": str(n), "city": places[n * 7 % 5], "attributes": {}, "created_at": _NOW, "updated_at": _NOW}
            for n in range(start, min(size, start + 50_000))
        ]  # fmt: skip
        connection.execute(insert(customers), part)
    moment = "{} * 1000000" if connection.dialect.name == "sqlite" else "to_timestamp({})"
    placed = moment.format("(CAST(:now AS bigint) - (c.id * 7919 + k.n * 104729) % 2147483647 * 48271 % :span)")  # fmt: skip
    bounds = {"now": int(_NOW.timestamp()), "span": int(timedelta(days=1000).total_seconds())}
    connection.execute(
        text(
            "INSERT INTO orders (ref, customer_id, status, placed_at, amount, currency, attributes)"
            f" SELECT c.id || '-' || k.n, c.id, 'received', {placed},"
            " (c.id * 31 + k.n * 977) % 60000, 'CNY', '{}'"
            " FROM customers c, (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5) k"
        ),
        bounds,
    )
    connection.execute(
        text(
            "INSERT INTO tags (customer_id, dimension, value, tagged_at)"
            f" SELECT id, 'temper', 'picky', {moment.format('CAST(:now AS bigint)')} FROM customers WHERE id % :every = 0"
        ),
        {"now": bounds["now"], "every": tempers},
    )


SEGMENT_ROWS = tuple(
    Row(number, f"a segment over a million customers, {kind}", partial(_measure, kind), 1.5, 1.0, more_is_better=False, binds=True)
    for number, kind in (("14", "SQLite"), ("14p", "PostgreSQL"))
)  # fmt: skip
