"""What became of a simulated world: per day, channel and definition what went out and cost, what each cap held back, who
was left out and why, how many messages each customer got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Volume:
    """What one definition sent on one of the shop's days by one channel. `parts`: of text messages, estimated."""

    day: date
    channel: str
    definition: str
    sent: int
    parts: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Deliveries of a definition that the gate skipped for one reason. `customers`: up to three, by the shop's ids."""

    reason: str
    count: int
    rule: Mapping[str, Any]  # {file, line, text}, or empty
    customers: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "reason": self.reason,
            "count": self.count,
            "rule": dict(self.rule),
            "customers": list(self.customers),
        }


@dataclass(frozen=True, slots=True)
class Held:
    """What one rule did to a definition's deliveries: `deferrals` decisions about `deferred` of them, `skipped` for good;
    `waiting`: still put off by it at the end."""

    definition: str
    reason: str
    rule: Mapping[str, Any]
    deferrals: int
    deferred: int
    skipped: int
    waiting: int

    @property
    def taken(self) -> int:
        """Messages that the rule took away within the time looked at."""
        return self.skipped + self.waiting

    def as_json(self) -> dict[str, Any]:
        return {
            "definition": self.definition,
            "reason": self.reason,
            "rule": dict(self.rule),
            "deferrals": self.deferrals,
            "deferred": self.deferred,
            "skipped": self.skipped,
            "waiting": self.waiting,
        }


@dataclass(frozen=True, slots=True)
class Course:
    """One definition's part: how many deliveries were due, went out by channel, were left out, wait at the end."""

    id: str
    kind: str
    message_class: str
    due: int
    sent: Mapping[str, int]
    left_out: Sequence[LeftOut]
    waiting: int
    parts: int
    cost: Decimal

    @property
    def total(self) -> int:
        return sum(self.sent.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "class": self.message_class,
            "due": self.due,
            "sent": dict(self.sent),
            "left_out": [one.as_json() for one in self.left_out],
            "waiting": self.waiting,
            "sms_parts": self.parts,
            "cost": str(self.cost),
        }


@dataclass(frozen=True, slots=True)
class Future:
    """From `start` to `end`. `contacts`: number of messages → customers who got that many; `held_by_day`: (day, reason)
    → decisions of caps and quiet hours; `paused`: targets that stay so all the time."""

    start: datetime
    end: datetime
    zone: str
    currency: str
    customers: int
    volumes: Sequence[Volume]
    courses: Sequence[Course]
    held: Sequence[Held]
    held_by_day: Mapping[tuple[date, str], int]
    contacts: Mapping[int, int]
    paused: Sequence[str]

    @property
    def days(self) -> list[date]:
        """Every day of the shop that the time touches."""
        first = self.start.astimezone(ZoneInfo(self.zone)).date()
        last = self.end.astimezone(ZoneInfo(self.zone)).date()
        return [first + timedelta(days=count) for count in range((last - first).days + 1)]

    @property
    def sent(self) -> int:
        return sum(volume.sent for volume in self.volumes)

    @property
    def cost(self) -> Decimal:
        return sum((volume.cost for volume in self.volumes), Decimal())

    def of_day(self, day: date, channel: str) -> int:
        return sum(v.sent for v in self.volumes if v.day == day and v.channel == channel)

    def cost_of(self, day: date) -> Decimal:
        return sum((v.cost for v in self.volumes if v.day == day), Decimal())

    def held_on(self, day: date) -> dict[str, int]:
        return {reason: n for (when, reason), n in self.held_by_day.items() if when == day}

    def caps(self) -> list[Held]:
        """What each rule did over all definitions, the one that takes most away first."""
        merged: dict[tuple[str, str], list[Held]] = {}
        for one in self.held:
            place = f"{one.rule.get('file')}:{one.rule.get('line')}"
            merged.setdefault((one.reason, place), []).append(one)
        found = [_together(group) for group in merged.values()]
        return sorted(found, key=lambda one: (-one.taken, -one.deferrals, one.reason))

    def as_json(self) -> dict[str, Any]:
        """`{start, end, timezone, currency, customers, sent, cost, days: […], definitions: […], caps: […], contacts}`;
        `cost` is text, `contacts` a list of {messages, customers}."""
        return {
            "start": self.start,
            "end": self.end,
            "timezone": self.zone,
            "currency": self.currency,
            "customers": self.customers,
            "sent": self.sent,
            "cost": str(self.cost),
            "days": [self._day(day) for day in self.days],
            "definitions": [course.as_json() for course in self.courses],
            "caps": [one.as_json() for one in self.held],
            "contacts": [
                {"messages": messages, "customers": people}
                for messages, people in self.contacts.items()
            ],
            "paused": list(self.paused),
        }

    def _day(self, day: date) -> dict[str, Any]:
        mine = [volume for volume in self.volumes if volume.day == day]
        return {
            "day": day,
            "email": self.of_day(day, "email"),
            "sms": self.of_day(day, "sms"),
            "sms_parts": sum(volume.parts for volume in mine),
            "cost": str(self.cost_of(day)),
            "held": self.held_on(day),
            "definitions": [
                {"id": v.definition, "channel": v.channel, "sent": v.sent, "cost": str(v.cost)}
                for v in mine
            ],
        }


def _together(group: Sequence[Held]) -> Held:
    return Held(
        ", ".join(sorted({one.definition for one in group})),
        group[0].reason,
        group[0].rule,
        sum(one.deferrals for one in group),
        sum(one.deferred for one in group),
        sum(one.skipped for one in group),
        sum(one.waiting for one in group),
    )
