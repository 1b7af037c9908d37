"""`top` of an audience or a segment: of those who match, only the first n by amount, by orders or by affinity.

And `holdout`, of an audience alone: the share of those chosen who get nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from engine.definitions.operators import exactly_one, narrowed
from engine.definitions.reading import Fields, Reader
from engine.definitions.report import Report
from engine.definitions.scalars import choice, duration, integer, percent, text
from engine.definitions.segment import EVERYONE, Top, Tree
from engine.definitions.trees import TREE, TreeReader
from engine.definitions.yaml_nodes import Entries, Node, Span

MAX_PEOPLE = 100_000_000


def _fits(fields: Fields, report: Report) -> None:
    if fields.get("by") == "affinity":
        exactly_one("category", "brand")(fields, report)
        misplaced = ["within"]
    else:
        misplaced = ["category", "brand"]
    for name in misplaced if "by" in fields.values else ():
        if name in fields:
            message = f"`{name}` says nothing beside `by: {fields.get('by')}`"
            report.error(fields.at(name).position, message, "bad-value")


TOP = narrowed(
    {
        "by": choice("amount", "orders", "affinity"),
        "n": integer(1, MAX_PEOPLE),
        "within": duration(),
        "category": text(most=100),
        "brand": text(most=100),
    },
    _fits,
    required=("by", "n"),
)


def ranked(child: Tree, node: Node, written: Span, report: Report) -> Tree | None:
    """`child` cut down to the `top` that stands in `node`."""
    arguments = TOP.read(node, report)
    if arguments is None:
        return None
    return Top(child, arguments, written.position, written.text)


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is chosen, and the percentage of them who get nothing."""

    tree: Tree
    holdout: Decimal | None = None


def _held_out(share: Decimal) -> Decimal:
    if share > MOST_HELD_OUT:
        raise ValueError(f"{share}% would get nothing; a holdout is at most {MOST_HELD_OUT}%")
    return share


MOST_HELD_OUT = 50
HOLDOUT: Reader[Decimal] = percent().then(_held_out)


def _read(node: Node, report: Report) -> Audience | None:
    found = node.get("holdout") if isinstance(node, Entries) else None
    if found is None or not isinstance(node, Entries):
        tree = _read_tree(node, report)
        return None if tree is None else Audience(tree)
    others = tuple(pair for pair in node.pairs if pair[0].value != "holdout")
    tree = _read_tree(Entries(others, node.span), report) if others else EVERYONE
    share = HOLDOUT.read(found, report)
    return None if tree is None or share is None else Audience(tree, share)


def _read_tree(node: Node, report: Report) -> Tree | None:
    top = node.get("top") if isinstance(node, Entries) else None
    if top is None or not isinstance(node, Entries):
        return TREE.read(node, report)
    others = tuple(pair for pair in node.pairs if pair[0].value != "top")
    child = TREE.read(Entries(others, node.span), report) if others else EVERYONE
    key = next(key for key, _ in node.pairs if key.value == "top")
    found = ranked(child or EVERYONE, top, key.span.to(top.span), report)
    return None if child is None else found


def _schema(tree: TreeReader) -> dict[str, object]:
    described = tree.schema()
    more = {"top": TOP.schema, "holdout": HOLDOUT.schema}
    return {**described, "properties": {**described["properties"], **more}}


AUDIENCE: Reader[Audience] = Reader(_read, _schema(TREE))
"""A tree, with or without `top` and `holdout`."""
