"""Definitions, a catalog and rows for tests of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Connection, insert

from engine.definitions.campaign import (
    Budget,
    Campaign,
    Care,
    Channel,
    EmailContent,
    MessageClass,
    Schedule,
    SmsContent,
    Step,
    Trigger,
)
from engine.definitions.policy import (
    BudgetRule,
    FrequencyRule,
    Overflow,
    Override,
    Policy,
    QuietDays,
    QuietHours,
    VolumeRule,
)
from engine.definitions.segment import EVERYONE, Segment, Tree
from engine.definitions.values import Duration, parse_duration, parse_hours
from engine.errors import Position
from engine.store.tables import contacts, customers, deliveries, runs

NOW = datetime(2026, 11, 10, 4, 0, tzinfo=UTC)  # noon in Shanghai
WHERE = Position("policy.yaml", 7, 5)
ANYTHING_GOES = {
    (channel, name): True
    for channel in ("email", "sms")
    for name in ("marketing", "care", "transactional")
}
_numbers = count(1)


@dataclass(frozen=True)
class FakeVersion:
    definition: Campaign | Care
    segments: Mapping[str, Segment] = field(default_factory=dict)


@dataclass
class FakeCatalog:
    """What the gate reads of a catalog; a version's digest is its definition's id."""

    policy: Policy
    versions: dict[str, FakeVersion] = field(default_factory=dict)

    def version(self, connection: Connection, digest: str) -> FakeVersion:
        return self.versions[digest]

    def add(self, definition: Campaign | Care) -> None:
        self.versions[definition.id] = FakeVersion(definition)


def policy(**more: Any) -> Policy:
    return Policy(**({"unknown_consent": ANYTHING_GOES} | more))


def cap(
    maximum: int,
    per: str,
    *,
    classes: tuple[MessageClass, ...] = (),
    channels: tuple[Channel, ...] = (),
    overflow: Overflow | None = None,
) -> FrequencyRule:
    return FrequencyRule(
        classes=frozenset(classes), channels=frozenset(channels), maximum=maximum,
        per=parse_duration(per), position=WHERE, text=f"{{max: {maximum}, per: {per}}}",
        overflow=overflow,
    )  # fmt: skip


def volume(
    maximum: int,
    per: str,
    *,
    classes: tuple[MessageClass, ...] = (),
    channel: Channel | None = None,
    domain: str | None = None,
    **more: Any,
) -> VolumeRule:
    return VolumeRule(
        classes=frozenset(classes), channel=channel, domain=domain, maximum=maximum,
        per=parse_duration(per), position=WHERE, text=f"{{max: {maximum}, per: {per}}}", **more,
    )  # fmt: skip


def quiet_days(
    *weekdays: int,
    classes: tuple[MessageClass, ...] = ("marketing",),
    channels: tuple[Channel, ...] = (),
    holidays: str | None = None,
) -> QuietDays:
    return QuietDays(
        classes=frozenset(classes), channels=frozenset(channels), weekdays=frozenset(weekdays),
        holidays=holidays, position=WHERE, text=f"{{weekdays: {weekdays}}}",
    )  # fmt: skip


def override(name: str, first: date, last: date, **more: Any) -> Override:
    where = Position("policy.yaml", 40, 5)
    return Override(name=name, first=first, last=last, position=where, text=name, **more)


def quiet(channel: Channel, hours: str) -> QuietHours:
    return QuietHours(channel=channel, hours=parse_hours(hours), position=WHERE, text=hours)


def budget(millionths: int, *, monthly: bool = True) -> Budget:
    return Budget(millionths=millionths, currency=None, monthly=monthly, position=WHERE)


def monthly(
    millionths: int,
    *,
    classes: tuple[MessageClass, ...] = ("marketing", "care"),
    channels: tuple[Channel, ...] = (),
    overflow: Overflow | None = None,
) -> BudgetRule:
    return BudgetRule(
        budget=budget(millionths), classes=frozenset(classes), channels=frozenset(channels),
        overflow=overflow, position=WHERE, text=f"{{amount: {millionths}}}",
    )  # fmt: skip


def _common(name: str, message_class: str, priority: int, channels: tuple[Channel, ...]) -> Any:
    where = Position(f"campaigns/{name}.yaml")
    step = Step(
        id="main",
        channels=channels,
        email=EmailContent(subject="s", template="t", position=where),
        sms=SmsContent(template="t", position=where),
        position=where,
    )
    return {
        "id": name, "message_class": message_class, "priority": priority, "uses": frozenset(),
        "steps": (step,), "on_uncertain": "leave", "position": where,
        "lines": {"schedule.expires": (9, "expires: 24h"), "still": (5, "still: …")},
    }  # fmt: skip


def campaign(
    name: str,
    *,
    message_class: MessageClass = "marketing",
    priority: int = 50,
    channels: tuple[Channel, ...] = ("email",),
    audience: Tree = EVERYONE,
    budget: Budget | None = None,
    sender: str = "",
) -> Campaign:
    where = Position(f"campaigns/{name}.yaml", 8)
    schedule = Schedule(
        at_text="2026-11-10T12:00", at=datetime(2026, 11, 10, 12), fixed=None, zone=None,
        per_customer=True, spread=None, expires=Duration(24, "h"), position=where,
    )  # fmt: skip
    common = _common(name, message_class, priority, channels)
    common["steps"] = tuple(
        replace(step, email=replace(step.email, sender=sender)) for step in common["steps"]
    )
    return Campaign(kind="campaign", audience=audience, schedule=schedule, budget=budget, **common)


def care(
    name: str,
    *,
    priority: int = 50,
    channels: tuple[Channel, ...] = ("email",),
    again: Duration | None = None,
    still: Tree | None = None,
) -> Care:
    where = Position(f"care/{name}.yaml", 3)
    trigger = Trigger(
        kind="order", status="received", delay=Duration(7, "d"), after=None, time=None,
        grace=Duration(2, "d"), position=where,
    )  # fmt: skip
    return Care(
        kind="care",
        audience=EVERYONE,
        trigger=trigger,
        again=again,
        still=still,
        **_common(name, "care", priority, channels),
    )


def add_run(connection: Connection) -> int:
    values = {"definition": "any", "occurrence": f"o{next(_numbers)}", "digest": "any"}
    row = insert(runs).values(**values, priority=0, state="open", created_at=NOW)
    return int(connection.execute(row).inserted_primary_key[0])  # type: ignore[index]


def add_customer(connection: Connection, **more: Any) -> int:
    """A customer with an address of their own for each channel, unless told otherwise."""
    ref = f"c{next(_numbers)}"
    values = {
        "ref": ref, "email": f"{ref}@qq.com", "email_hash": f"e-{ref}", "email_domain": "qq.com",
        "phone": f"+86{ref}", "phone_hash": f"p-{ref}", "attributes": {}, "malicious": False,
        "created_at": NOW, "updated_at": NOW,
    } | more  # fmt: skip
    row = connection.execute(insert(customers).values(**values))
    return int(row.inserted_primary_key[0])  # type: ignore[index]


def add_delivery(
    connection: Connection, run: int, customer: int, definition: Campaign | Care, **more: Any
) -> int:
    """A planned delivery that is due now, unless told otherwise; its id."""
    number = next(_numbers)
    values = {
        "public_id": f"d{number}", "definition": definition.id, "step": "main",
        "anchor": f"at:{number}", "digest": definition.id, "class": definition.message_class,
        "priority": definition.priority, "state": "planned", "due_at": NOW, "next_at": NOW,
        "not_after": NOW + timedelta(days=3), "deferrals": 0, "channel_index": 0, "attempts": 0,
        "created_at": NOW,
    } | more  # fmt: skip
    row = insert(deliveries).values(run_id=run, customer_id=customer, **values)
    return int(connection.execute(row).inserted_primary_key[0])  # type: ignore[index]


def add_sent(
    connection: Connection,
    run: int,
    customer: int,
    definition: Campaign | Care,
    at: datetime,
    **more: Any,
) -> int:
    """A delivery that was admitted, stamped and sent by email at that moment."""
    values = {
        "state": "sent", "admitted_at": at, "send_at": at, "sent_at": at, "channel": "email",
        "address_hash": f"e-of-{customer}", "email_domain": "qq.com",
    } | more  # fmt: skip
    return add_delivery(connection, run, customer, definition, **values)


def add_contact(connection: Connection, customer: int, at: datetime, **more: Any) -> None:
    values = {"channel": "email", "class": "marketing"} | more
    connection.execute(insert(contacts).values(customer_id=customer, at=at, **values))
