"""When nothing goes: `quiet_hours` and `quiet_days`, of the policy and of an exception in its calendar."""

from __future__ import annotations

from typing import get_args

from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.cron import WEEKDAYS
from engine.definitions.policy import QuietDays, QuietHours
from engine.definitions.public_holidays import country
from engine.definitions.reading import Fields, Key, Reader, Record, list_of, one_or_more
from engine.definitions.report import Report
from engine.definitions.scalars import choice, hours, matching
from engine.definitions.steps import CHANNELS, LATER_CHANNELS

CLASSES: tuple[MessageClass, ...] = get_args(MessageClass)
CHANNEL: Reader[Channel] = choice(*CHANNELS, later=LATER_CHANNELS)
CLASS: Reader[MessageClass] = choice(*CLASSES)


def _hours(fields: Fields) -> tuple[QuietHours, ...]:
    return tuple(
        QuietHours(
            channel=channel,
            hours=fields.get(channel),
            position=fields.at(channel).position,
            text=fields.at(channel).to(fields.nodes[channel].span).text,
        )
        for channel in CHANNELS
        if channel in fields
    )


QUIET_HOURS: Reader[tuple[QuietHours, ...]] = Record(
    {channel: Key(hours(), 'As in "20:00-08:00", the customer\'s zone.') for channel in CHANNELS}
).build(_hours)


def _check_days(fields: Fields, report: Report) -> None:
    if "weekdays" not in fields and "holidays" not in fields:
        message = "no days: `weekdays` or `holidays` is missing"
        report.error(fields.span.position, message, "missing-key")
    if len(set(fields.get("weekdays", ()))) == len(WEEKDAYS):
        message = "all seven days are quiet: nothing of this class would ever go"
        report.error(fields.at("weekdays").position, message, "bad-value")


_DAYS: Reader[QuietDays] = Record(
    {
        "class": Key(one_or_more(choice("marketing", "care")), "Marketing where it is not given."),
        "channel": Key(one_or_more(CHANNEL), "Any where it is not given."),
        "weekdays": Key(one_or_more(choice(*WEEKDAYS)), "By name: [sat, sun]."),
        "holidays": Key(
            matching("[A-Z]{2}", "a country's code such as CN").then(country),
            "The public holidays of a country; its worked weekend days are not quiet.",
        ),
    },
    check=_check_days,
).build(
    lambda fields: QuietDays(
        classes=frozenset(fields.get("class", ("marketing",))),
        channels=frozenset(fields.get("channel", ())),
        weekdays=frozenset(WEEKDAYS.index(day) for day in fields.get("weekdays", ())),
        holidays=fields.get("holidays"),
        position=fields.span.position,
        text=fields.span.text,
    )
)
QUIET_DAYS: Reader[tuple[QuietDays, ...]] = list_of(_DAYS, most=20)
