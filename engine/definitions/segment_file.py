"""`segments/NAME.yaml` → Segment: a named tree."""

from __future__ import annotations

from engine.definitions.reading import Fields, Key, Reader, Record
from engine.definitions.report import Report
from engine.definitions.scalars import choice
from engine.definitions.segment import Segment
from engine.definitions.sendable import stem
from engine.definitions.trees import GROUPS, TREE, named_segments


def _check_tree(fields: Fields, report: Report) -> None:
    if not fields.refused and not any(group in fields for group in GROUPS):
        report.error(fields.span.position, "`all`, `any` or `not` is missing", "missing-key")


def _segment(fields: Fields) -> Segment:
    tree = TREE.join([fields.get(name) for name in fields.nodes if name in GROUPS])
    assert tree is not None  # built only once everything in the file is good
    return Segment(
        stem(fields.span.position.file), tree, fields.span.position, named_segments(tree)
    )


SEGMENT: Reader[Segment] = Record(
    {
        "kind": Key(choice("segment"), required=True),
        "all": Key(TREE.groups["all"], "Every one of these holds; of several groups, all hold."),
        "any": Key(TREE.groups["any"], "At least one of these holds."),
        "not": Key(TREE.groups["not"], "This does not hold."),
    },
    later=frozenset({"top", "sample"}),
    check=_check_tree,
).build(_segment)
