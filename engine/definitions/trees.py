"""Segment trees in files: all / any / not over conditions; and what a tree names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.definitions.conditions import ANCHOR, CONDITIONS, LATER, Arguments
from engine.definitions.reading import Reader, list_of, wrong_type
from engine.definitions.report import Report
from engine.definitions.segment import Condition, Group, Segment, Top, Tree
from engine.definitions.yaml_nodes import Entries, Node, Scalar

GROUPS = ("all", "any", "not")


class TreeReader:
    """Reads a tree whose leaves are `conditions`; several keys in one map must all hold."""

    def __init__(self, name: str, conditions: Mapping[str, Reader[Arguments]]) -> None:
        self.name, self.conditions = name, conditions
        here: Reader[Tree] = Reader(self.read, {"$ref": f"#/$defs/{name}"})
        self.reader = here
        several = list_of(here)
        self.groups: Mapping[str, Reader[Tree]] = {
            "all": several.then(lambda children: Group("all", children)),
            "any": several.then(lambda children: Group("any", children)),
            "not": here.then(lambda child: Group("not", (child,))),
        }

    def read(self, node: Node, report: Report) -> Tree | None:
        """The tree in this node."""
        if not isinstance(node, Entries) or not node.pairs:
            wrong_type(node, "a condition such as {city: {in: [上海]}}, or all, any, not", report)
            return None
        return self.join([self.entry(key, value, report) for key, value in node.pairs])

    @staticmethod
    def join(children: list[Tree | None]) -> Tree | None:
        """Several entries of one map: all must hold. None if one of them was bad."""
        good = tuple(child for child in children if child is not None)
        if len(good) < len(children):
            return None
        return good[0] if len(good) == 1 else Group("all", good)

    def entry(self, key: Scalar, value: Node, report: Report) -> Tree | None:
        """One entry of such a map: a group, or a condition."""
        name = key.value
        if name in self.groups:
            return self.groups[name].read(value, report)
        if name in self.conditions:
            arguments = self.conditions[name].read(value, report)
            written = key.span.to(value.span)
            if arguments is None:
                return None
            return Condition(name, arguments, written.position, written.text)
        self._refuse(key, report)
        return None

    def _refuse(self, key: Scalar, report: Report) -> None:
        if key.value == "top":
            message = (
                "`top` stands beside the conditions of an audience or a segment, not within them"
            )
            report.error(key.span.position, message, "bad-value")
        elif key.value == "holdout":
            message = "`holdout` stands beside the conditions of a campaign's or care rule's audience, not within them"
            report.error(key.span.position, message, "bad-value")
        elif key.value in LATER:
            report.not_yet(key.span.position, key.value)
        elif key.value in ANCHOR:
            message = "`anchor` is what started a care rule: only its `still` can ask for it"
            report.error(key.span.position, message, "bad-value")
        else:
            names = [*GROUPS, *self.conditions]
            report.unknown(key.span.position, "condition", key.value, names, "unknown-key")

    def schema(self) -> Mapping[str, Any]:
        """The `$defs` entry that this tree's schema refers to."""
        properties: dict[str, Any] = {name: each.schema for name, each in self.groups.items()}
        properties |= {name: each.schema for name, each in self.conditions.items()}
        return {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "minProperties": 1,
        }


TREE = TreeReader("condition", CONDITIONS)
STILL = TreeReader("still", {**CONDITIONS, **ANCHOR})


def conditions_of(tree: Tree) -> Iterator[Condition]:
    """Every leaf of a tree, in the order of the file."""
    if isinstance(tree, Condition):
        yield tree
    else:
        for child in tree.children:
            yield from conditions_of(child)


def tops_of(tree: Tree, segments: Mapping[str, Segment]) -> Iterator[Top]:
    """Every `top` of a tree and of the segments that it names, the inner ones before those around them."""
    if isinstance(tree, Condition):
        if tree.name == "segment":
            yield from tops_of(segments[tree.arguments["name"]].tree, segments)
        return
    for child in tree.children:
        yield from tops_of(child, segments)
    if isinstance(tree, Top):
        yield tree


def named_segments(*trees: Tree | None) -> frozenset[str]:
    """The segments that these trees name themselves."""
    return frozenset(
        condition.arguments["name"]
        for tree in trees
        if tree is not None
        for condition in conditions_of(tree)
        if condition.name == "segment"
    )
