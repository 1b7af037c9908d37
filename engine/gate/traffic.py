"""The shop's traffic as the volume caps see it: counted in the database, then kept by the one who admits.

One `Traffic` may live as long as a dispatcher holds its lease: nobody else admits meanwhile, so that what it adds
itself is all that is new. It may count too much (a transaction undone, a message that failed), never too little, and
looks afresh at least every minute. A new lease needs a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, func, select

from engine.clock import from_local
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.policy import Policy, VolumeRule
from engine.gate.candidates import Candidate
from engine.gate.decision import Because, Defer, Skip, of_policy
from engine.gate.hours import Opening
from engine.gate.permission import Route
from engine.gate.states import is_committed
from engine.gate.volume import (
    LOOK_AHEAD,
    SECOND,
    Daily,
    Meter,
    Rolling,
    Spacing,
    binds,
    is_rate,
    microseconds,
    moment_of,
    step_seconds,
)
from engine.store.tables import deliveries
from engine.store.types import epoch_seconds

VOLUME, RATE = "volume", "rate"
_STALE = timedelta(seconds=60)
_STALE_WHEN_FULL = timedelta(seconds=5)
_LONGEST_WAIT = 600 * SECOND
_EARLY = SECOND
"""Half of the look-ahead: messages that wait for a rate come back this long before their turn."""


class Traffic:
    """The meters of a policy's volume rules, and how far their queues of waiting messages reach."""

    def __init__(self) -> None:
        self._rules: tuple[VolumeRule, ...] | None = None
        self._overflow = "defer"
        self._now = self._loaded_at = datetime.min.replace(tzinfo=UTC)
        self._full = False
        self._meters: list[Meter] = []
        self._binding: dict[tuple[MessageClass, Channel, str | None], tuple[Meter, ...]] = {}
        self._queues: dict[VolumeRule, dict[int, int]] = {}  # rule → priority → last place given

    def prepare(self, connection: Connection, policy: Policy, now: datetime) -> None:
        """Begin a batch: look into the database where what is known may be out of date. No query without rules."""
        self._now, self._overflow = now, policy.overflow
        if policy.volume != self._rules:
            self._queues = {}
        elif not self._is_stale(now):
            return
        self._rules, self._loaded_at, self._full = policy.volume, now, False
        zone = ZoneInfo(policy.timezone)
        self._meters = [_read(connection, rule, zone, now) for rule in policy.volume]
        self._binding = {}

    def _is_stale(self, now: datetime) -> bool:
        if now < self._loaded_at:
            return True
        return now - self._loaded_at >= (_STALE_WHEN_FULL if self._full else _STALE)

    def judge(
        self, candidate: Candidate, route: Route, opening: Opening
    ) -> datetime | Defer | Skip:
        """The stamp with which it may go, `now` itself where nothing holds it; else when to look again, or why never."""
        meters = self._bound(candidate, route)
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
        key = (candidate.message_class, route.channel, route.domain)
        found = self._binding.get(key)
        if found is None:
            found = tuple(meter for meter in self._meters if binds(meter.rule, *key))
            self._binding[key] = found
        return found

    def _wait(
        self, candidate: Candidate, meters: Sequence[Meter], stamp: int | None, opening: Opening
    ) -> Defer | Skip:
        start = microseconds(self._now)
        meter = max(meters, key=lambda one: _or_never(one.earliest(start)))
        throttle = isinstance(meter, Spacing)
        self._full = self._full or not throttle
        because = _because(meter, start)
        if stamp is None or (self._overflow == "skip" and not throttle):
            return Skip(because)
        if throttle:
            return Defer(self._turn(meter, candidate, stamp, start), because, record=False)
        free = opening(moment_of(stamp))
        if free is None or free > candidate.not_after:
            return Skip(because)
        place = opening(moment_of(self._place(meter, candidate.priority, stamp)))
        return Defer(place if place and place <= candidate.not_after else free, because)

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
    rule = meter.rule
    evidence = {
        "max": rule.maximum,
        "per": str(rule.per),
        "counted": meter.counted(start),
    }
    return Because(RATE if isinstance(meter, Spacing) else VOLUME, of_policy(rule), evidence)


_STAMP: ColumnElement[datetime] = func.coalesce(
    deliveries.c.send_at, deliveries.c.admitted_at, type_=deliveries.c.send_at.type
)
_AHEAD = timedelta(microseconds=LOOK_AHEAD)


def _read(connection: Connection, rule: VolumeRule, zone: ZoneInfo, now: datetime) -> Meter:
    if rule.per.unit == "s":
        return _spacing(connection, rule, now)
    if rule.per.is_days:
        return _daily(connection, rule, zone, now)
    return _rolling(connection, rule, now)


def _since(rule: VolumeRule, since: datetime) -> list[ColumnElement[bool]]:
    """Messages that count for the rule, stamped after `since`. (The index is on admission, a little earlier.)"""
    conditions = [is_committed, deliveries.c.admitted_at > since - _AHEAD, _STAMP.__gt__(since)]
    if rule.channel is not None:
        conditions.append(deliveries.c.channel == rule.channel)
    if rule.domain is not None:
        conditions.append(deliveries.c.channel == "email")
        conditions.append(deliveries.c.email_domain == rule.domain)
    if rule.classes:
        conditions.append(deliveries.c["class"].in_(sorted(rule.classes)))
    elif not is_rate(rule):
        conditions.append(deliveries.c["class"] != "transactional")
    return conditions


def _spacing(connection: Connection, rule: VolumeRule, now: datetime) -> Spacing:
    query = select(_STAMP).where(*_since(rule, now - rule.per.delta))
    newest = query.order_by(_STAMP.desc()).limit(max(rule.maximum, 1))
    return Spacing(rule, map(microseconds, connection.execute(newest).scalars()))


def _rolling(connection: Connection, rule: VolumeRule, now: datetime) -> Rolling:
    width = step_seconds(rule)
    step = (epoch_seconds(_STAMP) // width).label("step")
    since = now - rule.per.delta - timedelta(seconds=width)
    query = select(step, func.count()).where(*_since(rule, since)).group_by(step)
    return Rolling(rule, {int(number): count for number, count in connection.execute(query)})


def _daily(connection: Connection, rule: VolumeRule, zone: ZoneInfo, now: datetime) -> Daily:
    tomorrow = now.astimezone(zone).toordinal() + 1  # stamps reach a little way into it
    bounds = [
        from_local(datetime.combine(date.fromordinal(day), time()), zone.key)
        for day in range(tomorrow - rule.per.amount, tomorrow + 2)
    ]
    counts = {}
    for back, (start, end) in enumerate(pairwise(bounds)):
        query = (
            select(func.count())
            .select_from(deliveries)
            .where(*_since(rule, start - timedelta(microseconds=1)))
            .where(deliveries.c.admitted_at < end, _STAMP.__lt__(end))
        )
        counts[tomorrow - rule.per.amount + back] = connection.execute(query).scalar_one()
    return Daily(rule, zone, counts)
