"""What `segment explain` shows: the tree of conditions, with the customers that meet each node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from engine.audience.compiler import Scope, select_ids
from engine.definitions.segment import Condition, Tree
from engine.pages.terminal import plain


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its text as written (`all`, `any`, `not` for a group), its line, and who meets it alone."""

    text: str
    place: str | None
    count: int
    children: tuple[Node, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "place": self.place,
            "count": self.count,
            "children": [child.as_json() for child in self.children],
        }


def count_nodes(connection: Connection, tree: Tree, scope: Scope) -> Node:
    """The tree with a count at every node (one query each)."""
    chosen = select_ids(tree, scope).subquery()
    count = connection.execute(select(func.count()).select_from(chosen)).scalar_one()
    if isinstance(tree, Condition):
        place = tree.position
        return Node(tree.text, f"{place.file}:{place.line}", count, ())
    children = tuple(count_nodes(connection, child, scope) for child in tree.children)
    return Node(tree.kind, None, count, children)


def as_text(node: Node, depth: int = 0) -> str:
    """Indented, the counts in front."""
    place = f"   {plain(node.place)}" if node.place else ""
    line = f"{node.count:>10,}  {'  ' * depth}{plain(node.text)}{place}"
    return "\n".join([line, *(as_text(child, depth + 1) for child in node.children)])
