"""Tags: their dimensions with the values that they may have, and the rules that put them by what is known of a customer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from engine.definitions.values import Duration, Hours
from engine.errors import Position

FILE = "tagging.yaml"
MALICIOUS = "malicious"
"""The dimension that makes a class: whoever has one of its values is malicious, and never written to."""
CLEARED = "cleared"
"""The value of it that does not: put by hand, it keeps the rules out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """`several`: a customer may have several of its values at once; else one."""

    values: tuple[str, ...]
    several: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRule:
    """The address holds one of `words` and none of `without`, as written."""

    words: tuple[str, ...]
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedRule:
    """At least `count` orders like this: each of what is given must fit; `hours` in the shop's zone.

    `statuses`: none means the completed ones. `share`: and at least so many percent of all orders placed in that time.
    """

    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    skus: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    hours: Hours | None = None
    statuses: tuple[str, ...] = ()
    count: int = 1
    share: Decimal | None = None
    within: Duration | None = None

    @property
    def asks_items(self) -> bool:
        return bool(self.categories or self.brands or self.skus or self.sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRule:
    """Where the customer lives, in short names."""

    provinces: tuple[str, ...] = ()
    cities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountRule:
    """What completed orders add up to, in units of the currency."""

    gte: Decimal | None = None
    lte: Decimal | None = None
    within: Duration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRule:
    """Puts `value` in `dimension` on whom all of its conditions hold for."""

    name: str
    dimension: str
    value: str
    address: AddressRule | None
    ordered: OrderedRule | None
    region: RegionRule | None
    amount: AmountRule | None
    position: Position

    @property
    def source(self) -> str:
        """Where it stands: `tagging.yaml:12`."""
        return f"{self.position.file}:{self.position.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """`dimensions` by name; of rules for a dimension with one value, the first in the file wins."""

    dimensions: Mapping[str, Dimension] = field(default_factory=dict)
    rules: tuple[TagRule, ...] = ()
