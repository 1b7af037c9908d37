"""The demo's customers: real orders of a tenth of the CDNOW customers, moved to 2026; everything about the people is
made up from a fixed seed: names, addresses at example.com, numbers reserved for fiction, birthdays, cities, consent,
the hours of the orders and the stages after them."""

from __future__ import annotations

import csv
import gzip
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path

SEED = 20261109
MOVED_BY = timedelta(days=10_362)
"""The last day of the data, 1998-06-30, becomes 2026-11-12: Double 11 falls into its last week."""
_FAMILY = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN = ("伟", "芳", "秀英", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰", "涛", "明", "超", "霞", "平", "雨桐", "子轩")  # fmt: skip
_FIRST = ("Emma", "Liam", "Olivia", "Noah", "Ava", "Ethan", "Mia", "Lucas", "Chloe", "Oliver")
_LAST = ("Smith", "Jones", "Taylor", "Brown", "Wilson", "Evans", "Walker", "Wright", "Green", "Hall")  # fmt: skip
_CITIES = (("上海", "上海"), ("浙江", "杭州"), ("广东", "广州"), ("广东", "深圳"), ("北京", "北京"), ("四川", "成都"), ("江苏", "苏州"))  # fmt: skip
_COLUMNS = (
    "id", "name", "email", "phone", "birthday", "timezone", "language", "province", "city",
    "email_consent", "sms_consent",
)  # fmt: skip


_ORDER_COLUMNS = (
    "id", "customer_id", "status", "placed_at", "paid_at", "shipped_at", "arrived_at", "received_at",
    "refunded_at", "quantity", "amount",
)  # fmt: skip
_STAGES = (("paid", 0.01), ("shipped", 1.1), ("arrived", 3.2), ("received", 4.3))
"""Made up: how many days after the order each stage is reached."""
_UNPAID, _REFUNDED = 0.06, 0.03


@dataclass(frozen=True, slots=True)
class Shop:
    """The sample shop's books: what an export would hold on a given day."""

    orders: Sequence[Mapping[str, str]]

    @classmethod
    def load(cls) -> Shop:
        source = files("workers.demo") / "cdnow_tenth.csv.gz"
        with source.open("rb") as packed, gzip.open(packed, "rt", encoding="utf-8") as lines:
            return cls(_renumbered(csv.DictReader(lines)))

    def write_customers(self, path: Path) -> None:
        """customers.csv as `yanshu import customers` takes it."""
        dice = random.Random(SEED)
        people = sorted({order["customer_id"] for order in self.orders})
        _write(path, _COLUMNS, (_person(ref, dice) for ref in people))

    def write_orders(self, path: Path, *, now: datetime, since: datetime | None = None) -> None:
        """orders.csv as it would be exported at `now` (naive, the shop's zone): each order as far as it has got."""
        rows = (_order(order, now) for order in self.orders)
        recent = (
            row for row in rows if row and (since is None or row["placed_at"] >= since.isoformat())
        )
        _write(path, _ORDER_COLUMNS, recent)


def _renumbered(rows: Iterable[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
    """The orders under ids without their old dates: `00010-3` is the third of customer 00010."""
    counts: Counter[str] = Counter()
    orders = []
    for row in rows:
        counts[row["customer_id"]] += 1
        orders.append({**row, "id": f"{row['customer_id']}-{counts[row['customer_id']]}"})
    return orders


def _order(source: Mapping[str, str], now: datetime) -> dict[str, str] | None:
    """One order as it stands at `now`; the hour and the stages after it are made up, the same every time."""
    dice = random.Random(f"{SEED}:{source['id']}")
    hour = dice.choice((9, 10, 11, 12, 13, 14, 17, 18, 19, 20, 21, 22, 23))
    day = datetime.fromisoformat(source["placed_at"]) + MOVED_BY
    placed = day + timedelta(hours=hour, minutes=dice.randrange(60))
    if placed > now:
        return None
    kept = {key: source[key] for key in ("id", "customer_id", "quantity", "amount")}
    row = {**kept, "status": "placed", "placed_at": placed.isoformat()}
    fate = dice.random()
    if fate < _UNPAID:
        return row
    for stage, days in _STAGES:
        reached = placed + timedelta(days=days * dice.uniform(0.8, 1.2))
        if reached <= now:
            row |= {"status": stage, f"{stage}_at": reached.isoformat(timespec="seconds")}
    returned = placed + timedelta(days=9)
    if fate > 1 - _REFUNDED and returned <= now:
        row |= {"status": "refunded", "refunded_at": returned.isoformat()}
    return row


def _person(ref: str, dice: random.Random) -> dict[str, str]:
    english = dice.random() < 0.12
    province, city = dice.choice(_CITIES)
    birthday = date(1960, 1, 1) + timedelta(days=dice.randrange(16_000))
    chinese = dice.choice(_FAMILY) + dice.choice(_GIVEN)
    return {
        "id": ref,
        "name": f"{dice.choice(_FIRST)} {dice.choice(_LAST)}" if english else chinese,
        "email": f"c{ref}@example.com" if dice.random() < 0.92 else "",
        # 07700 900000 to 900999 are kept free for fiction (Ofcom); China has no such range.
        "phone": f"+447700900{dice.randrange(1000):03d}" if dice.random() < 0.4 else "",
        "birthday": birthday.isoformat() if dice.random() < 0.5 else "",
        "timezone": "Europe/London" if english else "",
        "language": "en" if english else "",
        "province": "" if english else province,
        "city": "London" if english else city,
        "email_consent": dice.choices(("yes", "no", ""), (80, 6, 14))[0],
        "sms_consent": dice.choices(("yes", "no", ""), (50, 10, 40))[0],
    }


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
