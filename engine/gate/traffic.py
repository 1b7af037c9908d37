"""The shop's traffic as the volume caps see it: counted in the database, then kept by the one who admits.

One `Traffic` may live as long as a dispatcher holds its lease: nobody else admits meanwhile, so that what it adds
itself is all that is new. It may count too much (a transaction undone, a message that failed), never too little, and
looks afresh at least every minute. A new lease needs a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.limits import Limit
from engine.definitions.overrides import evidence_of
from engine.definitions.policy import Overflow, Policy, VolumeRule
from engine.definitions.quiet import Opening
from engine.gate.budgets import Budgets
from engine.gate.candidates import Candidate, Catalog
from engine.gate.counting import Counter, read_meter
from engine.gate.decision import Because, Defer, Skip, of_policy
from engine.gate.outlets import Outlets
from engine.gate.permission import Route
from engine.gate.volume import (
    LOOK_AHEAD,
    SECOND,
    Daily,
    Meter,
    Outlet,
    Spacing,
    binds,
    microseconds,
    moment_of,
)
from engine.store.warm_ups import begun_warm_ups, remember_warm_up, warm_up_key

VOLUME, RATE = "volume", "rate"
_STALE = timedelta(seconds=60)
_STALE_WHEN_FULL = timedelta(seconds=5)
_LONGEST_WAIT = 600 * SECOND
_EARLY = SECOND
"""Half of the look-ahead: messages that wait for a rate come back this long before their turn."""


class Traffic:
    """The meters of a policy's volume rules, and how far their queues of waiting messages reach."""

    def __init__(self, outlets: Outlets | None = None) -> None:
        self._outlets = outlets or Outlets()
        self.budgets = Budgets()
        self._policy: Policy | None = None
        self._overflow: Overflow = "defer"
        self._now = self._loaded_at = datetime.min.replace(tzinfo=UTC)
        self._full = False
        self._meters: list[Meter] = []
        self._binding: dict[
            tuple[MessageClass, Channel, str | None, Outlet | None], tuple[Meter, ...]
        ] = {}
        self._warming: list[Daily] = []  # warm-ups whose beginning is not written down yet
        self._queues: dict[VolumeRule, dict[int, int]] = {}  # rule → priority → last place given

    def prepare(self, connection: Connection, catalog: Catalog, now: datetime) -> None:
        """Begin a batch: look into the database where what is known may be out of date. No query without rules."""
        policy, known = catalog.policy, self._policy
        self._now, self._overflow, self._never_capped = now, policy.overflow, policy.never_capped
        self._counter = Counter(connection, catalog, self._outlets, now)
        if known is None or (policy.volume, policy.calendar) != (known.volume, known.calendar):
            self._queues = {}
        elif not self._is_stale(now):
            return
        self._policy, self._loaded_at, self._full = policy, now, False
        begun = begun_warm_ups(connection, policy.volume)
        self._meters = [self._meter(rule, policy, begun) for rule in policy.volume]
        self._warming = [
            meter
            for meter in self._meters
            if isinstance(meter, Daily) and meter.rule.warm_up and meter.limit.begun is None
        ]
        self._by_outlet = any(rule.sender or rule.provider for rule in policy.volume)
        self._binding = {}

    def _meter(self, rule: VolumeRule, policy: Policy, begun: Mapping[str, date]) -> Meter:
        first = begun.get(warm_up_key(rule)) if rule.warm_up else None
        limit = Limit.of(rule, ZoneInfo(policy.timezone), policy.calendar, first)
        return read_meter(self._counter, limit)

    def remember(self, connection: Connection, now: datetime) -> None:
        """Write down which warm-ups began with what was admitted, in the transaction that admits it."""
        for meter in self._warming:
            if meter.limit.begun is not None:
                day = date.fromordinal(meter.limit.begun)
                remember_warm_up(connection, meter.rule, day, now)
        self._warming = [meter for meter in self._warming if meter.limit.begun is None]

    def _is_stale(self, now: datetime) -> bool:
        if now < self._loaded_at:
            return True
        return now - self._loaded_at >= (_STALE_WHEN_FULL if self._full else _STALE)

    def judge(
        self, candidate: Candidate, route: Route, opening: Opening
    ) -> datetime | Defer | Skip:
        """The stamp with which it may go, `now` itself where nothing holds it; else when to look again, or why never."""
        meters = self._bound(candidate, route)
        if self._never_capped and candidate.address(route.channel) in self._never_capped:
            meters = tuple(meter for meter in meters if meter.rule.is_rate)
        if not meters:
            return self._now
        start = microseconds(self._now)
        stamp = _joint(meters, start)
        if stamp == start:
            return self._now
        if stamp is not None and stamp <= start + LOOK_AHEAD:
            return moment_of(stamp)
        return self._wait(candidate, meters, stamp, opening)

    def admitted(self, candidate: Candidate, route: Route, send_at: datetime) -> None:
        meters = self._bound(candidate, route)
        if meters:
            stamp = microseconds(send_at)
            for meter in meters:
                meter.add(stamp)

    def _bound(self, candidate: Candidate, route: Route) -> tuple[Meter, ...]:
        if not self._meters:
            return ()
        outlet = self._counter.outlet_of(candidate, route.channel) if self._by_outlet else None
        key = (candidate.message_class, route.channel, route.domain, outlet)
        found = self._binding.get(key)
        if found is None:
            found = tuple(meter for meter in self._meters if binds(meter.rule, *key))
            self._binding[key] = found
        return found

    def _wait(
        self, candidate: Candidate, meters: Sequence[Meter], stamp: int | None, opening: Opening
    ) -> Defer | Skip:
        start = microseconds(self._now)
        final = [meter for meter in meters if self._ends(meter, start)]
        meter = final[0] if final else max(meters, key=lambda one: _or_never(one.earliest(start)))
        throttle = isinstance(meter, Spacing)
        self._full = self._full or not throttle
        because = _because(meter, start)
        if stamp is None or final:
            return Skip(because)
        if throttle:
            return Defer(self._turn(meter, candidate, stamp, start), because, record=False)
        free = opening(moment_of(stamp))
        if free is None or free > candidate.not_after:
            return Skip(because)
        place = opening(moment_of(self._place(meter, candidate.priority, stamp)))
        return Defer(place if place and place <= candidate.not_after else free, because)

    def _ends(self, meter: Meter, start: int) -> bool:
        """Whether the rule is full, and ends what does not go through it. A rate never does."""
        if isinstance(meter, Spacing) or (meter.rule.overflow or self._overflow) == "defer":
            return False
        return _or_never(meter.earliest(start)) > start + LOOK_AHEAD

    def _turn(self, meter: Meter, candidate: Candidate, free: int, start: int) -> datetime:
        """When one who waits for a rate comes back: shortly before its place in the queue, within its lifetime.

        A queue longer than ten minutes comes back spread over the ten minutes after those, so that a change of the
        rate, or a queue that shrinks, is felt.
        """
        place = self._place(meter, candidate.priority, free)
        wait = place - _EARLY - start
        if wait > _LONGEST_WAIT:
            wait = _LONGEST_WAIT + wait % _LONGEST_WAIT
        latest = microseconds(candidate.not_after) - _EARLY - start
        return moment_of(start + max(_EARLY, min(wait, latest)))

    def _place(self, meter: Meter, priority: int, free: int) -> int:
        """The next place in the rule's queue, behind those of the same or a higher priority."""
        queue = self._queues.setdefault(meter.rule, {})
        ahead = [last for other, last in queue.items() if other >= priority]
        place = max([free, *ahead])
        # Places lie a tenth closer than the rate: some of those who come back will not go, and should leave no gap.
        queue[priority] = place + meter.step() * 9 // 10
        return place


def _joint(meters: Sequence[Meter], start: int) -> int | None:
    """The first moment from `start` on at which every meter has room."""
    moment = start
    while True:
        settled = moment
        for meter in meters:
            later = meter.earliest(moment)
            if later is None:
                return None
            moment = later
        if moment == settled:
            return moment


def _or_never(moment: int | None) -> float:
    return float("inf") if moment is None else moment


def _because(meter: Meter, start: int) -> Because:
    rule, limit = meter.rule, meter.limit
    day = limit.day(start)
    evidence: dict[str, Any] = {
        "max": limit.on(day),
        "per": str(rule.per),
        "counted": meter.counted(start),
        **evidence_of(limit.override(day)),
    }
    if rule.warm_up is not None and limit.begun is not None:
        evidence["warm_up"] = {"begun": date.fromordinal(limit.begun).isoformat(), "full": rule.maximum}  # fmt: skip
    return Because(RATE if isinstance(meter, Spacing) else VOLUME, of_policy(rule), evidence)
