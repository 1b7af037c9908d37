"""A made-up shop of any size for benchmarks, from a seed: customers, orders, items, products, written in sets.

Everybody has one order; the others come to customers at rates drawn from a gamma distribution, whose shape is the one
under which the repeat orders of CDNOW's 23,570 customers are likeliest (negative binomial, their mean the shop's own).
Hours peak in the evening; half of the addresses name a province. The same seed gives the same shop on both databases.
"""

from __future__ import annotations

import csv
import gzip
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from engine.store.tables import customers, order_items, orders, products

NOW = datetime(2026, 11, 9, 4, tzinfo=UTC)
CATEGORIES, BRANDS, SKUS = 12, 30, 400
_BATCH = 20_000
_SHAPE = 0.355  # of the rates, fitted to CDNOW; below 1: few customers place most orders
_CDNOW = Path(__file__).parent.parent / "tests" / "data" / "cdnow_orders.csv.gz"
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
    add_orders(connection, people, bought, seed=seed + 1, firsts=min(people, bought))


def add_orders(
    connection: Connection,
    people: int,
    bought: int,
    *,
    seed: int,
    first: int = 1,
    days: int = 900,
    firsts: int = 0,
) -> set[int]:
    """`bought` more orders of the last `days`, with ids from `first`; the customers whom they are of. `firsts`: how many
    of them are somebody's first order."""
    rng = random.Random(seed)
    buyers = _buyers(rng, people, bought, firsts)
    _write(connection, orders, _orders(rng, buyers, first, days))
    _write(connection, order_items, _items(rng, bought, first))
    return set(buyers)


def figures(people: int, bought: int, seed: int = 1) -> list[str]:
    """How uneven the shop of `lay_down` is, and CDNOW beside it."""
    rng = random.Random(seed + 1)
    made_up = Counter(_buyers(rng, people, bought, min(people, bought)))
    new = set(_buyers(rng, people, bought // 100, 0))
    with gzip.open(_CDNOW, "rt", encoding="utf-8") as lines:
        real = [row["customer_id"] for row in csv.DictReader(lines)]
    some = set(random.Random(seed).sample(real, len(real) // 100))
    return [f"the shop: {_uneven(made_up, new)}", f"CDNOW: {_uneven(Counter(real), some)}"]


def _uneven(orders_of: Mapping[Any, int], new: Iterable[Any]) -> str:
    counts = sorted(orders_of.values(), reverse=True)
    total, many = sum(counts), len(counts)
    held = sum(orders_of.get(customer, 0) for customer in new)
    return (
        f"{total / many:.2f} orders a customer, {counts.count(1) / many:.0%} have one, a tenth has"
        f" {sum(counts[: many // 10]) / total:.0%} of all, one in a hundred {sum(counts[: many // 100]) / total:.0%}, the"
        f" first {counts[0]}; customers of a random 1 % of orders hold {held / total:.1%}"
    )


@lru_cache(maxsize=1)
def _rates(people: int) -> list[float]:
    """How often each customer orders, added up."""
    rng = random.Random(people)
    return list(accumulate(rng.gammavariate(_SHAPE, 1) for _ in range(people)))


def _buyers(rng: random.Random, people: int, bought: int, firsts: int) -> list[int]:
    """Whom each order is of."""
    repeats = rng.choices(range(1, people + 1), cum_weights=_rates(people), k=bought - firsts)
    buyers = list(chain(range(1, firsts + 1), repeats))
    rng.shuffle(buyers)
    return buyers


def _people(rng: random.Random, people: int) -> Iterator[dict[str, Any]]:
    for key in range(1, people + 1):
        address = rng.choice(_PLACES) + f" {key}号" if rng.random() < 0.5 else None
        yield {
            "id": key, "ref": str(key), "name": f"客人{key}", "address": address,
            "timezone": "Europe/Berlin" if rng.random() < 0.02 else None,
            "gender": None, "attributes": {}, "created_at": NOW, "updated_at": NOW,
        }  # fmt: skip


def _orders(
    rng: random.Random, buyers: list[int], first: int, days: int
) -> Iterator[dict[str, Any]]:
    clock = rng.choices(range(24), _HOURS, k=len(buyers))
    for key, (customer, hour) in enumerate(zip(buyers, clock, strict=True), start=first):
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
