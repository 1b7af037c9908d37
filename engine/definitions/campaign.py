"""What is sent: campaigns (a date, an audience) and care rules (for ever, per customer), and their one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Literal

from engine.definitions.segment import Tree
from engine.definitions.values import Duration
from engine.errors import Position

Channel = Literal["email", "sms"]
MessageClass = Literal["marketing", "care", "transactional"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailContent:
    """`template` is a name under templates/email; `subject` and `preheader` are Jinja text; `sender` "" = default."""

    subject: str
    template: str
    position: Position
    preheader: str = ""
    sender: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsContent:
    """`template` is a name under templates/sms; more than `max_parts` parts is an error when rendering (None: no limit)."""

    template: str
    position: Position
    max_parts: int | None = None
    sms_type: Literal["notice", "promotion"] | None = (
        None  # None: by class (marketing, care → promotion)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One message. `channels`: tried in this order at the gate; a single channel where the YAML names none."""

    id: str
    channels: tuple[Channel, ...]
    email: EmailContent | None
    sms: SmsContent | None
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One date. `at` is wall-clock time where `per_customer`, or where `zone` is given; else in the shop's zone.

    `at` keeps no zone of its own when written without an offset (`fixed` is None); with an offset it is an instant,
    the same for everybody, and stands in `fixed` (UTC).
    """

    at_text: str  # as written: the run's occurrence and the deliveries' anchor derive from it and never change
    at: datetime  # naive wall-clock time
    fixed: datetime | None
    zone: str | None
    per_customer: bool
    spread: Duration | None
    expires: Duration
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What starts a care message.

    `kind` order: `status` of the order event, then `delay`; a delay in days counts local dates and goes out at
    `time` (None: at the event's own time of day); in s, m, h it is exact and `time` is refused. `kind` birthday: on the day, at
    `time`. `kind` dormant: the last completed order is older than `after`; at `time`.
    """

    kind: Literal["order", "birthday", "dormant"]
    status: Literal["placed", "paid", "shipped", "arrived", "received", "refunded"] | None
    delay: Duration | None
    after: Duration | None
    time: time | None
    grace: Duration
    position: Position

    @property
    def has_order(self) -> bool:
        """Whether an order stands behind each message: the one whose event it was, or the one that sleeps since."""
        return self.kind in ("order", "dormant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What campaigns and care rules share. `id` is the file's stem."""

    id: str
    kind: Literal["campaign", "care"]
    message_class: MessageClass
    priority: int
    audience: Tree
    uses: frozenset[str]  # segments that it names, directly
    steps: tuple[Step, ...]
    on_uncertain: Literal["leave", "resend"]
    position: Position
    lines: Mapping[
        str, tuple[int, str]
    ]  # key path ("schedule.at") → line and the line's text, for `explain`


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(Definition):
    schedule: Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Care(Definition):
    trigger: Trigger
    again: Duration | None = None  # at most one per customer in this time
    still: Tree | None = None  # asked again at the gate; may name the anchor
