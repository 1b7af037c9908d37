"""What is sent: campaigns (a date, an audience) and care rules (for ever, per customer), and their steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal
from itertools import chain
from typing import Any, Literal

from engine.definitions.cron import Cron
from engine.definitions.festivals import Festival
from engine.definitions.segment import Tree
from engine.definitions.values import Duration, Hours
from engine.errors import Position

Channel = Literal["email", "sms"]
MessageClass = Literal["marketing", "care", "transactional"]
Word = Literal["clicked", "opened", "ordered", "unsubscribed", "bounced", "complained"]
"""What may have happened since a message went out, in `unless`, `if` and `stop_on`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailContent:
    """`template` is a name under templates/email; `subject` and `preheader` are Jinja text; `sender` "" = default."""

    subject: str
    template: str
    position: Position
    preheader: str = ""
    sender: str = ""
    rotate: tuple[str, ...] = ()  # templates that take turns; `template` is the first of them


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsContent:
    """`template` is a name under templates/sms; more than `max_parts` parts is an error when rendering (None: no limit)."""

    template: str
    position: Position
    max_parts: int | None = None
    sms_type: Literal["notice", "promotion"] | None = (
        None  # None: by class (marketing, care → promotion)
    )
    rotate: tuple[str, ...] = ()  # as of an email


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """When a later step goes: `wait` after the step named `step` was sent (`on: any`: after whatever end it had).

    `unless`: not if one of these happened by then; `only_if` (YAML: `if`): only if one of these did. Empty: not asked.
    """

    step: str
    wait: Duration
    on: Literal["sent", "any"] = "sent"
    unless: tuple[Word, ...] = ()
    only_if: tuple[Word, ...] = ()
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One wording of a step. `share`: of the customers, in percent; None where variants take turns (`rotate`).

    `wording` is the step with this variant's contents. Its id is no step's (it holds a #), so that it can be told apart
    where templates are compiled; it is never written to the database.
    """

    id: str
    wording: Step
    share: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One message. `channels`: tried in this order at the gate; a single channel where the YAML names none.

    `after` None: the first step, which the schedule or the trigger starts. `variants`: wordings by share. `rotation`: where
    a channel's templates take turns, the wordings of every channel of the step; of one that does not rotate, a single one.
    """

    id: str
    channels: tuple[Channel, ...]
    email: EmailContent | None
    sms: SmsContent | None
    position: Position
    after: After | None = None
    variants: tuple[Variant, ...] = ()
    rotation: Mapping[Channel, tuple[Variant, ...]] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether everybody gets the same wording."""
        return not self.variants and not self.rotation

    @property
    def wordings(self) -> tuple[Step, ...]:
        """The step in each of its wordings, in a fixed order."""
        if self.is_plain:
            return (self,)
        return tuple(one.wording for one in (*self.variants, *chain(*self.rotation.values())))

    def choices(self, channel: Channel) -> tuple[Variant, ...]:
        """The wordings that a message on this channel may have; none where there is nothing to choose."""
        return self.variants or self.rotation.get(channel, ())

    def worded(self, channel: Channel, variant: str | None) -> Step:
        """The wording of this name; the first one where an edit took it away meanwhile."""
        choices = [one.wording for one in self.choices(channel) if one.id == variant]
        return (choices or [one.wording for one in self.choices(channel)] or [self])[0]


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
    holdout: Decimal | None = None  # percent of the audience that gets nothing
    stop_on: tuple[Word, ...] = ()  # ends all later steps of a customer

    def step(self, name: str) -> Step | None:
        """The step of this id; None where an edit took it away."""
        for step in self.steps:
            if step.id == name:
                return step
        return None

    @property
    def wordings(self) -> tuple[Step, ...]:
        """Every step in each of its wordings."""
        return tuple(wording for step in self.steps for wording in step.wordings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(Definition):
    schedule: Schedule

    @property
    def lifetime(self) -> Duration:
        """How long after its due time a message of it may still go."""
        return self.schedule.expires


@dataclass(frozen=True, slots=True, kw_only=True)
class Care(Definition):
    trigger: Trigger
    again: Duration | None = None  # at most one per customer in this time
    still: Tree | None = None  # asked again at the gate; may name the anchor

    @property
    def schedule(self) -> Schedule | None:
        """The days on which it goes to everybody, of a festival or solar term; what concerns one customer has none."""
        return self.trigger.schedule

    @property
    def lifetime(self) -> Duration:
        """How long after its due time a message of it may still go."""
        schedule = self.trigger.schedule
        return self.trigger.grace if schedule is None else schedule.expires
