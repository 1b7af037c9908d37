"""What files say about each other: segments, templates and grades that must exist, circles, and the size of it all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.definitions.campaign import Campaign, Care
from engine.definitions.membership import Membership
from engine.definitions.policy import Policy
from engine.definitions.report import Report
from engine.definitions.segment import Condition, Segment, Tree
from engine.definitions.tagging_file import check_tag
from engine.definitions.templates import template_names
from engine.definitions.trees import conditions_of
from engine.errors import Position

MAX_CONDITIONS = 500
"""In one tree with all that its segments stand for: SQLite takes expressions 1,000 deep, and no bomb may unfold."""
MAX_NESTING = 24
"""Of groups and segments in each other: SQLite's parser has a stack of 100."""


def check_templates(
    definitions: Iterable[Campaign | Care], paths: Collection[str], report: Report
) -> None:
    """Every template that a step names must be there, in any language."""
    email, sms = template_names(paths, "email"), template_names(paths, "sms")
    for definition in definitions:
        for step in definition.wordings:
            if step.email is not None:
                _check_template("email", step.email.template, email, step.email.position, report)
            if step.sms is not None:
                _check_template("sms", step.sms.template, sms, step.sms.position, report)


def _check_template(
    channel: str, name: str, known: Collection[str], position: Position, report: Report
) -> None:
    if name not in known:
        report.unknown(position, f"{channel} template", name, known, "unknown-template")


def check_segments(
    trees: Sequence[Tree], segments: Mapping[str, Segment], known: Collection[str], report: Report
) -> None:
    """Every segment that is named must be there. `known`: all names, those of broken files too.

    Also: no segment may contain itself, and none may unfold beyond `MAX_CONDITIONS` or `MAX_NESTING`.
    """
    for tree in (*trees, *(segment.tree for segment in segments.values())):
        for condition in _naming(tree):
            if condition.arguments["name"] not in known:
                name = condition.arguments["name"]
                report.unknown(condition.position, "segment", name, known, "unknown-segment")
    in_circle = _check_circles(segments, report)
    if not in_circle:
        _check_sizes(trees, segments, report)


def check_grades(trees: Iterable[Tree], policy: Policy, report: Report) -> None:
    """Every grade that is named must be one of the policy's."""
    known = [name for name, _ in policy.grading.grades]
    for tree in trees:
        for condition in conditions_of(tree):
            if condition.name != "grade":
                continue
            for name in _named(condition):
                if name is not None and name not in known:
                    report.unknown(condition.position, "grade", name, known, "unknown-grade")


def check_levels(trees: Iterable[Tree], membership: Membership, report: Report) -> None:
    """Every level that is asked for must be one of membership.yaml."""
    known = [level.name for level in membership.levels]
    for condition in (one for tree in trees for one in conditions_of(tree)):
        if condition.name == "membership":
            for name in condition.arguments.get("level", ()):
                if name not in known:
                    report.unknown(condition.position, "level", name, known, "unknown-level")


def check_tags(trees: Iterable[Tree], policy: Policy, report: Report) -> None:
    """Every tag that is asked for must be one of tagging.yaml; without it an import may bring any."""
    dimensions = policy.tagging.dimensions
    for condition in (one for tree in trees for one in conditions_of(tree) if one.name == "tag"):
        asked = condition.arguments
        values = asked.get("in", [asked["value"]] if "value" in asked else ())
        if dimensions:
            check_tag(asked["dimension"], values, condition.position, dimensions, report)


def _named(condition: Condition) -> tuple[str | None, ...]:
    taken = condition.arguments
    return (*taken.get("in", ()), *taken.get("not_in", ()), taken.get("eq"))


def _naming(tree: Tree) -> Iterator[Condition]:
    return (condition for condition in conditions_of(tree) if condition.name == "segment")


def _check_circles(segments: Mapping[str, Segment], report: Report) -> bool:
    """Take away, again and again, what names only what was taken away: what stays names itself in the end."""
    left = {name: segment.uses & segments.keys() for name, segment in segments.items()}
    while free := {name for name, uses in left.items() if not uses}:
        left = {name: uses - free for name, uses in left.items() if name not in free}
    reported: set[str] = set()
    for name in sorted(left):
        circle = _circle(name, left)
        if circle and not reported & set(circle):
            reported |= set(circle)
            position = next(
                condition.position
                for condition in _naming(segments[name].tree)
                if condition.arguments["name"] == circle[1]
            )
            message = f"segments in a circle: {' → '.join(circle)}"
            report.error(position, message, "segment-cycle")
    return bool(left)


def _circle(start: str, uses: Mapping[str, Collection[str]]) -> list[str] | None:
    """A shortest way from `start` back to itself, or None if it only leads into a circle."""
    came_from: dict[str, str] = {}
    edge = [start]
    while edge:
        following = []
        for name in edge:
            for used in sorted(uses.get(name, ())):
                if used == start:
                    way = [name]
                    while way[-1] != start:
                        way.append(came_from[way[-1]])
                    return [*reversed(way), start]
                if used not in came_from:
                    came_from[used] = name
                    following.append(used)
        edge = following
    return None


@dataclass(frozen=True, slots=True)
class _Extent:
    """What a tree unfolds into."""

    conditions: int = 1
    nesting: int = 1


def _check_sizes(trees: Iterable[Tree], segments: Mapping[str, Segment], report: Report) -> None:
    """Two segments that each name the next one twice, thirty levels deep, would be a billion conditions."""
    extents: dict[str, _Extent] = {}
    for name in _from_the_leaves(segments):
        extent = _extent(segments[name].tree, extents)
        fits = _check_extent(extent, segments[name].position, report)
        extents[name] = extent if fits else _Extent()  # told once, where it begins
    for tree in trees:
        first = next(conditions_of(tree), None)
        if first is not None:
            _check_extent(_extent(tree, extents), first.position, report)


def _extent(tree: Tree, extents: Mapping[str, _Extent]) -> _Extent:
    if isinstance(tree, Condition):
        named = tree.arguments["name"] if tree.name == "segment" else ""
        return extents.get(named, _Extent())
    inside = [_extent(child, extents) for child in tree.children]
    return _Extent(
        sum(extent.conditions for extent in inside),
        1 + max((extent.nesting for extent in inside), default=0),
    )


def _check_extent(extent: _Extent, position: Position, report: Report) -> bool:
    if extent.conditions > MAX_CONDITIONS:
        message = f"{extent.conditions:,} conditions, segments unfolded; at most {MAX_CONDITIONS} are taken"
        report.error(position, message, "too-large")
    elif extent.nesting > MAX_NESTING:
        message = f"groups and segments {extent.nesting} deep in each other; at most {MAX_NESTING} are taken"
        report.error(position, message, "too-deep")
    return extent.conditions <= MAX_CONDITIONS and extent.nesting <= MAX_NESTING


def _from_the_leaves(segments: Mapping[str, Segment]) -> Iterator[str]:
    """Each segment after those that it names; there is no circle."""
    left = {name: segment.uses & segments.keys() for name, segment in segments.items()}
    while free := sorted(name for name, uses in left.items() if not uses):
        yield from free
        left = {name: uses - set(free) for name, uses in left.items() if name not in free}
