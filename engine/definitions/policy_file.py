"""`policy.yaml` → Policy: caps, quiet hours, consent, prices, grading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.definitions.budget_file import BUDGETS
from engine.definitions.calendar_file import CALENDAR, check_calendar
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.cap_file import FREQUENCY, OVERFLOW, VOLUME
from engine.definitions.grading_file import GRADING
from engine.definitions.overdue_file import OVERDUE
from engine.definitions.policy import Policy, Prices, Stages
from engine.definitions.quiet_file import CLASSES, QUIET_DAYS, QUIET_HOURS
from engine.definitions.ranking_file import HOLDOUT
from engine.definitions.reading import Fields, Key, Reader, Record, list_of
from engine.definitions.report import Report
from engine.definitions.scalars import (
    boolean,
    decimal,
    duration,
    integer,
    matching,
    text,
    zone,
)
from engine.definitions.steps import CHANNELS

UNKNOWN_CONSENT: Mapping[tuple[Channel, MessageClass], bool] = {
    (channel, name): name != "marketing" for channel in CHANNELS for name in CLASSES
}
"""Where nobody knows: care and transactional may be sent, marketing may not."""

PRICES: Reader[Prices] = Record(
    {
        "email": Key(decimal(), "Of one email."),
        "sms": Key(decimal(), "Of one SMS part."),
        "currency": Key(matching("[A-Z]{3}", "a currency such as CNY")),
    }
).build(lambda fields: Prices(**fields.values))


def _check_stages(fields: Fields, report: Report) -> None:
    repeat, loyal = (fields.get(key, getattr(Stages(), key)) for key in ("repeat", "loyal"))
    if loyal <= repeat:
        key = "loyal" if "loyal" in fields else "repeat"
        message = (
            f"loyal from {loyal} orders, repeat from {repeat}: loyal must need more than repeat"
        )
        report.error(fields.at(key).position, message, "bad-value")


STAGES: Reader[Stages] = Record(
    {
        "repeat": Key(integer(3, 10_000), "From so many completed orders on; 3 by default."),
        "loyal": Key(integer(4, 10_000), "From so many completed orders on; 5 by default."),
    },
    check=_check_stages,
).build(lambda fields: Stages(**fields.values))

_per_class: Reader[dict[str, bool]] = Record({name: Key(boolean()) for name in CLASSES}).build(
    lambda fields: dict(fields.values)
)
_per_channel: Reader[dict[str, dict[str, bool]]] = Record(
    {channel: Key(_per_class) for channel in CHANNELS}
).build(lambda fields: dict(fields.values))


def _consent(fields: Fields) -> Mapping[tuple[Channel, MessageClass], bool]:
    given: dict[str, dict[str, bool]] = fields.get("unknown", {})
    return {
        (channel, name): given.get(channel, {}).get(name, default)
        for (channel, name), default in UNKNOWN_CONSENT.items()
    }


CONSENT: Reader[Mapping[tuple[Channel, MessageClass], bool]] = Record(
    {"unknown": Key(_per_channel, "May one send where the customer's consent is unknown?")}
).build(_consent)


def _own_address(written: str) -> str:
    """An email in lower case, or a phone number in the form +8613800138000."""
    if "@" in written:
        return written.lower()
    digits = re.sub(r"[ ().-]", "", written)
    if re.fullmatch(r"1[0-9]{10}", digits):
        return f"+86{digits}"
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", digits):
        raise ValueError(f"{written!r} is neither an email address nor a phone number")
    return digits


def _policy(fields: Fields) -> Policy:
    values: dict[str, Any] = dict(fields.values)
    consent = values.pop("consent", UNKNOWN_CONSENT)
    never_capped = frozenset(values.pop("never_capped", ()))
    return Policy(
        **values,
        unknown_consent=consent,
        never_capped=never_capped,
        position=fields.span.position,
    )


DEFAULT_POLICY = Policy(unknown_consent=UNKNOWN_CONSENT)

POLICY: Reader[Policy] = Record(
    {
        "timezone": Key(zone(), "The shop's zone; Asia/Shanghai by default."),
        "grading": Key(GRADING, "How customers are graded."),
        "dormant_after": Key(duration(), "Asleep without an order for so long; 180d by default."),
        "stages": Key(STAGES, "When a buyer is a repeat buyer, and when a loyal one."),
        "prices": Key(PRICES, "What messages cost, for plans."),
        "never_capped": Key(
            list_of(text().then(_own_address)), "One's own addresses: no cap holds for them."
        ),
        "quiet_hours": Key(QUIET_HOURS, "When marketing and care wait."),
        "quiet_days": Key(QUIET_DAYS, "Days on which marketing, or care, does not go."),
        "frequency": Key(
            list_of(FREQUENCY, most=50), "Per customer; every matching rule must allow."
        ),
        "volume": Key(list_of(VOLUME, most=50), "Of the whole shop."),
        "budget": Key(BUDGETS, "What may be spent in a month."),
        "overflow": Key(OVERFLOW, "When a cap is full; defer by default."),
        "overdue": Key(OVERDUE, "After an outage: what becomes of what came due meanwhile."),
        "holdout": Key(HOLDOUT, "Of all customers: they get no marketing, to compare with."),
        "consent": Key(CONSENT, "What may be sent where consent is unknown."),
        "calendar": Key(CALENDAR, "Exceptions that end by themselves."),
    },
    later=frozenset({"guard", "providers"}),
    check=check_calendar,
).build(_policy)
