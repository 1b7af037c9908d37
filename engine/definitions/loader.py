"""All files of a project → definitions that fit together, or every problem that they have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from engine.definitions import project_files, references
from engine.definitions.campaign import Campaign, Care
from engine.definitions.mappings import check_mappings
from engine.definitions.membership import FILE as MEMBERSHIP_FILE
from engine.definitions.membership import Membership
from engine.definitions.parsing import (
    Parsed,
    folder_of,
    parse,
    parse_membership,
    parse_policy,
    parse_tagging,
    path_of,
)
from engine.definitions.policy import FILE as POLICY_FILE
from engine.definitions.policy import Policy
from engine.definitions.policy_file import DEFAULT_POLICY
from engine.definitions.report import Report
from engine.definitions.rhythm import check_rhythms
from engine.definitions.segment import Segment, Tree
from engine.definitions.sendable import stem
from engine.definitions.spending import check_budgets
from engine.definitions.tagging import FILE as TAGGING_FILE
from engine.definitions.trigger_references import check_triggers
from engine.errors import DefinitionsError, Position, Problem


@dataclass(frozen=True)
class Definitions:
    """A project that is fit to be applied. Campaigns, care rules and segments are keyed by id.

    `files`: everything that was read, YAML and templates, by path relative to the project's root.
    """

    policy: Policy
    campaigns: Mapping[str, Campaign]
    care: Mapping[str, Care]
    segments: Mapping[str, Segment]
    files: Mapping[str, str]
    membership: Membership | None = None

    def sendable(self) -> Mapping[str, Campaign | Care]:
        """Campaigns and care rules by id, which is unique over both."""
        return {**self.campaigns, **self.care}


def read_files(root: Path) -> Mapping[str, str]:
    """The project's files as text, by relative path: policy, campaigns, care, segments, templates.

    Raises DefinitionsError if one of them is no text or too large, with all problems of the others too.
    """
    report = Report()
    reading = project_files.read(root, report)
    if report.errors:
        _check(reading.files, report, reading.unreadable)
        raise DefinitionsError(report.problems)
    return reading.files


def check(files: Mapping[str, str]) -> tuple[Definitions | None, tuple[Problem, ...]]:
    """The definitions, or None where anything is wrong with them; and all problems, warnings too, in file order."""
    report = Report()
    return _check(files, report), report.sorted()


def load(files: Mapping[str, str]) -> Definitions:
    """The definitions. Raises DefinitionsError with all problems."""
    definitions, problems = check(files)
    if definitions is None:
        raise DefinitionsError(problems)
    return definitions


def load_one(
    kind: str, name: str, files: Mapping[str, str]
) -> tuple[Campaign | Care, Mapping[str, Segment]]:
    """A definition and the segments it names, from a version's own files (no policy among them).

    Raises DefinitionsError, also where the file is not there.
    """
    path, report = path_of(kind, name), Report()
    if path not in files:
        raise DefinitionsError([Problem(Position(path), "there is no such file", "unreadable")])
    parts = _Parts.of(files, report)
    definition = parts.sendable.get(path)
    _check_references(parts, files, report)
    if definition is None or report.errors:
        raise DefinitionsError(report.problems)
    return definition, MappingProxyType(parts.segments)


def load_policy(files: Mapping[str, str]) -> Policy:
    """The policy with the tagging; the defaults where there is no such file. Raises DefinitionsError."""
    report = Report()
    policy = _policy(files, report)
    if policy is None:
        raise DefinitionsError(report.problems)
    return policy


def load_membership(files: Mapping[str, str]) -> Membership | None:
    """The levels of membership.yaml; None where there is no such file. Raises DefinitionsError."""
    report = Report()
    membership = _membership(files, report)
    if report.errors:
        raise DefinitionsError(report.problems)
    return membership


@dataclass(frozen=True)
class _Parts:
    """What could be parsed: campaigns and care rules by path, segments by name."""

    sendable: Mapping[str, Campaign | Care]
    segments: Mapping[str, Segment]

    @classmethod
    def of(cls, files: Mapping[str, str], report: Report) -> _Parts:
        sendable: dict[str, Campaign | Care] = {}
        segments: dict[str, Segment] = {}
        for path in sorted(path for path in files if folder_of(path)):
            parsed: Parsed | None = parse(path, files[path], report)
            if isinstance(parsed, Segment):
                segments[parsed.id] = parsed
            elif parsed is not None:
                sendable[path] = parsed
        return cls(sendable, segments)

    def trees(self) -> Iterator[Tree]:
        """Every tree that is asked of customers, but those of segments."""
        for definition in self.sendable.values():
            yield definition.audience
            if isinstance(definition, Care) and definition.still is not None:
                yield definition.still


def _check(
    files: Mapping[str, str], report: Report, unreadable: Collection[str] = ()
) -> Definitions | None:
    """`unreadable`: files that are there all the same, so that nobody is told that they are missing."""
    policy = _policy(files, report)
    membership = _membership(files, report)
    parts = _Parts.of(files, report)
    paths = (*files, *unreadable)
    _check_names(paths, report)
    _check_references(parts, paths, report)
    check_mappings(files, report)
    trees = (*parts.trees(), *(segment.tree for segment in parts.segments.values()))
    if membership is not None:
        with report.bounded() as found:
            references.check_levels(trees, membership, found)
    if policy is not None:
        with report.bounded() as found:
            references.check_grades(trees, policy, found)
        with report.bounded() as found:
            references.check_tags(trees, policy, found)
        with report.bounded() as found:
            check_triggers(parts.sendable.values(), policy, membership, found)
        with report.bounded() as found:
            check_budgets(parts.sendable.values(), policy, found)
        with report.bounded() as found:
            check_rhythms(parts.sendable.values(), policy, found)
    if policy is None or report.errors:
        return None
    sendable = parts.sendable.values()
    return Definitions(
        policy=policy,
        campaigns={one.id: one for one in sendable if isinstance(one, Campaign)},
        care={one.id: one for one in sendable if isinstance(one, Care)},
        segments=parts.segments,
        files=dict(files),
        membership=membership,
    )


def _policy(files: Mapping[str, str], report: Report) -> Policy | None:
    text, tags = files.get(POLICY_FILE), files.get(TAGGING_FILE)
    policy = DEFAULT_POLICY if text is None else parse_policy(text, report)
    tagging = DEFAULT_POLICY.tagging if tags is None else parse_tagging(tags, report)
    return None if policy is None or tagging is None else replace(policy, tagging=tagging)


def _membership(files: Mapping[str, str], report: Report) -> Membership | None:
    text = files.get(MEMBERSHIP_FILE)
    return None if text is None else parse_membership(text, report)


def _check_references(parts: _Parts, paths: Collection[str], report: Report) -> None:
    names = {stem(path) for path in paths if folder_of(path) == "segments"}
    with report.bounded() as found:
        references.check_segments(tuple(parts.trees()), parts.segments, names, found)
    with report.bounded() as found:
        references.check_templates(parts.sendable.values(), paths, found)


def _check_names(paths: Collection[str], report: Report) -> None:
    """A campaign and a care rule of one name would be one id; some files would never be read."""
    campaigns = {stem(path): path for path in paths if folder_of(path) == "campaigns"}
    for path in sorted(path for path in paths if folder_of(path) == "care"):
        if stem(path) in campaigns:
            message = f"the id {stem(path)!r} is taken by {campaigns[stem(path)]}"
            report.error(Position(path), message, "duplicate-id")
    for path in paths:
        if path in project_files.LATER_FILES:
            report.not_yet(Position(path), path)
        elif path == project_files.MISNAMED_POLICY:
            report.error(Position(path), f"rename it to {POLICY_FILE}", "file-name")
