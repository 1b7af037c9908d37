"""`overdue:` of policy.yaml → Overdue: what becomes of messages that came due while nobody could send them."""

from __future__ import annotations

from engine.definitions.policy import Overdue
from engine.definitions.reading import Fields, Key, Reader, Record
from engine.definitions.report import Report
from engine.definitions.scalars import choice, duration
from engine.definitions.values import Duration

_LEAST_SECONDS = 300
"""A restart takes moments; the daemon looks every fifteen seconds."""


def _check(fields: Fields, report: Report) -> None:
    if "over" in fields and fields.get("do") != "spread":
        message = "over says how long to spread: it goes with do: spread"
        report.error(fields.at("over").position, message, "bad-value")
    after = fields.get("after", Duration(1, "h"))
    if after.seconds < _LEAST_SECONDS:
        message = "after must be 5m or more: a restart is no outage"
        report.error(fields.at("after").position, message, "bad-value")


OVERDUE: Reader[Overdue] = Record(
    {
        "after": Key(duration(), "How late a message must be; 1h by default."),
        "do": Key(choice("drop", "spread", "send"), "What becomes of it.", required=True),
        "over": Key(duration(), "With spread: over this time; 4h by default."),
    },
    check=_check,
).build(
    lambda fields: Overdue(
        after=fields.get("after", Duration(1, "h")),
        do=fields.get("do"),
        over=fields.get("over", Duration(4, "h")),
        position=fields.span.position,
        text=fields.span.text,
    )
)
