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


Tree = Condition | Group
EVERYONE = Group("all")


@dataclass(frozen=True, slots=True)
class Segment:
    """A named tree in `segments/NAME.yaml`."""

    id: str
    tree: Tree
    position: Position
    uses: frozenset[str] = field(default=frozenset())  # segments that it names, directly
