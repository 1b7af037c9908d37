"""Row 14: a segment over a million customers beside the same question in SQL written by hand, on SQLite.

YANSHU_BENCH_CUSTOMERS=100000 takes a smaller shop; five orders a customer, made up from a seed.
"""

from __future__ import annotations

import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, text

from bench.rows import Measured, Row
from engine.audience.compiler import Scope, select_ids
from engine.customers.profile import refresh
from engine.definitions.loader import check, load_policy
from engine.store.migrate import upgrade
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


def _measure() -> Measured:
    size = int(os.environ.get("YANSHU_BENCH_CUSTOMERS", "1000000"))
    definitions, _ = check({"segments/asked.yaml": _SEGMENT})
    assert definitions is not None
    policy = load_policy({})
    scope = Scope(_NOW, policy.timezone, policy, definitions.segments)
    ratios, notes = [], []
    with tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder:
        store = Store(f"sqlite:///{Path(folder) / 'shop.db'}")
        upgrade(store)
        with store.write() as connection:
            _make_up(connection, size)
            refresh(connection, policy, _NOW)
            connection.execute(text("ANALYZE"))
        for _ in range(_REPETITIONS):
            with store.read() as connection:
                hand, wanted = _seconds(connection, None)
                ours, found = _seconds(connection, (definitions.segments["asked"].tree, scope))
            assert found == wanted, (found, wanted)
            ratios.append(ours / hand)
            notes.append(f"by hand {hand:.2f} s, segment {ours:.2f} s, {found:,} customers")
        store.close()
    return Measured(
        ratios, f"segment ÷ SQL by hand, {size:,} customers, {5 * size:,} orders, SQLite", notes
    )


def _seconds(connection: Connection, question: tuple[object, Scope] | None) -> tuple[float, int]:
    started = time.perf_counter()
    if question is None:
        micro = 1_000_000
        bounds = {"now": int(_NOW.timestamp()) * micro}
        bounds["since"] = bounds["now"] - 365 * 86400 * micro
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
    bounds = {"now": int(_NOW.timestamp()), "span": int(timedelta(days=1000).total_seconds())}
    connection.execute(
        text(
            "INSERT INTO orders (ref, customer_id, status, placed_at, amount, currency, attributes)"
            " SELECT c.id || '-' || k.value, c.id, 'received',"
            " (:now - (c.id * 7919 + k.value * 104729) % 2147483647 * 48271 % :span) * 1000000,"
            " (c.id * 31 + k.value * 977) % 60000, 'CNY', '{}'"
            " FROM customers c, json_each('[1,2,3,4,5]') k"
        ),
        bounds,
    )
    connection.execute(
        text(
            "INSERT INTO tags (customer_id, dimension, value, tagged_at)"
            " SELECT id, 'temper', 'picky', :now * 1000000 FROM customers WHERE id % :every = 0"
        ),
        {"now": bounds["now"], "every": tempers},
    )


SEGMENT_ROW = Row(
    "14",
    "a segment over a million customers",
    _measure,
    1.5,
    1.0,
    more_is_better=False,
    binds=False,
)
