"""Frequency caps: at most so many messages per customer, and per address, in every window of a rule's length.

Committed messages count at their admission; open ones of strictly higher priority hold a place as long as they can
still go. Windows in s, m and h roll; windows in days are whole local days of the customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from engine.clock import from_local
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.overrides import Overrides, evidence_of, overrides_of
from engine.definitions.policy import FrequencyRule, Overflow, Override, Policy
from engine.definitions.quiet import Opening
from engine.gate.candidates import Candidate
from engine.gate.decision import Because, Defer, Skip, of_policy
from engine.gate.windows import Item, fullest_window, next_room

FREQUENCY = "frequency"
LOOK_AGAIN_AT_LEAST = timedelta(minutes=1)
_CAPPED_BY_DEFAULT: frozenset[MessageClass] = frozenset({"marketing", "care"})
_LONGEST_DAY = timedelta(days=2)
"""More than any local day lasts, those on which a zone's clocks or its side of the date line change included."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Cap:
    """A frequency rule with its defaults filled in. `length` in days or microseconds; `reach`: how long before a
    moment a message may have gone and still count at it (windows of days begin at a local midnight). `least`: the lowest
    that the maximum is from now on, whatever exceptions the calendar has."""

    rule: FrequencyRule
    classes: frozenset[MessageClass]
    channels: frozenset[Channel]
    length: int
    reach: timedelta
    overrides: Overrides
    least: int

    @classmethod
    def of(cls, rule: FrequencyRule, overrides: Overrides, now: datetime) -> Cap:
        per = rule.per
        length = per.amount if per.is_days else per.delta // _MICROSECOND
        reach = per.delta + _LONGEST_DAY if per.is_days else per.delta
        classes = rule.classes or _CAPPED_BY_DEFAULT
        least = overrides.least(rule.maximum, _factor, now)
        return cls(rule, classes, rule.channels, length, reach, overrides, least)

    def maximum(self, moment: datetime) -> tuple[int, datetime | None]:
        """How many a window that holds this moment may count, and until when that is so (None: for ever)."""
        override, edge = self.overrides.at(moment)
        if override is None:
            return self.rule.maximum, edge
        return int(self.rule.maximum * override.frequency_factor), edge

    def override(self, moment: datetime) -> Override | None:
        """The exception that changes the maximum at this moment."""
        found, _ = self.overrides.at(moment)
        return found if found is not None and found.frequency_factor != 1 else None

    def binds(self, message_class: MessageClass, channels: Iterable[Channel]) -> bool:
        """Whether a message of this class that may take one of these channels counts in it."""
        if message_class not in self.classes:
            return False
        return not self.channels or not self.channels.isdisjoint(channels)


@dataclass(slots=True, eq=False)
class Entry:
    """A message that uses up a cap (`priority` None, first = last) or holds a place in it until it expires.

    `label`: the delivery's public id, or `contact` for a message of another system.
    """

    label: str
    customer_id: int
    message_class: MessageClass
    channels: tuple[Channel, ...]
    first: datetime
    last: datetime
    priority: int | None = None

    def holds_against(self, priority: int) -> bool:
        """A place held: the message ranks strictly higher and can still go."""
        return self.priority is not None and self.priority > priority and self.first <= self.last

    def evidence(self) -> dict[str, Any]:
        facts = {"delivery": self.label, "class": self.message_class, "channel": self.channels[0]}
        if self.priority is None:
            return {**facts, "at": self.first.isoformat()}
        span = {"from": self.first.isoformat(), "until": self.last.isoformat()}
        return {**facts, "priority": self.priority, **span}


@dataclass(slots=True)
class Book:
    """All that counts against one customer or one address."""

    committed: list[Entry] = field(default_factory=list)
    reserved: list[Entry] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.committed) + len(self.reserved)


@dataclass(frozen=True, slots=True)
class Check:
    """One cap on one book, its windows laid in one zone, for one candidate. `by`: customer or address."""

    cap: Cap
    by: str
    zone: ZoneInfo
    committed: tuple[Entry, ...]
    reserved: tuple[Entry, ...]
    _laid: dict[bool, list[Item]] = field(default_factory=dict, compare=False, repr=False)
    """What fills the windows, without the places held and with them: asked for at each moment that is tried."""

    def next_room(self, moment: datetime, *, heed_reserved: bool) -> datetime | None:
        """The first moment from this one on with room; `moment` itself if it has. None: never."""
        items = self._items(heed_reserved=heed_reserved)
        while True:
            maximum, edge = self.cap.maximum(moment)
            here = self._position(moment)
            there = next_room(items, here, self.cap.length, maximum)
            if there is not None:
                found = moment if there == here else self._moment(there)
                if edge is None or found < edge:
                    return found
            if edge is None:
                return None
            moment = edge  # another maximum holds from here on

    def evidence(self, moment: datetime) -> dict[str, Any]:
        """Which messages fill the window that this moment would fall in."""
        entries = self.committed + self.reserved
        items = self._items(heed_reserved=True)
        window = fullest_window(items, self._position(moment), self.cap.length)
        inside = [entries[place] for place in window]
        return {
            "by": self.by,
            "max": self.cap.maximum(moment)[0],
            "per": str(self.cap.rule.per),
            "used": [entry.evidence() for entry in inside if entry.priority is None],
            "reserved": [entry.evidence() for entry in inside if entry.priority is not None],
            **evidence_of(self.cap.override(moment)),
        }

    def _items(self, *, heed_reserved: bool) -> list[Item]:
        found = self._laid.get(heed_reserved)
        if found is None:
            position = self._position
            entries = self.committed + self.reserved if heed_reserved else self.committed
            found = [(position(entry.first), position(entry.last)) for entry in entries]
            self._laid[heed_reserved] = found
        return found

    def _position(self, moment: datetime) -> int:
        if self.cap.rule.per.is_days:
            return moment.astimezone(self.zone).toordinal()
        return (moment - _EPOCH) // _MICROSECOND

    def _moment(self, position: int) -> datetime:
        if self.cap.rule.per.is_days:
            midnight = datetime.combine(date.fromordinal(position), time())
            return from_local(midnight, self.zone.key)
        return _EPOCH + position * _MICROSECOND


def _factor(override: Override) -> Decimal:
    return override.frequency_factor


class Caps:
    """The policy's frequency rules as they hold from `now` on, looked up by class and channel."""

    def __init__(self, policy: Policy, now: datetime) -> None:
        overrides = overrides_of(policy)
        self.all = tuple(Cap.of(rule, overrides, now) for rule in policy.frequency)
        self.classes = frozenset[MessageClass]().union(*(cap.classes for cap in self.all))
        self.overflow = policy.overflow
        self.least = min((cap.least for cap in self.all), default=0)
        self.reach = max((cap.reach for cap in self.all), default=timedelta())
        self._never_capped = policy.never_capped
        self._binding: dict[tuple[MessageClass, Channel], tuple[Cap, ...]] = {}

    def binding(self, candidate: Candidate, channel: Channel) -> tuple[Cap, ...]:
        """The caps that this message has to pass; none for an address that is never capped."""
        key = (candidate.message_class, channel)
        found = self._binding.get(key)
        if found is None:
            found = tuple(cap for cap in self.all if cap.binds(key[0], (channel,)))
            self._binding[key] = found
        if self._never_capped and candidate.address(channel) in self._never_capped:
            return ()
        return found


def judge(
    checks: Sequence[Check],
    overflow: Overflow,
    opening: Opening,
    now: datetime,
    not_after: datetime,
) -> Defer | Skip | None:
    """None if one more may go now; else when, or why never: at once where a full rule's overflow is `skip` (`overflow`:
    that of rules that say nothing).

    What is committed stays: if that alone leaves no moment before expiry, the message can never go. Places held for
    others may yet be given up: the message then waits for the next moment at which one of them is settled.
    """
    full = [check for check in checks if check.next_room(now, heed_reserved=True) != now]
    if not full:
        return None
    final = [check for check in full if (check.cap.rule.overflow or overflow) == "skip"]
    blocking = (final or full)[0]
    because = Because(FREQUENCY, of_policy(blocking.cap.rule), blocking.evidence(now))
    if final:
        return Skip(because)
    until = _earliest(checks, opening, now, not_after, heed_reserved=True)
    if until is None:
        unreserved = _earliest(checks, opening, now, not_after, heed_reserved=False)
        if unreserved is not None:
            until = _look_again(checks, opening, now, not_after, unreserved)
    return Skip(because) if until is None else Defer(until, because)


def _earliest(
    checks: Sequence[Check],
    opening: Opening,
    now: datetime,
    not_after: datetime,
    *,
    heed_reserved: bool,
) -> datetime | None:
    """The first moment until expiry that every cap and the quiet hours leave open."""
    steps: list[Opening] = [
        partial(check.next_room, heed_reserved=heed_reserved) for check in checks
    ]
    moment = now
    while True:
        settled = moment
        for step in (*steps, opening):
            later = step(moment)
            if later is None or later > not_after:
                return None
            moment = later
        if moment == settled:
            return moment


def _look_again(
    checks: Sequence[Check],
    opening: Opening,
    now: datetime,
    not_after: datetime,
    unreserved: datetime,
) -> datetime | None:
    """When a place held for another may be free: as its message comes due or expires; else half-way to our expiry."""
    moments = {unreserved}
    for check in checks:
        for entry in check.reserved:
            moments |= {entry.first, entry.last + _MICROSECOND}
    opened = (opening(moment) for moment in moments if now < moment <= not_after)
    later = [moment for moment in opened if moment is not None and moment <= not_after]
    if later:
        return min(later)
    half = (not_after - now) / 2
    return now + half if half >= LOOK_AGAIN_AT_LEAST else None
