"""`segments/NAME.yaml` → Segment: a named tree."""

from __future__ import annotations

from engine.definitions.conditions import CONDITIONS
from engine.definitions.ranking_file import TOP
from engine.definitions.reading import Fields, Key, Reader, Record
from engine.definitions.report import Report
from engine.definitions.scalars import choice
from engine.definitions.segment import EVERYONE, Condition, Segment, Top, Tree
from engine.definitions.sendable import stem
from engine.definitions.trees import GROUPS, TREE, named_segments


def _check_tree(fields: Fields, report: Report) -> None:
    if not fields.refused and not any(name in fields for name in (*GROUPS, "top", "sample")):
        report.error(fields.span.position, "`all`, `any` or `not` is missing", "missing-key")


def _segment(fields: Fields) -> Segment:
    tree = _tree(fields)
    return Segment(
        stem(fields.span.position.file), tree, fields.span.position, named_segments(tree)
    )


def _tree(fields: Fields) -> Tree:
    """The groups, the sample drawn of those who match them, and the top of what is left."""
    parts = [fields.get(name) for name in fields.nodes if name in GROUPS]
    if "sample" in fields:
        written = fields.at("sample").to(fields.nodes["sample"].span)
        share = fields.get("sample")
        parts.append(Condition("sample", share, written.position, written.text))
    tree = TREE.join(parts) if parts else EVERYONE
    assert tree is not None  # built only once everything in the file is good
    if "top" not in fields:
        return tree
    written = fields.at("top").to(fields.nodes["top"].span)
    return Top(tree, fields.get("top"), written.position, written.text)


SEGMENT: Reader[Segment] = Record(
    {
        "kind": Key(choice("segment"), required=True),
        "all": Key(TREE.groups["all"], "Every one of these holds; of several groups, all hold."),
        "any": Key(TREE.groups["any"], "At least one of these holds."),
        "not": Key(TREE.groups["not"], "This does not hold."),
        "sample": Key(
            CONDITIONS["sample"], "A share of them, drawn at random and always the same."
        ),
        "top": Key(TOP, "Only the first n of them, by amount, orders or affinity."),
    },
    check=_check_tree,
).build(_segment)
