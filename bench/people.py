"""A made-up shop of any size for benchmarks, from a seed: customers, orders, items, products, written in sets.

Orders go to customers very unevenly, as in real shops: a tenth of them place about half. Hours peak in the evening;
half of the addresses name a province. The same seed gives the same shop on both databases.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, insert

from engine.store.tables import customers, order_items, orders, products

NOW = datetime(2026, 11, 9, 4, tzinfo=UTC)
CATEGORIES, BRANDS, SKUS = 12, 30, 400
_BATCH = 20_000
_PLACES = (
    "广东省 广州市 天河区", "广东省深圳市南山区", "浙江省 杭州市 西湖区", "上海市浦东新区", "北京市 朝阳区",
    "江苏省苏州市", "四川省 成都市", "山东省青岛市", "新疆维吾尔自治区 乌鲁木齐市", "香港特别行政区 九龙",
)  # fmt: skip
_HOURS = (1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 5, 5, 5, 5, 5, 6, 8, 10, 10, 7, 3)
_STATUSES = ("received",) * 9 + ("closed",)


def lay_down(connection: Connection, people: int, bought: int, seed: int = 1) -> None:
    """`people` customers with `bought` orders before NOW, of one to three items each."""
    rng = random.Random(seed)
    connection.execute(insert(products), [
        {"sku": f"s{n}", "category": f"category{n % CATEGORIES}", "brand": f"brand{n % BRANDS}", "attributes": {}}
        for n in range(SKUS)
    ])  # fmt: skip
    _write(connection, customers, _people(rng, people))
    add_orders(connection, people, bought, seed=seed + 1)


def add_orders(
    connection: Connection, people: int, bought: int, *, seed: int, first: int = 1, days: int = 900
) -> set[int]:
    """`bought` more orders of the last `days`, with ids from `first`; the customers whom they are of."""
    rng = random.Random(seed)
    touched: set[int] = set()
    _write(connection, orders, _orders(rng, people, bought, first, days, touched))
    _write(connection, order_items, _items(rng, bought, first))
    return touched


def _people(rng: random.Random, people: int) -> Iterator[dict[str, Any]]:
    for key in range(1, people + 1):
        address = rng.choice(_PLACES) + f" {key}号" if rng.random() < 0.5 else None
        yield {
            "id": key, "ref": str(key), "name": f"客人{key}", "address": address,
            "timezone": "Europe/Berlin" if rng.random() < 0.02 else None,
            "gender": None, "attributes": {}, "created_at": NOW, "updated_at": NOW,
        }  # fmt: skip


def _orders(
    rng: random.Random, people: int, bought: int, first: int, days: int, touched: set[int]
) -> Iterator[dict[str, Any]]:
    clock = rng.choices(range(24), _HOURS, k=bought)
    for key, hour in enumerate(clock, start=first):
        customer = 1 + int(people * rng.random() ** 3.3)
        touched.add(customer)
        day = NOW - timedelta(days=1 + int(days * rng.random()))
        placed = day.replace(hour=0) + timedelta(hours=hour - 8, seconds=rng.randrange(3600))
        yield {
            "id": key, "ref": f"o{key}", "customer_id": customer, "status": rng.choice(_STATUSES),
            "placed_at": placed, "amount": rng.randrange(1000, 200_000), "currency": "CNY",
            "attributes": {},
        }  # fmt: skip


def _items(rng: random.Random, bought: int, first: int) -> Iterator[dict[str, Any]]:
    for order in range(first, first + bought):
        for position in range(1, rng.choice((2, 2, 2, 3, 4))):
            yield {
                "order_id": order, "position": position,
                "sku": f"s{int(SKUS * rng.random() ** 2)}", "quantity": rng.choice((1, 1, 1, 2)),
                "price": rng.randrange(1000, 50_000),
            }  # fmt: skip


def _write(connection: Connection, table: Any, rows: Iterator[dict[str, Any]]) -> None:
    while batch := list(islice(rows, _BATCH)):
        connection.execute(insert(table), batch)
