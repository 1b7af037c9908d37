"""The shop's membership (会员): levels with their thresholds, what they give, and how long a card holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from engine.definitions.values import Duration
from engine.errors import Position

FILE = "membership.yaml"
MAX_LEVELS = 4
MEASURES = ("amount", "orders", "items")
_A_MONTH, _A_WEEK = Duration(30, "d"), Duration(7, "d")

Claim = Literal["call", "self"]
"""How a card is claimed. `call`: a call, the form and the card by mail, the reply slip back. `self`: the customer takes
it, and the shop records that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """What must be reached within the period, all of it together; None: not asked. `amount` in units of the currency."""

    amount: Decimal | None = None
    orders: int | None = None
    items: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """`discount`: percent off the goods that take part. `threshold_at` and `position`: where it is written."""

    name: str
    threshold: Threshold
    claim: Claim = "call"
    discount: Decimal | None = None
    benefits: tuple[str, ...] = ()
    threshold_at: Position = field(default=Position(FILE), compare=False)
    position: Position = field(default=Position(FILE), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """The goods that take part in discounts: one of these SKUs, or of one of these categories or brands."""

    skus: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.skus or self.categories or self.brands)


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """`levels`: lowest first; whoever meets one meets those below it. Periods are calendar months."""

    levels: tuple[Level, ...]
    period_months: int = 12
    validity_months: int = 12
    announce: Duration = _A_MONTH
    renew: Duration = _A_WEEK
    goods: Goods = Goods()

    def level(self, name: str) -> Level | None:
        return next((level for level in self.levels if level.name == name), None)
