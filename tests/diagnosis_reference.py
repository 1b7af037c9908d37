"""The figures of a diagnosis worked out again from the orders alone, one customer at a time, without SQL."""

from __future__ import annotations

import csv
import gzip
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median

CDNOW = Path(__file__).parent / "data" / "cdnow_orders.csv.gz"

Bought = tuple[str, date, int]
"""Customer, day of the shop, amount in the smallest unit."""


def cdnow() -> list[Bought]:
    with gzip.open(CDNOW, "rt", encoding="utf-8", newline="") as file:
        return [
            (row["customer_id"], date.fromisoformat(row["placed_at"]), int(Decimal(row["amount"]) * 100))
            for row in csv.DictReader(file)
        ]  # fmt: skip


class Reference:
    """A shop as of `today`; orders of one customer on one day are one purchase. Who buys later is known already."""

    def __init__(self, bought: Iterable[Bought], today: date) -> None:
        self.today, bought = today, list(bought)
        self.known = {customer for customer, _, _ in bought}
        self.orders = [order for order in bought if order[1] <= today]
        days: dict[str, set[date]] = defaultdict(set)
        for customer, day, _ in self.orders:
            days[customer].add(day)
        self.days: Mapping[str, Sequence[date]] = {who: sorted(own) for who, own in days.items()}

    def gaps(self, *, first_only: bool = False) -> list[int]:
        found = [
            [(later - earlier).days for earlier, later in pairwise(own)]
            for own in self.days.values()
        ]
        return [gap for own in found for gap in (own[:1] if first_only else own)]

    def open_days(self, *, first_only: bool = False) -> list[int]:
        return [
            (self.today - own[-1]).days
            for own in self.days.values()
            if not first_only or len(own) == 1
        ]

    def back_within(self, days: int, *, first_only: bool = False) -> float | None:
        """Kaplan and Meier by the book: a product over the days on which somebody came back."""
        gaps, still_open = self.gaps(first_only=first_only), self.open_days(first_only=first_only)
        lengths = sorted(gaps + still_open)
        if days > lengths[-1]:
            return None
        away = 1.0
        for day, came in sorted(Counter(gaps).items()):
            if day <= days:
                watched = len(lengths) - bisect_left(lengths, day)
                away *= 1 - came / watched
        return 1 - away

    def median_gap(self, *, first_only: bool = False) -> float:
        return float(median(self.gaps(first_only=first_only)))

    def reached(self, purchases: int) -> int:
        return sum(len(self.days.get(one, ())) >= purchases for one in self.known)

    def median_of_step(self, purchases: int) -> float:
        return float(
            median(
                (own[purchases] - own[purchases - 1]).days
                for own in self.days.values()
                if len(own) > purchases
            )
        )

    def retention(self, months: int) -> dict[date, tuple[int, list[int]]]:
        """By the first day of the period (of so many months) of the first purchase: its customers, and how many of
        them bought in the 1st, 2nd, … period after it up to today's."""

        def period(day: date) -> int:
            return (day.year * 12 + day.month - 1) // months

        def start(number: int) -> date:
            return date(number * months // 12, number * months % 12 + 1, 1)

        cohorts: dict[int, list[set[int]]] = defaultdict(list)
        for own in self.days.values():
            cohorts[period(own[0])].append({period(day) for day in own})
        return {
            start(first): (
                len(people),
                [
                    sum(later in active for active in people)
                    for later in range(first + 1, period(self.today) + 1)
                ],
            )
            for first, people in sorted(cohorts.items())
        }

    def money(self, of: str = "%Y-%m-%d") -> dict[str, tuple[int, int]]:
        """By day, month or what `of` says: all amounts, and those of customers who bought on an earlier day."""
        sums: dict[str, tuple[int, int]] = {}
        for customer, day, amount in self.orders:
            everything, old = sums.get(f"{day:{of}}", (0, 0))
            is_old = day > self.days[customer][0]
            sums[f"{day:{of}}"] = (everything + amount, old + amount * is_old)
        return sums
