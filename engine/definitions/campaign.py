"""What is sent: campaigns (a date, an audience) and care rules (for ever, per customer), and their one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any, Literal

from engine.definitions.cron import Cron
from engine.definitions.festivals import Festival
from engine.definitions.segment import Tree
from engine.definitions.values import Duration, Hours
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
class Budget:
    """At most so much, in millionths of the shop's currency: in each calendar month of the shop, or ever. `currency`:
    as written, if it was."""

    millionths: int
    currency: str | None
    monthly: bool
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class FestiveDays:
    """Every year's days of these festivals or solar terms, `offset` days before (negative) or after them, at `time`.

    `prefix` and a festival's slug make the anchor: `festival:2026-qixi`, `solar_term:2026-lichun`.
    """

    prefix: Literal["festival", "solar_term"]
    festivals: tuple[Festival, ...]
    offset: int
    time: time


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One date (`at`), or those of `recurs`: wall-clock time where `per_customer`, or where `zone` is given; else in the
    shop's zone.

    `at` keeps no zone of its own when written without an offset (`fixed` is None); with an offset it is an instant,
    the same for everybody, and stands in `fixed` (UTC).

    `send_time` None: at that time; else by each customer's own clock on its date: at their usual hour (who has none: at
    that time), or spread over a window. `finish_by` is a wall-clock time as `at` is, or an instant where that is one.
    """

    at_text: str = ""  # as written: the anchor derives from it and never changes
    at: datetime | None = None  # naive wall-clock time
    fixed: datetime | None = None
    recurs: Cron | FestiveDays | None = None
    zone: str | None
    per_customer: bool
    spread: Duration | None
    expires: Duration
    position: Position
    send_time: Literal["usual_hour"] | Hours | None = None
    finish_by: datetime | None = None


TriggerKind = Literal[
    "order", "unpaid", "dormant", "replenishment", "birthday", "anniversary", "festival", "solar_term",
    "membership.expires", "membership.changed", "grade.changed", "tag.added", "event",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What starts a care message.

    Something that happened (`order`, `unpaid`, `membership.changed`, `grade.changed`, `tag.added`, `event`) starts it after
    `delay`: in days it counts local dates and goes out at `time` (None: at the event's own time of day); in s, m, h it is
    exact and `time` is refused. A day (`birthday`, `anniversary`, `membership.expires`) starts it `offset` days later
    (negative: ahead), at `time`. `dormant` and `replenishment` have a time span of their own. Festivals and solar terms are a
    `schedule`, in each customer's zone.

    `arguments`, by kind: unpaid, dormant, festival and solar_term have none; `birthday`: `calendar` solar | lunar; `anniversary`: `of`
    first_order | joining; `membership.expires`: `level` tuple; `membership.changed`: `from to` tuples of levels,
    `direction` rose | fell; `grade.changed`: the same of grades; `replenishment`: `category` tuple, `factor` Decimal;
    `tag.added`: `dimension` str, `value` tuple; `event`: `kind` str, `data` as of the condition `event`, `region`
    RegionRule. What is missing narrows nothing.
    """

    kind: TriggerKind
    status: Literal["placed", "paid", "shipped", "arrived", "received", "refunded"] | None = None
    delay: Duration | None = None
    after: Duration | None = None  # of dormant
    offset: int | None = None  # in days
    arguments: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule | None = None
    time: time | None
    grace: Duration
    position: Position

    @property
    def has_order(self) -> bool:
        """Whether an order stands behind each message: the one whose event it was, or the last one before a silence."""
        return self.kind in ("order", "unpaid", "dormant", "replenishment")


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
    budget: Budget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(Definition):
    schedule: Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Care(Definition):
    trigger: Trigger
    again: Duration | None = None  # at most one per customer in this time
    still: Tree | None = None  # asked again at the gate; may name the anchor

    @property
    def schedule(self) -> Schedule | None:
        """The days on which it goes to everybody, of a festival or solar term; what concerns one customer has none."""
        return self.trigger.schedule
