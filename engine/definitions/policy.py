"""The shop's policy: grading, caps, quiet hours, consent, prices. One file, versioned like every definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from engine.definitions.campaign import Budget, Channel, MessageClass
from engine.definitions.public_holidays import is_holiday, is_worked
from engine.definitions.tagging import Tagging
from engine.definitions.values import Duration, Hours
from engine.errors import Position

FILE = "policy.yaml"
Overflow = Literal["defer", "skip"]
_HALF_A_YEAR = Duration(180, "d")
_TOP = Position(FILE)
_NO_TAGS = Tagging()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Where a rule stands and how it is written: what `explain` shows."""

    position: Position
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """Lower bounds of scores 5, 4, 3, 2 (frequency, monetary) or upper bounds in months of scores 5, 4, 3, 2 (recency)."""

    recency_months: tuple[int, int, int, int] = (1, 3, 4, 7)
    frequency: tuple[int, int, int, int] = (6, 4, 3, 2)
    monetary: tuple[Decimal, Decimal, Decimal, Decimal] = (
        Decimal(2000),
        Decimal(1000),
        Decimal(500),
        Decimal(300),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """RFM: value = 1·R + 3·F + 4·M; grade = the first whose lower bound the value reaches."""

    monetary: Literal["average", "total"] = "average"
    period_months: int = 12
    bands: Bands = Bands()
    weights: tuple[int, int, int] = (1, 3, 4)
    grades: tuple[tuple[str, int], ...] = (("P", 36), ("G", 26), ("S", 17), ("B", 1))
    evaluated_on: tuple[int, int] = (1, 1)  # month and day of the yearly evaluation, the shop's day


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """From how many completed orders of a lifetime a customer counts as a repeat, and as a loyal buyer."""

    repeat: int = 3
    loyal: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours(Rule):
    """No marketing or care on this channel in these hours of the customer's zone (else the shop's)."""

    channel: Channel
    hours: Hours


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietDays(Rule):
    """No message of these classes on these days of the customer's calendar (else the shop's). Empty `channels`: any.

    `weekdays`: 0 is Monday. `holidays`: the public holidays of that country; its weekend days that are worked are none.
    """

    classes: frozenset[MessageClass]
    channels: frozenset[Channel]
    weekdays: frozenset[int]
    holidays: str | None

    def binds(self, message_class: MessageClass, channel: Channel) -> bool:
        return message_class in self.classes and (not self.channels or channel in self.channels)

    def holds(self, day: date) -> bool:
        """Whether this day is quiet. One that is worked instead of another is a day like any, where the rule heeds a
        country's holidays."""
        if self.holidays is None:
            return day.weekday() in self.weekdays
        if is_holiday(self.holidays, day):
            return True
        return day.weekday() in self.weekdays and not is_worked(self.holidays, day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override(Rule):
    """An exception with an end: from the shop's midnight that begins `first` to the one that ends `last`.

    `quiet_hours` stand in for the policy's on the channels that they name, `quiet_days` (None: unchanged) for all of
    them. The factors widen or narrow `max` of frequency rules, and of volume rules that are no rates.
    """

    name: str
    first: date
    last: date
    quiet_hours: tuple[QuietHours, ...] = ()
    quiet_days: tuple[QuietDays, ...] | None = None
    frequency_factor: Decimal = Decimal(1)
    volume_factor: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyRule(Rule):
    """At most `maximum` messages per customer (and per address) in `per`. Empty `classes` or `channels`: any
    (any class = marketing and care; transactional only where it is named). `overflow` None: the policy's."""

    classes: frozenset[MessageClass]
    channels: frozenset[Channel]
    maximum: int
    per: Duration
    overflow: Overflow | None = None


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A cap a day that begins at `start` on the day it is first used, and doubles every so many days until `max`."""

    start: int
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRule(Rule):
    """At most `maximum` messages of the whole shop in `per`. `per` in days: the shop's calendar days; a rule per second,
    for a domain or a provider binds every class, others leave transactional alone unless it is named in `classes`.

    `sender`: an address in lower case; `provider`: the name in yanshu.toml of what a channel goes out by. `warm_up`
    only with a `per` of one day.
    """

    classes: frozenset[MessageClass]
    channel: Channel | None
    domain: str | None
    maximum: int
    per: Duration
    overflow: Overflow | None = None
    sender: str | None = None
    provider: str | None = None
    warm_up: WarmUp | None = None

    @property
    def is_rate(self) -> bool:
        """A rate of the wire or of a provider, as against a cap that the shop chose."""
        return self.per.unit == "s" or self.domain is not None or self.provider is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRule(Rule):
    """What messages of these classes may cost in a month. Empty `channels`: any."""

    budget: Budget
    classes: frozenset[MessageClass]
    channels: frozenset[Channel]
    overflow: Overflow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Per email, and per SMS part."""

    email: Decimal = Decimal("0.02")
    sms: Decimal = Decimal("0.045")
    currency: str = "CNY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue(Rule):
    """After an outage: what becomes of messages that are late by more than `after`. `over`: of `spread`."""

    after: Duration
    do: Literal["drop", "spread", "send"]
    over: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    timezone: str = "Asia/Shanghai"
    grading: Grading = Grading()
    dormant_after: Duration = _HALF_A_YEAR
    stages: Stages = Stages()
    prices: Prices = Prices()
    never_capped: frozenset[str] = frozenset()  # normalised emails and phones
    unknown_consent: Mapping[
        tuple[Channel, MessageClass], bool
    ]  # may one send where consent is unknown?
    quiet_hours: tuple[QuietHours, ...] = ()
    quiet_days: tuple[QuietDays, ...] = ()
    frequency: tuple[FrequencyRule, ...] = ()
    volume: tuple[VolumeRule, ...] = ()
    budget: tuple[BudgetRule, ...] = ()
    overflow: Overflow = "defer"
    holdout: Decimal | None = None  # percent of all customers who get no marketing at all
    calendar: tuple[Override, ...] = ()  # in the order of their days, which never overlap
    overdue: Overdue | None = None  # None: they are sent as they come
    tagging: Tagging = _NO_TAGS  # from a file of its own
    position: Position = _TOP
