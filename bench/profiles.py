"""Row 13: profiles, grades, habits and affinities of everybody, beside the bare GROUP BYs that they stand on; and row
13i: the same of those who placed 1 % new orders, beside everybody's. Row 13t is the bare way of 13i, beside everybody's too.
Rows 13p, 13ip and 13tp are the same on PostgreSQL.

Bare are four statements by hand, their results kept in tables without an index: orders per customer (count, sum, first,
last); orders per customer and hour; items per customer, order, category and brand, added up per customer. After new
orders: all orders of their customers read once, and what the new ones bring added to profiles and affinities, nothing
compared and neither grade nor hour nor median worked out; it is done to 1 % of orders of its own, which are counted anew
afterwards. BENCH_PEOPLE and BENCH_REPETITIONS set the size. The floor of row 13 binds on SQLite; where the others stand,
docs/benchmarks.md says.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from sqlalchemy import Connection, text, update

from bench.people import NOW, add_orders, figures, lay_down
from bench.postgres import database, server
from bench.rows import Measured, Row
from engine.customers.profiles.freshness import refresh
from engine.definitions.loader import load_policy
from engine.store.among import among
from engine.store.migrate import upgrade
from engine.store.session import Store
from engine.store.tables import profiles

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
_BROUGHT = " UNION ALL ".join(
    f"SELECT o.customer_id, o.id, o.placed_at, '{kind}' AS kind, p.{kind} AS name, i.quantity AS q, i.quantity * i.price AS w FROM orders o"
    f" JOIN order_items i ON i.order_id = o.id JOIN products p ON p.sku = i.sku WHERE o.id >= {{first}} AND o.{_COMPLETED}"
    for kind in ("category", "brand")
)
_BARE_AFTER = (
    f"CREATE TEMPORARY TABLE brought AS SELECT customer_id, count(*) AS n, sum(amount) AS a, max(placed_at) AS l FROM orders WHERE id >= {{first}} AND {_COMPLETED} GROUP BY customer_id",
    f"CREATE TEMPORARY TABLE theirs AS SELECT customer_id, count(*) AS n, sum(amount) AS a, {{together}} AS t FROM orders WHERE customer_id IN (SELECT customer_id FROM brought) AND {_COMPLETED} GROUP BY customer_id",
    "UPDATE profiles SET orders = orders + n, amount = profiles.amount + a, last_order_at = l FROM brought WHERE brought.customer_id = profiles.customer_id",
    "INSERT INTO affinities (customer_id, kind, name, orders, quantity, amount, clicks, first_at, last_at)"
    f" SELECT customer_id, kind, name, count(DISTINCT id), sum(q), sum(w), 0, min(placed_at), max(placed_at) FROM ({_BROUGHT}) AS b GROUP BY customer_id, kind, name"
    " ON CONFLICT (customer_id, kind, name) DO UPDATE SET orders = affinities.orders + excluded.orders, quantity = affinities.quantity + excluded.quantity,"
    " amount = affinities.amount + excluded.amount, last_at = excluded.last_at",
)
_TOGETHER = {
    "sqlite": "group_concat(placed_at / 1000000)",
    "postgresql": "string_agg(CAST(floor(extract(epoch FROM placed_at)) AS text), ',')",
}


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


def _bare_after(connection: Connection, first: int) -> None:
    together = _TOGETHER[connection.dialect.name]
    for statement in _BARE_AFTER:
        connection.execute(text(statement.format(first=first, together=together)))
    for table in ("brought", "theirs"):
        connection.exec_driver_sql(f"DROP TABLE {table}")


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


@dataclass(frozen=True)
class _Turns:
    """A ratio of each repetition, and what is to be told of all."""

    full: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    bare_after: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@lru_cache(maxsize=2)
def _measurements(kind: str) -> _Turns:
    """In turn; the first refresh, which writes every row for the first time, is only told of."""
    policy = load_policy({})
    turns = _Turns(notes=figures(PEOPLE, BOUGHT))
    some_orders, begin = BOUGHT // 100, BOUGHT + 1

    def refresh_of(ids: list[int] | None) -> Callable[[Connection], object]:
        return lambda connection: refresh(connection, policy, NOW, ids)

    def more_orders(store: Store, seed: int) -> tuple[int, list[int]]:
        nonlocal begin
        first, begin = begin, begin + some_orders
        with store.write() as connection:
            new = add_orders(connection, PEOPLE, some_orders, seed=seed, first=first, days=1)
        return first, sorted(new)

    with _shop(kind) as store:
        with store.write() as connection:
            lay_down(connection, PEOPLE, BOUGHT)
            if kind == "PostgreSQL":  # as its own daemon does in time
                connection.exec_driver_sql("ANALYZE")
        first = _seconds(store, refresh_of(None))
        turns.notes.append(f"the first refresh of all: {first:.1f} s")
        for turn in range(REPETITIONS):
            bare = _seconds(store, _bare)
            everybody = _seconds(store, refresh_of(None))
            _, new = more_orders(store, 50 + turn)
            some = _seconds(store, refresh_of(new))
            begun, theirs = more_orders(store, 500 + turn)
            bare_after = _seconds(store, partial(_bare_after, first=begun))
            _seconds(store, partial(_mend, theirs=theirs))
            _seconds(store, refresh_of(theirs))
            turns.full.append(everybody / bare)
            turns.after.append(some / everybody)
            turns.bare_after.append(bare_after / everybody)
            turns.notes.append(
                f"bare {bare:.1f} s, all {everybody:.1f} s; {len(new):,} customers {some:.2f} s, bare {bare_after:.2f} s"
            )
    return turns


def _mend(connection: Connection, theirs: list[int]) -> None:
    """What was written by hand is not believed."""
    connection.execute(
        update(profiles).values(counted_sum=None).where(among(profiles.c.customer_id, "theirs")),
        {"theirs": theirs},
    )


def _full(kind: str) -> Measured:
    turns = _measurements(kind)
    how = f"refresh of {PEOPLE:,} customers with {BOUGHT:,} orders ÷ the bare GROUP BYs, {kind}"
    return Measured(turns.full, how, turns.notes)


def _after(kind: str) -> Measured:
    how = f"refresh after 1 % new orders ÷ refresh of all, {kind}"
    return Measured(_measurements(kind).after, how)


def _by_hand(kind: str) -> Measured:
    how = f"the bare statements after 1 % new orders ÷ refresh of all, {kind}"
    return Measured(_measurements(kind).bare_after, how)


PROFILE_ROWS = tuple(
    row
    for mark, kind in (("", "SQLite"), ("p", "PostgreSQL"))
    for row in (
        Row(f"13{mark}", f"profiles of everybody, {kind}", partial(_full, kind), 3, 1.5, more_is_better=False, binds=not mark),
        Row(f"13i{mark}", f"profiles after 1 % new orders, {kind}", partial(_after, kind), 0.05, 0.02, more_is_better=False, binds=False),
        Row(f"13t{mark}", f"row 13i{mark} by hand: its least", partial(_by_hand, kind), None, None, more_is_better=False, binds=False),
    )
)  # fmt: skip
