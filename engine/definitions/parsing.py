"""One file's text → its definition, by the folder that it lies in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from engine.definitions.campaign import Campaign, Care
from engine.definitions.campaign_file import CAMPAIGN
from engine.definitions.care_file import CARE
from engine.definitions.membership import FILE as MEMBERSHIP_FILE
from engine.definitions.membership import Membership
from engine.definitions.membership_file import MEMBERSHIP
from engine.definitions.policy import FILE as POLICY_FILE
from engine.definitions.policy import Policy
from engine.definitions.policy_file import DEFAULT_POLICY, POLICY
from engine.definitions.reading import Reader
from engine.definitions.report import Report
from engine.definitions.segment import Segment
from engine.definitions.segment_file import SEGMENT
from engine.definitions.tagging import FILE as TAGGING_FILE
from engine.definitions.tagging import Tagging
from engine.definitions.tagging_file import TAGGING
from engine.definitions.values import ID
from engine.definitions.yaml_nodes import Entries, Node, Scalar, read_yaml
from engine.errors import Position

Parsed = Campaign | Care | Segment
FOLDERS: Mapping[str, str] = {"campaigns": "campaign", "care": "care", "segments": "segment"}
"""Where the files of each kind lie."""
_READERS: Mapping[str, Reader[Campaign] | Reader[Care] | Reader[Segment]] = {
    "campaign": CAMPAIGN,
    "care": CARE,
    "segment": SEGMENT,
}


def folder_of(path: str) -> str | None:
    """The definitions' folder that a path lies in, or None.

    >>> folder_of("care/birthday.yaml"), folder_of("templates/sms/care.txt.j2")
    ('care', None)
    """
    first = PurePosixPath(path).parts[0]
    return first if first in FOLDERS else None


def path_of(kind: str, name: str) -> str:
    """Where a definition's file lies.

    >>> path_of("segment", "dormant-vip")
    'segments/dormant-vip.yaml'
    """
    folder = next(folder for folder, holds in FOLDERS.items() if holds == kind)
    return f"{folder}/{name}.yaml"


def parse(path: str, text: str, report: Report) -> Parsed | None:
    """The definition in one of the folders' files, or None after a report."""
    folder = folder_of(path)
    assert folder is not None
    parsed = None
    with report.bounded() as found:
        _check_path(path, folder, found)
        node = read_yaml(path, text, found)
        if node is not None:
            _check_kind(node, FOLDERS[folder], folder, found)
            parsed = _READERS[FOLDERS[folder]].read(node, found)
        elif not found.errors:
            found.error(Position(path), "the file is empty", "missing-key")
    return None if found.errors else parsed


def parse_policy(text: str, report: Report) -> Policy | None:
    """The policy, or None after a report; a file of comments only is the default policy."""
    policy = None
    with report.bounded() as found:
        node = read_yaml(POLICY_FILE, text, found)
        policy = DEFAULT_POLICY if node is None else POLICY.read(node, found)
    return None if found.errors else policy


def parse_membership(text: str, report: Report) -> Membership | None:
    """The levels, or None after a report: a file without any has no meaning."""
    membership = None
    with report.bounded() as found:
        node = read_yaml(MEMBERSHIP_FILE, text, found)
        if node is not None:
            membership = MEMBERSHIP.read(node, found)
        elif not found.errors:
            found.error(Position(MEMBERSHIP_FILE), "the file is empty", "missing-key")
    return None if found.errors else membership


def parse_tagging(text: str, report: Report) -> Tagging | None:
    """The tags and their rules, or None after a report; a file of comments only has none."""
    with report.bounded() as found:
        node = read_yaml(TAGGING_FILE, text, found)
        tagging = Tagging() if node is None else TAGGING.read(node, found)
    return None if found.errors else tagging


def _check_path(path: str, folder: str, report: Report) -> None:
    name = PurePosixPath(path)
    if len(name.parts) > 2:
        message = f"definitions lie in {folder}/ itself, not deeper"
        report.error(Position(path), message, "file-name")
    if name.suffix != ".yaml":
        report.error(Position(path), f"rename it to {name.stem}.yaml", "file-name")
    if not re.fullmatch(ID, name.stem):
        message = f"{name.stem!r} cannot be an id: a file's name is a-z, 0-9 and -, at most 100"
        report.error(Position(path), message, "file-name")


def _check_kind(node: Node, kind: str, folder: str, report: Report) -> None:
    """A file of another kind has other keys: say that it lies in the wrong folder, too."""
    written = node.get("kind") if isinstance(node, Entries) else None
    if isinstance(written, Scalar) and written.value in _READERS and written.value != kind:
        message = f"a {written.value} in {folder}/: move the file, or write kind: {kind}"
        report.error(written.span.position, message, "kind")
