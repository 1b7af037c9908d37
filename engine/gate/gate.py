"""The gate as a whole: every check in its order, one decision per delivery, over one batch, reading only.

The caller holds the dispatcher's lease in the same transaction and writes the decisions in it: what is counted here
cannot change before they are committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from engine.definitions.campaign import Campaign, Channel
from engine.gate.candidates import Candidate, Catalog, Version
from engine.gate.decision import Because, Decision, Send, Skip, of_definition
from engine.gate.history import History, fetch_history
from engine.gate.hours import QuietTimes
from engine.gate.permission import Route, ask_permissions, choose
from engine.gate.qualification import Again, no_longer_qualified
from engine.gate.traffic import Traffic

Decided = tuple[Candidate, Decision]
ALL_CHANNELS: frozenset[Channel] = frozenset({"email", "sms"})

Versions = Mapping[str, Version]
Wanted = list[tuple[Candidate, tuple[Channel, ...]]]
Settled = dict[int, Decision]
"""Decisions by delivery id that do not depend on the rest of the batch."""


def decide(
    connection: Connection,
    catalog: Catalog,
    candidates: Sequence[Candidate],
    now: datetime,
    *,
    channels: frozenset[Channel] = ALL_CHANNELS,
    traffic: Traffic | None = None,
) -> list[Decided]:
    """What becomes of each candidate, in the order given, which is that of priority: earlier ones take scarce places.

    `channels`: those that this installation can send on. `traffic`: kept between batches by who holds the lease;
    None counts the shop's traffic anew. Reads only.
    """
    policy = catalog.policy
    digests = {candidate.digest for candidate in candidates}
    versions = {digest: catalog.version(connection, digest) for digest in digests}
    settled: Settled = {}
    wanted = _fit(candidates, versions, now, settled)
    allowed = ask_permissions(connection, policy, wanted)
    routes: dict[int, Route] = {}
    for candidate, steps_channels in wanted:
        route = choose(candidate, steps_channels, allowed, channels, now)
        if isinstance(route, Route):
            routes[candidate.id] = route
        else:
            settled[candidate.id] = route
    standing = [candidate for candidate in candidates if candidate.id in routes]
    settled |= no_longer_qualified(connection, policy, standing, versions, now)
    standing = [candidate for candidate in standing if candidate.id not in settled]
    quiet = QuietTimes(policy, now)
    awake = [
        (one, route) for one in standing if quiet.are_over(one, (route := routes[one.id]).channel)
    ]
    traffic = Traffic() if traffic is None else traffic
    traffic.prepare(connection, policy, now)
    walk = _Walk(
        quiet=quiet,
        again=Again(connection, standing, versions, now),
        history=fetch_history(connection, catalog, awake, now),
        traffic=traffic,
        now=now,
    )
    return [(one, walk.decide(one, settled.get(one.id), routes.get(one.id))) for one in candidates]


def _fit(
    candidates: Sequence[Candidate], versions: Versions, now: datetime, settled: Settled
) -> Wanted:
    """Those who are fit to be sent to at all, with the channels still open to them; the others are settled."""
    steps = {
        (digest, step.id): step.channels
        for digest, version in versions.items()
        for step in version.definition.steps
    }
    wanted: Wanted = []
    for candidate in candidates:
        channels = steps.get((candidate.digest, candidate.step))
        if candidate.malicious:
            settled[candidate.id] = Skip(Because("malicious"))
        elif now > candidate.not_after:
            settled[candidate.id] = _expired(candidate, versions[candidate.digest])
        elif channels is None:
            settled[candidate.id] = Skip(Because("step removed", evidence={"step": candidate.step}))
        else:
            wanted.append((candidate, channels[candidate.channel_index :]))
    return wanted


def _expired(candidate: Candidate, version: Version) -> Skip:
    definition = version.definition
    key = "schedule.expires" if isinstance(definition, Campaign) else "trigger.grace"
    evidence = {
        "due_at": candidate.due_at.isoformat(),
        "not_after": candidate.not_after.isoformat(),
    }
    return Skip(Because("expired", of_definition(definition, key), evidence))


@dataclass(frozen=True, slots=True)
class _Walk:
    """The checks that depend on what was decided before: each admission counts for those that follow."""

    quiet: QuietTimes
    again: Again
    history: History
    traffic: Traffic
    now: datetime

    def decide(
        self, candidate: Candidate, settled: Decision | None, route: Route | None
    ) -> Decision:
        decision = settled or self._judge(candidate, route)
        self.history.settle(candidate, decision)
        if isinstance(decision, Send) and route is not None:
            self.again.admitted(candidate)
            self.traffic.admitted(candidate, route, decision.send_at)
        return decision

    def _judge(self, candidate: Candidate, route: Route | None) -> Decision:
        assert route is not None, "a candidate without a route is settled"
        opening = self.quiet.opening(candidate, route.channel)
        return (
            self.again.skip(candidate)
            or self.quiet.judge(candidate, route.channel, self.now)
            or self.history.judge(candidate, route, opening)
            or self._stamp(candidate, route)
        )

    def _stamp(self, candidate: Candidate, route: Route) -> Decision:
        opening = self.quiet.opening(candidate, route.channel)
        answer = self.traffic.judge(candidate, route, opening)
        if not isinstance(answer, datetime):
            return answer
        # A stamp a second ahead may fall into quiet hours that begin in between.
        ahead = None if answer is self.now else self.quiet.judge(candidate, route.channel, answer)
        return ahead or Send(route.channel, route.address_hash, route.domain, answer)
