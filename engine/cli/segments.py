"""What `segment explain` shows: the tree of conditions, with who meets each node, or what holds for one customer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select

from engine.audience.compiler import PEOPLE, Scope, matches, select_ids, with_cuts
from engine.definitions.segment import Condition, Group, Tree
from engine.errors import YanshuError
from engine.pages.terminal import plain
from engine.store.tables import customers


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


@dataclass(frozen=True, slots=True)
class Answer:
    """One node, and whether it holds for the customer who was asked about."""

    text: str
    place: str | None
    holds: bool
    children: tuple[Answer, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "place": self.place,
            "holds": self.holds,
            "children": [child.as_json() for child in self.children],
        }


def count_nodes(connection: Connection, tree: Tree, scope: Scope) -> Node:
    """The tree with a count at every node (one query each)."""
    chosen = select_ids(tree, scope).subquery()
    count = connection.execute(select(func.count()).select_from(chosen)).scalar_one()
    children = tuple(count_nodes(connection, child, scope) for child in _children(tree))
    return Node(_text(tree), _place(tree), count, children)


def ask_nodes(connection: Connection, tree: Tree, scope: Scope, ref: str) -> Answer:
    """The tree with what holds for the customer of this id, in one query; named segments are unfolded.

    Raises YanshuError where there is no such customer.
    """
    # A segment within itself is refused by `lint`, so the unfolded tree is finite.
    nodes = list(_unfolded(tree, scope))
    scope = with_cuts(connection, tree, scope)
    columns = [case((matches(node, scope), 1), else_=0) for node in nodes]
    query = select(*columns).select_from(PEOPLE).where(customers.c.ref == ref)
    row = connection.execute(query).first()
    if row is None:
        raise YanshuError(f"no customer {ref!r}")
    held = iter(bool(value) for value in row)
    return _answer(tree, scope, held)


def _unfolded(tree: Tree, scope: Scope) -> Iterator[Tree]:
    yield tree
    for child in _within(tree, scope):
        yield from _unfolded(child, scope)


def _answer(tree: Tree, scope: Scope, held: Iterator[bool]) -> Answer:
    holds = next(held)
    children = tuple(_answer(child, scope, held) for child in _within(tree, scope))
    return Answer(_text(tree), _place(tree), holds, children)


def _children(tree: Tree) -> tuple[Tree, ...]:
    return () if isinstance(tree, Condition) else tree.children


def _within(tree: Tree, scope: Scope) -> tuple[Tree, ...]:
    if isinstance(tree, Condition) and tree.name == "segment":
        return (scope.segments[tree.arguments["name"]].tree,)
    return _children(tree)


def _text(tree: Tree) -> str:
    return tree.kind if isinstance(tree, Group) else tree.text


def _place(tree: Tree) -> str | None:
    if isinstance(tree, Group):
        return None
    return f"{tree.position.file}:{tree.position.line}"


def as_text(node: Node, depth: int = 0) -> str:
    """Indented, the counts in front."""
    place = f"   {plain(node.place)}" if node.place else ""
    line = f"{node.count:>10,}  {'  ' * depth}{plain(node.text)}{place}"
    return "\n".join([line, *(as_text(child, depth + 1) for child in node.children)])


def answers_as_text(answer: Answer, depth: int = 0) -> str:
    """Indented, with yes or no in front."""
    place = f"   {plain(answer.place)}" if answer.place else ""
    line = f"{'yes' if answer.holds else 'no':>3}  {'  ' * depth}{plain(answer.text)}{place}"
    return "\n".join([line, *(answers_as_text(child, depth + 1) for child in answer.children)])
