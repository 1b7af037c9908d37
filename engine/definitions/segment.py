"""Segment trees: who. All of / any of / not, over conditions on a customer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.errors import Position


@dataclass(frozen=True, slots=True)
class Condition:
    """One leaf: `{last_order_at: {older_than: 90d}}` → name `last_order_at`, arguments `{"older_than": Duration}`.

    Arguments are checked and parsed by the loader (durations, decimals, lists); `text` is the YAML as written.
    """

    name: str
    arguments: Mapping[str, Any]
    position: Position
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """`all` (no children: everyone), `any` (no children: nobody), `not` (exactly one child)."""

    kind: Literal["all", "any", "not"]
    children: tuple[Tree, ...] = ()


@dataclass(frozen=True, slots=True)
class Top:
    """Of those who match `child`, the first `n` by a measure that is more than 0; of equals, those known the longest.

    `arguments`: `by` amount, orders or affinity; `n`; `within` Duration (amount, orders); `category` or `brand` (affinity).
    Stands at the root of an audience or a segment.
    """

    child: Tree
    arguments: Mapping[str, Any]
    position: Position
    text: str

    @property
    def children(self) -> tuple[Tree, ...]:
        return (self.child,)


Tree = Condition | Group | Top
EVERYONE = Group("all")


@dataclass(frozen=True, slots=True)
class Segment:
    """A named tree in `segments/NAME.yaml`."""

    id: str
    tree: Tree
    position: Position
    uses: frozenset[str] = field(default=frozenset())  # segments that it names, directly
