"""What differs between the project's files and what is in force: added, changed, removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from sqlalchemy import Connection, select

from engine.definitions.loader import Definitions
from engine.definitions.tagging import FILE as TAGGING_FILE
from engine.definitions.version import digest, version_files
from engine.store.catalog import MEMBERSHIP, POLICY, SENDABLE, TAGGING
from engine.store.tables import definitions as definitions_table

What = Literal["added", "changed", "removed", "unchanged"]
POLICY_FILE = "policy.yaml"
MEMBERSHIP_FILE = "membership.yaml"
SEGMENT = "segment"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One definition as the files have it."""

    kind: str
    name: str
    path: str
    files: Mapping[str, str]
    digest: str


@dataclass(frozen=True, slots=True)
class Change:
    """`before` and `after` are digests; None where it was not, or will not be, in force."""

    what: What
    kind: str
    name: str
    path: str
    before: str | None
    after: str | None


def wanted(definitions: Definitions) -> dict[tuple[str, str], Wanted]:
    """Every definition of the project with its version's files and digest, by (kind, name)."""
    found: dict[tuple[str, str], Wanted] = {}
    for name, definition in definitions.sendable().items():
        files = version_files(definition, definitions.files)
        found[definition.kind, name] = _wanted(
            definition.kind, name, definition.position.file, files
        )
    for name, segment in definitions.segments.items():
        path = segment.position.file
        found[SEGMENT, name] = _wanted(SEGMENT, name, path, {path: definitions.files[path]})
    for kind, path in (
        (POLICY, POLICY_FILE),
        (TAGGING, TAGGING_FILE),
        (MEMBERSHIP, MEMBERSHIP_FILE),
    ):
        if path in definitions.files:
            only = {path: definitions.files[path]}
            found[kind, kind] = _wanted(kind, kind, path, only)
    return found


def compare(connection: Connection, new: Mapping[tuple[str, str], Wanted]) -> list[Change]:
    """Every difference, and what stays, in a stable order."""
    rows = connection.execute(
        select(
            definitions_table.c.kind,
            definitions_table.c.name,
            definitions_table.c.path,
            definitions_table.c.digest,
        ).where(definitions_table.c.current)
    ).all()
    old = {(row.kind, row.name): row for row in rows}
    return [_change(key, old.get(key), new.get(key)) for key in sorted({*old, *new})]


def versions_to_come(changes: Sequence[Change]) -> frozenset[str]:
    """The campaigns and care rules of which an apply puts a new version in force."""
    return frozenset(
        c.name for c in changes if c.kind in SENDABLE and c.what in ("added", "changed")
    )


def fingerprint(connection: Connection, new: Mapping[tuple[str, str], Wanted]) -> str:
    """A digest of what is in force and of what the files say: a kept plan holds only while both stay the same."""
    parts = [f"{c.kind}/{c.name}:{c.before}:{c.after}" for c in compare(connection, new)]
    return sha256("\n".join(parts).encode()).hexdigest()


def _wanted(kind: str, name: str, path: str, files: Mapping[str, str]) -> Wanted:
    return Wanted(kind, name, path, files, digest(files))


def _change(key: tuple[str, str], old: object, new: Wanted | None) -> Change:
    kind, name = key
    before = getattr(old, "digest", None)
    after = new.digest if new else None
    path = new.path if new else str(getattr(old, "path", ""))
    what: What = "added" if before is None else "removed" if after is None else "changed"
    if before == after:
        what = "unchanged"
    return Change(what, kind, name, path, before, after)
