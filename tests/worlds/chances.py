"""Seeded chance, and what a random world is about."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

from tests.worlds.calendars import (  # fmt: skip
    MINUTE,
)
from tests.worlds.people import Spec

STARTS = (
    datetime(2026, 10, 24, 6, tzinfo=UTC),  # Berlin leaves summer time that night
    datetime(2026, 10, 31, 6, tzinfo=UTC),  # the month ends, and New York follows
    datetime(2026, 3, 28, 6, tzinfo=UTC),  # Berlin's clock skips an hour that night
    datetime(2026, 3, 7, 6, tzinfo=UTC),  # New York's
    datetime(2026, 2, 14, 4, tzinfo=UTC),  # the lunar year ends, without a 30th
    datetime(2025, 7, 22, 4, tzinfo=UTC),  # the leap month begins
    datetime(2026, 2, 26, 4, tzinfo=UTC),  # no 29 February
    datetime(2028, 2, 27, 4, tzinfo=UTC),  # one
)
THEMES = ("everything", "caps", "series")
"""What a world is mostly about: every trigger; many messages under caps; series with failures and operators."""
ZONES = (None, None, "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Mars/Olympus", "Pacific/Auckland")  # fmt: skip
CLASSES = ("marketing", "care", "transactional")
STATUSES = ("placed", "paid", "shipped", "arrived", "received", "refunded", "closed")
CATEGORIES = ("咖啡", "tea")
LEVELS = ("会员", "VIP")
TAGS = (("temper", "picky"), ("temper", "lively"), ("size", "110cm"))
KINDS = ("weather", "review")
LOCAL_TIMES = ("02:30", "08:00", "10:00", "15:30", "23:30")


class Chances:
    """`theme`: what this world is mostly about."""

    def __init__(self, seed: int) -> None:
        self.seed, self.random = seed, Random(seed)
        self.start = self.random.choice(STARTS)
        self.theme = os.environ.get("YANSHU_TEST_THEME") or THEMES[seed % 3]

    def often(self, share: float) -> bool:
        return self.random.random() < share

    def one(self, *values: Any) -> Any:
        return self.random.choice(values)

    def near(self, low: int, high: int) -> datetime:
        """So many half-hours from the start: a coarse grid, so that edges are met exactly."""
        return self.start + self.random.randint(low, high) * 30 * MINUTE

    def some(self, values: tuple[Any, ...], most: int = 2) -> list[Any]:
        return self.random.sample(values, self.random.randint(1, min(most, len(values))))

    def with_some(self, share: float, **choices: Callable[[], Any]) -> Spec:
        return {name.rstrip("_"): make() for name, make in choices.items() if self.often(share)}
