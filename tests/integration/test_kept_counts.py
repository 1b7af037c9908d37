"""What a refresh of few customers adds up is what a count of everything finds, whatever happened, on both databases."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, delete, insert, select

from engine.customers.merging import merge
from engine.customers.profiles import freshness
from engine.customers.profiles.freshness import mark_fresh, mark_stale, refresh
from engine.customers.push.body import read_body
from engine.customers.push.faults import Faults
from engine.customers.push.fields import PushKind
from engine.customers.push.landing import Landed, Lander
from engine.customers.push.rows import read_rows
from engine.definitions.loader import load_policy
from engine.store.indexes import indexes_after
from engine.store.migrate import upgrade
from engine.store.session import Store
from engine.store.tables import affinities, customers, profiles
from tests.integration.test_habits import click
from tests.integration.test_push import waits_for_a_lock
from tests.shop import ADDRESS_KEY

POLICY = load_policy({})
START = datetime(2026, 3, 1, 4, tzinfo=UTC)
SKUS = ("s0", "s1", "s2", "s3", "unknown")
ZONES = (None, "Asia/Shanghai", "Europe/Berlin", "America/New_York")


class Shop:
    """A shop that lives at random: whatever happens is pushed, and lands as the push API lands it."""

    def __init__(self, connection: Connection, seed: int) -> None:
        self.connection, self.random, self.now = connection, random.Random(seed), START
        self.lander = Lander(ADDRESS_KEY)
        self.people = [f"p{number}" for number in range(24)]
        self.orders: dict[str, dict[str, Any]] = {}
        self.clicks = 0
        self.push("products", *[
            {"sku": sku, "category": f"k{sku[1]}", "brand": self.random.choice(["b0", "b1", None])} for sku in SKUS[:-1]
        ])  # fmt: skip
        self.push("customers", *[{"id": one, "timezone": self.random.choice(ZONES)} for one in self.people])  # fmt: skip
        self.push("orders", *[self.order(self.random.uniform(0, 800)) for _ in range(90)])
        refresh(connection, POLICY, self.now)

    def push(self, kind: PushKind, *rows: dict[str, Any]) -> None:
        faults = Faults()
        body = read_body(json.dumps(rows).encode(), by_line=False, faults=faults)
        (landed,) = self.lander.land(self.connection, [read_rows(kind, body, faults)], self.now)
        assert isinstance(landed, Landed), (rows, faults.found, landed)

    def ids(self) -> dict[str, int]:
        rows = self.connection.execute(select(customers.c.ref, customers.c.id))
        return {ref: key for ref, key in rows if ref in self.people}

    def order(self, days_ago: float) -> dict[str, Any]:
        ref = f"o{len(self.orders)}"
        placed = self.now - timedelta(days=days_ago)
        if self.random.random() < 0.2:
            placed = placed.replace(hour=16, minute=0, second=0, microsecond=0)  # midnight here
        self.orders[ref] = {
            "id": ref, "customer_id": self.random.choice(self.people[: self.random.choice([3, 24])]),
            "placed_at": placed.isoformat(), "amount": self.random.randrange(1, 2000), "items": self.items(),
            "status": self.random.choice(["paid", "received", "received", "received", "closed", "placed"]),
        }  # fmt: skip
        return self.orders[ref]

    def items(self) -> list[dict[str, Any]]:
        choice = self.random.choice
        return [
            {"sku": choice(SKUS), "quantity": choice([None, 1, 3]), "price": choice([None, 5, 12.5])}
            | ({"category": choice(["tea", "k1"])} if self.random.random() < 0.2 else {})
            for _ in range(choice([0, 1, 1, 2, 3]))
        ]  # fmt: skip

    def again(self, **changes: Any) -> None:
        """An order that is there comes in again."""
        row = self.orders[self.random.choice(sorted(self.orders))]
        row.update(changes)
        self.push("orders", row)

    # --- what may happen ------------------------------------------------------------------------------------------

    def comes_in(self) -> None:
        self.push("orders", self.order(0))

    def comes_late(self) -> None:
        self.push("orders", self.order(self.random.uniform(1, 500)))

    def comes_from_the_future(self) -> None:
        self.push("orders", self.order(-self.random.uniform(0, 20)))

    def is_paid(self) -> None:
        waiting = [ref for ref, row in self.orders.items() if row["status"] == "placed"]
        for ref in waiting[-2:]:
            self.orders[ref]["status"] = "paid"
            self.push("orders", self.orders[ref])

    def changes_its_status(self) -> None:
        self.again(status=self.random.choice(["refunded", "closed", "received", "arrived"]))

    def changes_its_amount(self) -> None:
        self.again(amount=self.random.randrange(1, 2000))

    def changes_its_time(self) -> None:
        self.again(placed_at=(self.now - timedelta(days=self.random.uniform(0, 600))).isoformat())

    def changes_its_items(self) -> None:
        self.again(items=self.items())

    def changes_hands(self) -> None:
        self.again(customer_id=self.random.choice(self.people))

    def product_changes(self) -> None:
        sku = self.random.choice(SKUS)
        changes: dict[str, Any] = self.random.choice(
            [{"category": "k9"}, {"brand": "b9"}, {"category": None}]
        )
        self.push("products", {"sku": sku, **changes})

    def product_comes_late(self) -> None:
        """Items of it are sold."""
        self.push("products", {"sku": SKUS[-1], "category": "k8"})

    def person_changes(self) -> None:
        changes: dict[str, Any] = self.random.choice(
            [{"timezone": "Europe/Berlin"}, {"address": "浙江省 杭州市"}, {"malicious": True}]
        )
        self.push("customers", {"id": self.random.choice(self.people), **changes})

    def two_become_one(self) -> None:
        gone, into = self.random.sample(self.people[3:], 2)
        merge(self.connection, gone, into, policy=POLICY, membership=None, now=self.now, by="test")
        self.people.remove(gone)
        refresh(self.connection, POLICY, self.now, [self.ids()[into]])
        mark_fresh(self.connection, POLICY, self.now)

    def is_clicked(self) -> None:
        self.clicks += 1
        person = self.ids()[self.random.choice(self.people)]
        label = self.random.choice(["k1", "tea", "k9", "logo"])
        click(self.connection, person, label, self.clicks, at=self.now)
        refresh(self.connection, POLICY, self.now, [person])

    def a_day_begins(self) -> None:
        """Everybody is looked at, one by one."""
        self.now += timedelta(hours=self.random.choice([1, 30, 24 * 45]))
        refresh(self.connection, POLICY, self.now, list(self.ids().values()))
        mark_fresh(self.connection, POLICY, self.now)

    def what_is_known(self) -> tuple[set[Any], set[Any]]:
        columns = [column for column in profiles.c if column.name != "evaluated_at"]
        likes = self.connection.execute(select(affinities))
        return (
            set(self.connection.execute(select(*columns))),
            {(*row[:-1], tuple(sorted((row.times or "").split(",")))) for row in likes},
        )

    def what_is_found(self) -> tuple[set[Any], set[Any]]:
        """By a count of everything, as if for the first time."""
        with self.connection.begin_nested() as savepoint:
            for table in (affinities, profiles):
                self.connection.execute(delete(table))
            refresh(self.connection, POLICY, self.now)
            found = self.what_is_known()
            savepoint.rollback()
        return found


EVENTS: tuple[Callable[[Shop], None], ...] = (
    Shop.comes_in, Shop.comes_in, Shop.comes_in, Shop.comes_late, Shop.comes_from_the_future, Shop.is_paid,
    Shop.changes_its_status, Shop.changes_its_amount, Shop.changes_its_time, Shop.changes_its_items,
    Shop.changes_hands, Shop.product_changes, Shop.person_changes, Shop.two_become_one, Shop.is_clicked,
)  # fmt: skip


def test_what_is_added_up_is_what_a_count_of_everything_finds(store: Store) -> None:
    with store.write() as connection:
        shop = Shop(connection, 7)
        for number in range(6):
            shop.a_day_begins()
            happened = shop.random.sample(EVENTS, k=7)
            if number == 1:
                happened.append(Shop.product_comes_late)
            for event in happened:
                event(shop)
            # What people clicked may have become a category, or none any more, by what happened to others.
            refresh(connection, POLICY, shop.now, list(shop.ids().values()))
            assert shop.what_is_known() == shop.what_is_found(), [one.__name__ for one in happened]
        before = shop.what_is_known()
        assert refresh(connection, POLICY, shop.now) == 0
        assert shop.what_is_known() == before


def test_many_are_added_up_in_several_goes_and_most_of_a_shop_is_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "_AT_ONCE", 2)
    with store.write() as connection:
        shop = Shop(connection, 8)
        shop.now += timedelta(days=200)
        before, (found, _) = shop.what_is_known()[0], shop.what_is_found()
        new, people = found - before, shop.ids().values()
        changed = sorted({row[0] for row in new})[: len(people) // 4]
        mine = {row for row in new if row[0] in changed}
        assert refresh(connection, POLICY, shop.now, changed[::-1]) == len(mine) > 4
        assert shop.what_is_known()[0] - before == mine
        refresh(connection, POLICY, shop.now, [*changed, *people])
        assert shop.what_is_known()[0] == found


def test_items_that_change_while_another_process_counts_are_counted_anew(
    postgresql_url: str,
) -> None:
    """(On SQLite there is one writer at a time.) Whoever comes second waits, and then sees what the first one left."""
    store = Store(postgresql_url)
    with store.write() as connection:
        shop = Shop(connection, 8)
        mark_fresh(connection, POLICY, shop.now)
        shop.orders = {}
        for ref in ("A", "B", "C"):
            row = {"id": f"o{ref}", "customer_id": "p0", "placed_at": START.isoformat(), "amount": 1, "items": [{"category": "tea"}]}  # fmt: skip
            shop.push("orders", row)
            shop.orders[ref] = row

    def other() -> None:
        with store.write() as connection:
            shop.connection = connection
            shop.push("orders", shop.orders["B"] | {"items": [{"category": "coffee"}]})

    first = Lander(ADDRESS_KEY)
    waiting = threading.Thread(target=other)
    with store.write() as connection:
        body = json.dumps(shop.orders["C"] | {"id": "oD"}).encode()
        faults = Faults()
        push = read_rows("orders", read_body(body, by_line=False, faults=faults), faults)
        first.land(connection, [push], START)
        waiting.start()
        while not waits_for_a_lock(store):
            assert waiting.is_alive()
    waiting.join()
    with store.write() as connection:
        shop.connection = connection
        assert shop.what_is_known() == shop.what_is_found()
    store.close()


def test_who_counts_one_customer_waits_for_who_counts_everybody(postgresql_url: str) -> None:
    """(On SQLite there is one writer at a time.) Before it writes anything: else each would wait for the other."""
    store = Store(postgresql_url)
    with store.write() as connection:
        shop = Shop(connection, 9)
        mark_stale(connection)  # what is pushed waits for the refresh of everybody
        shop.push("orders", {"id": "oA", "customer_id": "p0", "placed_at": START.isoformat(), "amount": 1, "items": [{"category": "tea"}]})  # fmt: skip
        person = shop.ids()["p0"]

    def other() -> None:
        with store.write() as connection:
            refresh(connection, POLICY, START, [person])

    waiting = threading.Thread(target=other)
    with store.write() as connection:
        connection.exec_driver_sql("LOCK TABLE profiles IN SHARE ROW EXCLUSIVE MODE")  # as it does
        waiting.start()
        while not waits_for_a_lock(store):
            assert waiting.is_alive()
        refresh(connection, POLICY, START)
    waiting.join()
    with store.write() as connection:
        shop.connection = connection
        assert shop.what_is_known() == shop.what_is_found()
    store.close()


def test_a_merge_waits_for_who_counts_the_one_that_goes(postgresql_url: str) -> None:
    """(On SQLite there is one writer at a time.) Else what is counted then would be left behind, and be nobody's."""
    store = Store(postgresql_url)
    with store.write() as connection:
        shop = Shop(connection, 9)
        mark_stale(connection)  # what is pushed waits for the refresh of everybody
        shop.push("customers", {"id": "new"})
        shop.people.append("new")
        shop.push("orders", {"id": "oA", "customer_id": "new", "placed_at": START.isoformat(), "amount": 1, "items": [{"category": "tea"}]})  # fmt: skip
        person = shop.ids()["new"]

    def other() -> None:
        with store.write() as connection:
            merge(connection, "new", "p1", policy=POLICY, membership=None, now=START, by="test")

    waiting = threading.Thread(target=other)
    with store.write() as connection:
        refresh(connection, POLICY, START, [person])
        waiting.start()
        while not waits_for_a_lock(store):
            assert waiting.is_alive()
    waiting.join()
    with store.write() as connection:
        nobodys = select(affinities.c.name).where(
            affinities.c.customer_id.not_in(select(customers.c.id))
        )
        assert connection.execute(nobodys).all() == []
    store.close()


def test_a_first_count_of_many_makes_the_indexes_anew(postgresql_url: str) -> None:
    """(SQLite fills a table with its indexes.) And one of a shop that has affinities leaves them as they are."""
    store = Store(postgresql_url)
    row = {"kind": "category", "name": "tea", "orders": 1, "quantity": 1, "amount": 1, "clicks": 0}
    coming = Table("coming", MetaData(), Column("id", Integer), prefixes=["TEMPORARY"])
    found = []
    with store.write() as connection:

        def look() -> None:
            named = "SELECT indexdef FROM pg_indexes WHERE tablename = 'affinities'"
            found.append(set(connection.exec_driver_sql(named).scalars()))

        look()
        connection.exec_driver_sql(
            "CREATE TEMPORARY TABLE coming AS SELECT generate_series(1, 60000) AS id"
        )
        for customer in (1, 2):
            with indexes_after(connection, affinities, coming):
                look()
                connection.execute(insert(affinities).values(customer_id=customer, **row))
            look()
    before, at_first, after_it, again, in_the_end = found
    assert before == after_it == again == in_the_end
    assert len(before) == 4 and len(at_first) == 1
    store.close()


def test_the_order_of_a_moment_is_looked_up_by_its_customer(tmp_path: Path) -> None:
    """A shop that knows days only has thousands at one moment. (Without figures of the tables, as SQLite's usually are.)"""
    store = Store(f"sqlite:///{tmp_path / 'shop.db'}")
    upgrade(store)
    question = "SELECT {}(id) FROM orders WHERE customer_id = 1 AND placed_at = 1 AND status IN ('paid', 'received')"
    with store.read() as connection:
        for which in ("min", "max"):
            plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + question.format(which)).all()
            assert "ix_orders_customer (customer_id=? AND placed_at=?)" in plan[0][3]
    store.close()
