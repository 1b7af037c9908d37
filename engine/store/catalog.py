"""What was applied, as the daemon sees it: versions parsed from the files that the database keeps, cached by digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Text, cast, func, select

from engine.definitions.campaign import Campaign, Care
from engine.definitions.loader import load_membership, load_one, load_policy
from engine.definitions.membership import Membership
from engine.definitions.policy import Policy
from engine.definitions.segment import Segment
from engine.errors import StoreError
from engine.store.tables import definitions

POLICY, TAGGING, MEMBERSHIP = "policy", "tagging", "membership"
SENDABLE = ("campaign", "care")
_IDS = select(definitions.c.id).where(definitions.c.current).order_by(definitions.c.id).subquery()
_IN_FORCE = select(func.aggregate_strings(cast(_IDS.c.id, Text), ","))
"""Which versions are in force, in one row: it is asked several times a second, and there may be a thousand."""


@dataclass(frozen=True, slots=True)
class Version:
    """One applied version of a campaign or care rule, with everything that it needs to be sent.

    `applied_at`: when it was put in force, the last time.
    """

    digest: str
    path: str
    files: Mapping[str, str]
    definition: Campaign | Care
    segments: Mapping[str, Segment]
    applied_at: datetime


@dataclass
class Catalog:
    """The definitions in force. `policy` holds the tagging too; `current` is by id; `version` also finds those that rows in flight are pinned to."""

    policy: Policy
    policy_digest: str
    current: Mapping[str, Version]
    _versions: dict[str, Version] = field(repr=False)
    membership: Membership | None = None

    def version(self, connection: Connection, digest: str) -> Version:
        """The version with this digest. Raises StoreError where it was never applied."""
        found = self._versions.get(digest)
        if found is None:
            row = connection.execute(
                select(definitions).where(
                    definitions.c.digest == digest, definitions.c.kind.in_(SENDABLE)
                )
            ).first()
            if row is None:
                raise StoreError(f"database: no applied version {digest[:12]}")
            found = self._versions[digest] = _parse(row)
        return found


def policy_in_force(connection: Connection) -> Policy | None:
    """The policy that was applied, with its tagging; None: nothing was applied yet."""
    parts = (POLICY, TAGGING)
    question = select(definitions.c.kind, definitions.c.files).where(definitions.c.current)
    if connection.execute(question.limit(1)).first() is None:
        return None
    rows = connection.execute(question.where(definitions.c.kind.in_(parts)))
    found = {row.kind: row.files for row in rows}
    policy, tagging = (load_policy(found.get(part, {})) for part in parts)
    return replace(policy, tagging=tagging.tagging)


class CatalogReader:
    """Reads the catalog again and again; parses only what it has not seen."""

    def __init__(self) -> None:
        self._versions: dict[str, Version] = {}
        self._policy = ("", load_policy({}))
        self._tagging = ("", load_policy({}).tagging)
        self._fingerprint: str | None = None
        self._catalog: Catalog | None = None

    def read(self, connection: Connection) -> Catalog:
        """The catalog as of this transaction; cheap while nothing was applied since."""
        ids = connection.execute(_IN_FORCE).scalar()
        if self._catalog is None or ids != self._fingerprint:
            self._catalog, self._fingerprint = self._load(connection), ids
        return self._catalog

    def _load(self, connection: Connection) -> Catalog:
        rows = connection.execute(select(definitions).where(definitions.c.current)).all()
        current, membership = {}, None
        for row in rows:
            if row.kind in SENDABLE:
                known = self._versions.get(row.digest) or _parse(row)
                current[row.name] = replace(known, applied_at=row.applied_at)
                self._versions[row.digest] = current[row.name]
            elif row.kind == POLICY and row.digest != self._policy[0]:
                self._policy = (row.digest, load_policy(row.files))
            elif row.kind == MEMBERSHIP:
                membership = load_membership(row.files)
        self._load_tagging(rows)
        digest, policy = self._policy
        policy = replace(policy, tagging=self._tagging[1])
        return Catalog(policy, digest, current, self._versions, membership)

    def _load_tagging(self, rows: Sequence[Any]) -> None:
        row = next((row for row in rows if row.kind == TAGGING), None)
        digest, files = (row.digest, row.files) if row else ("", {})
        if digest != self._tagging[0]:
            self._tagging = (digest, load_policy(files).tagging)


def _parse(row: Any) -> Version:
    definition, segments = load_one(row.kind, row.name, row.files)
    return Version(row.digest, row.path, row.files, definition, segments, row.applied_at)
