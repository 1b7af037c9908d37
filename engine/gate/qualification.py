"""Does the customer still qualify? The audience and `still` are asked again, in sets, one question per version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select

from engine.audience.compiler import PEOPLE, Scope, matches, members
from engine.definitions.campaign import Care
from engine.definitions.policy import Policy
from engine.definitions.segment import EVERYONE
from engine.gate.candidates import Candidate, Version
from engine.gate.decision import Because, Skip, of_definition
from engine.gate.reasons import stands
from engine.gate.states import is_committed
from engine.store.among import among
from engine.store.tables import customers, deliveries, orders

NO_LONGER = "no longer qualifies"


def no_longer_qualified(
    connection: Connection,
    policy: Policy,
    candidates: Sequence[Candidate],
    versions: Mapping[str, Version],
    now: datetime,
) -> dict[int, Skip]:
    """Skips by delivery id, for those who have left the audience or for whom `still` no longer holds."""
    by_version: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_version[candidate.digest].append(candidate)
    skips: dict[int, Skip] = {}
    for digest, group in by_version.items():
        version = versions[digest]
        scope = Scope(now=now, timezone=policy.timezone, policy=policy, segments=version.segments)
        skips |= _left_the_audience(connection, version, scope, group)
        skips |= _still_fails(connection, version, scope, group)
    return skips


def _left_the_audience(
    connection: Connection, version: Version, scope: Scope, group: Iterable[Candidate]
) -> dict[int, Skip]:
    definition = version.definition
    if definition.audience == EVERYONE:
        return {}
    asked = sorted({candidate.customer_id for candidate in group})
    inside = members(connection, definition.audience, scope, asked)
    rule = of_definition(definition, "audience")
    return {
        candidate.id: Skip(Because(NO_LONGER, rule, {"condition": "audience"}))
        for candidate in group
        if candidate.customer_id not in inside
    }


def _still_fails(
    connection: Connection, version: Version, scope: Scope, group: Sequence[Candidate]
) -> dict[int, Skip]:
    definition = version.definition
    if not isinstance(definition, Care):
        return {}
    anchor = orders.alias("anchor")
    reason = stands(definition.trigger, anchor)
    if definition.still is None and reason is None:
        return {}
    people = PEOPLE.join(deliveries, deliveries.c.customer_id == customers.c.id).outerjoin(
        anchor, anchor.c.id == deliveries.c.order_id
    )
    query = select(deliveries.c.id).select_from(people).where(among(deliveries.c.id, "ids"))
    if definition.still is not None:
        query = query.where(matches(definition.still, scope, anchor=anchor, again=True))
    if reason is not None:
        query = query.where(reason)
    ids = [candidate.id for candidate in group]
    holds = set(connection.execute(query, {"ids": ids}).scalars())
    rule = of_definition(definition, "still" if definition.still is not None else "trigger")
    return {
        candidate.id: Skip(Because(NO_LONGER, rule, {"condition": "still"}))
        for candidate in group
        if candidate.id not in holds
    }


class Again:
    """Care rules with `again`: which occurrences of a rule a customer has had, those of this batch included.

    Of a series only the first step counts, and only that is asked: a series that has begun goes on to its end.
    """

    def __init__(
        self,
        connection: Connection,
        candidates: Iterable[Candidate],
        versions: Mapping[str, Version],
        now: datetime,
    ) -> None:
        self._now = now
        self._limits = {
            digest: (definition, definition.again.delta)
            for digest, version in versions.items()
            if isinstance(definition := version.definition, Care) and definition.again is not None
        }
        self._had: dict[tuple[str, int], list[tuple[str, str, datetime]]] = {}
        asked = [candidate for candidate in candidates if candidate.digest in self._limits]
        if asked:
            self._fetch(connection, asked)

    def _fetch(self, connection: Connection, asked: Sequence[Candidate]) -> None:
        longest = max(delta for _, delta in self._limits.values())
        wanted = {(candidate.definition, candidate.customer_id) for candidate in asked}
        rows = connection.execute(
            _HAD,
            {
                "customers": sorted({customer for _, customer in wanted}),
                "since": self._now - longest,
            },
        )
        for definition, customer, anchor, public_id, at in rows:
            if (definition, customer) in wanted:
                self._had.setdefault((definition, customer), []).append((anchor, public_id, at))

    def skip(self, candidate: Candidate) -> Skip | None:
        """A skip where another occurrence went out within `again`; exactly that long ago is long enough."""
        limit = self._limit(candidate)
        had = self._had.get((candidate.definition, candidate.customer_id)) if limit else None
        if not limit or not had:
            return None
        definition, delta = limit
        for anchor, public_id, at in had:
            if anchor != candidate.anchor and self._now - at < delta:
                evidence = {"delivery": public_id, "admitted_at": at.isoformat()}
                return Skip(Because("again", of_definition(definition, "again"), evidence))
        return None

    def admitted(self, candidate: Candidate) -> None:
        if self._limit(candidate):
            key = (candidate.definition, candidate.customer_id)
            entry = (candidate.anchor, candidate.public_id, self._now)
            self._had.setdefault(key, []).append(entry)

    def _limit(self, candidate: Candidate) -> tuple[Care, timedelta] | None:
        limit = self._limits.get(candidate.digest)
        return limit if limit and limit[0].steps[0].id == candidate.step else None


# Named customers, not definitions: SQLite would walk through all that a definition ever sent.
_HAD = select(
    deliveries.c.definition,
    deliveries.c.customer_id,
    deliveries.c.anchor,
    deliveries.c.public_id,
    deliveries.c.admitted_at,
).where(
    among(deliveries.c.customer_id, "customers"),
    deliveries.c.admitted_at > bindparam("since"),
    is_committed,
    deliveries.c.parent_step.is_(None),
)
