"""The gate as a whole: every check in its order, one decision per delivery, over one batch, reading only.

The caller holds the dispatcher's lease in the same transaction and writes the decisions in it: what is counted here
cannot change before they are committed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from engine.definitions.campaign import Campaign, Channel
from engine.definitions.quiet import Opening
from engine.gate.candidates import Candidate, Catalog, Version
from engine.gate.decision import Because, Decision, Send, Skip, of_definition
from engine.gate.history import History, fetch_history
from engine.gate.hours import QuietTimes
from engine.gate.permission import Route, ask_permissions, choose
from engine.gate.qualification import Again, no_longer_qualified
from engine.gate.series import no_longer_wanted
from engine.gate.traffic import Traffic

Decided = tuple[Candidate, Decision]
PutOff = Callable[[Candidate, Decision], Decision]
ALL_CHANNELS: frozenset[Channel] = frozenset({"email", "sms"})


def decide(
    connection: Connection,
    catalog: Catalog,
    candidates: Sequence[Candidate],
    now: datetime,
    *,
    channels: frozenset[Channel] = ALL_CHANNELS,
    traffic: Traffic | None = None,
    put_off: PutOff | None = None,
) -> list[Decided]:
    """What becomes of each candidate, in the order given, which is that of priority: earlier ones take scarce places.

    `channels`: those that this installation can send on. `traffic`: kept between batches by who holds the lease;
    None counts the shop's traffic anew. `put_off`: has the last word, for what an operator holds back, which must not
    take places from what goes. Reads only.
    """
    batch = _Batch(connection, catalog, candidates, now)
    batch.set_aside_the_unfit()
    batch.ask_whether_series_go_on()
    batch.choose_channels(channels)
    batch.ask_whether_they_still_qualify()
    walk = batch.walk(Traffic() if traffic is None else traffic, put_off)
    return [
        (candidate, walk.decide(candidate, batch.settled.get(candidate.id), batch.route(candidate)))
        for candidate in candidates
    ]


class _Batch:
    """What can be said of each candidate whatever becomes of the others, asked of the whole batch at a time.

    `settled`: decisions by delivery id; `standing`: who is left.
    """

    def __init__(
        self,
        connection: Connection,
        catalog: Catalog,
        candidates: Sequence[Candidate],
        now: datetime,
    ) -> None:
        self._connection, self._catalog, self._now = connection, catalog, now
        digests = {candidate.digest for candidate in candidates}
        self._versions = {digest: catalog.version(connection, digest) for digest in digests}
        self._channels = {
            (digest, step.id): step.channels
            for digest, version in self._versions.items()
            for step in version.definition.steps
        }
        self._routes: dict[int, Route] = {}
        self.standing = list(candidates)
        self.settled: dict[int, Decision] = {}

    def route(self, candidate: Candidate) -> Route | None:
        return self._routes.get(candidate.id)

    def set_aside_the_unfit(self) -> None:
        """Whom nothing is sent to, what is too late, and steps that the definition no longer has."""
        for candidate in self.standing:
            if candidate.malicious:
                self.settled[candidate.id] = Skip(Because("malicious"))
            elif self._now > candidate.not_after:
                self.settled[candidate.id] = _expired(candidate, self._versions[candidate.digest])
            elif (candidate.digest, candidate.step) not in self._channels:
                evidence = {"step": candidate.step}
                self.settled[candidate.id] = Skip(Because("step removed", evidence=evidence))
        self._close()

    def ask_whether_series_go_on(self) -> None:
        self.settled |= no_longer_wanted(self._connection, self.standing, self._versions, self._now)
        self._close()

    def choose_channels(self, available: frozenset[Channel]) -> None:
        wanted = [
            (one, self._channels[one.digest, one.step][one.channel_index :])
            for one in self.standing
        ]
        allowed = ask_permissions(self._connection, self._catalog.policy, wanted)
        for candidate, channels in wanted:
            route = choose(candidate, channels, allowed, available, self._now)
            if isinstance(route, Route):
                self._routes[candidate.id] = route
            else:
                self.settled[candidate.id] = route
        self._close()

    def ask_whether_they_still_qualify(self) -> None:
        policy = self._catalog.policy
        self.settled |= no_longer_qualified(
            self._connection, policy, self.standing, self._versions, self._now
        )
        self._close()

    def walk(self, traffic: Traffic, put_off: PutOff | None) -> _Walk:
        """The rest of the checks, ready to be gone through in order."""
        policy = self._catalog.policy
        quiet = QuietTimes(policy, self._now)
        traffic.prepare(self._connection, self._catalog, self._now)
        traffic.budgets.prepare(self._connection, self._catalog, self._versions, self._now)
        routed = [(one, self._routes[one.id]) for one in self.standing]
        awake = [pair for pair in routed if quiet.are_over(pair[0], pair[1].channel)]
        return _Walk(
            quiet=quiet,
            again=Again(self._connection, self.standing, self._versions, self._now),
            history=fetch_history(self._connection, self._catalog, awake, self._now),
            traffic=traffic,
            put_off=put_off,
            now=self._now,
        )

    def _close(self) -> None:
        self.standing = [one for one in self.standing if one.id not in self.settled]


def _expired(candidate: Candidate, version: Version) -> Skip:
    definition = version.definition
    evidence = {
        "due_at": candidate.due_at.isoformat(),
        "not_after": candidate.not_after.isoformat(),
    }
    if not isinstance(definition, Campaign):
        return Skip(Because("expired", of_definition(definition, "trigger.grace"), evidence))
    lifetime = definition.schedule.expires.delta
    if definition.schedule.finish_by is not None and candidate.not_after - candidate.due_at < lifetime:  # fmt: skip
        return Skip(Because("finished", of_definition(definition, "schedule.finish_by"), evidence))
    return Skip(Because("expired", of_definition(definition, "schedule.expires"), evidence))


@dataclass(frozen=True, slots=True)
class _Walk:
    """The checks that depend on what was decided before: each admission counts for those that follow."""

    quiet: QuietTimes
    again: Again
    history: History
    traffic: Traffic
    put_off: PutOff | None
    now: datetime

    def decide(
        self, candidate: Candidate, settled: Decision | None, route: Route | None
    ) -> Decision:
        decision = settled or self._judge(candidate, route)
        if self.put_off is not None:
            decision = self.put_off(candidate, decision)
        self.history.settle(candidate, decision)
        if isinstance(decision, Send) and route is not None:
            self.again.admitted(candidate)
            self.traffic.admitted(candidate, route, decision.send_at)
            self.traffic.budgets.admitted(candidate, route.channel)
        return decision

    def _judge(self, candidate: Candidate, route: Route | None) -> Decision:
        assert route is not None, "a candidate without a route is settled"
        opening = self.quiet.opening(candidate, route.channel)
        return (
            self.again.skip(candidate)
            or self.quiet.judge(candidate, route.channel, self.now)
            or self.history.judge(candidate, route, opening)
            or self.traffic.budgets.judge(candidate, route.channel, opening)
            or self._stamp(candidate, route, opening)
        )

    def _stamp(self, candidate: Candidate, route: Route, opening: Opening) -> Decision:
        answer = self.traffic.judge(candidate, route, opening)
        if not isinstance(answer, datetime):
            return answer
        if answer > candidate.not_after:
            return Skip(Because("expired", evidence={"send_at": answer.isoformat()}))
        # A stamp a second ahead may fall into quiet hours that begin in between.
        ahead = None if answer is self.now else self.quiet.judge(candidate, route.channel, answer)
        return ahead or Send(route.channel, route.address_hash, route.domain, answer)
