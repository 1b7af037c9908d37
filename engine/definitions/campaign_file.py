"""`campaigns/ID.yaml` → Campaign: a date, an audience, a message."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.clock import check_aware, check_zone
from engine.definitions.campaign import Campaign, Schedule
from engine.definitions.cron import parse_cron
from engine.definitions.festive_file import (
    FESTIVAL,
    FESTIVALS_READER,
    SOLAR_TERM,
    TERMS_READER,
    festive_days,
)
from engine.definitions.operators import exactly_one
from engine.definitions.ranking_file import AUDIENCE
from engine.definitions.reading import Fields, Key, Reader, Record
from engine.definitions.report import Report
from engine.definitions.scalars import choice, duration, text
from engine.definitions.send_time_file import (
    FIXED,
    SEND_TIME,
    check_finish,
    check_send_time,
    finish_moment,
)
from engine.definitions.sendable import LATER, SHARED, check_shared, shared_values
from engine.definitions.trees import named_segments
from engine.definitions.values import Duration

CUSTOMER = "customer"
WAYS = ("at", "cron", FESTIVAL, SOLAR_TERM)
"""How a schedule says when; one of them."""
DEFAULT_EXPIRES = Duration(3, "d")
_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:00)?(Z|[+-]\d\d:\d\d)?", re.ASCII)


def _moment(written: str) -> str:
    """An ISO text of a real moment, kept as it is: the deliveries' anchor derives from it."""
    try:
        moment = datetime.fromisoformat(written) if _AT.fullmatch(written) else None
    except ValueError:
        moment = None
    if moment is None or not 2000 <= moment.year <= 2100:
        raise ValueError(
            f'{written!r} is not a date and time; write "2026-11-09T10:00" or "2026-11-09T10:00+08:00"'
        )
    return written


def _zone_or_customer(written: str) -> str:
    return written if written == CUSTOMER else check_zone(written)


def _check_schedule(fields: Fields, report: Report) -> None:
    if not fields.refused:
        exactly_one(*WAYS)(fields, report)
    _check_offset(fields, report)
    check_send_time(fields, report)
    check_finish(fields, report)


def _check_offset(fields: Fields, report: Report) -> None:
    """An `at` with an offset is an instant; a `timezone` beside it may only agree."""
    written, zone = fields.get("at"), fields.get("timezone")
    moment = datetime.fromisoformat(written) if written and zone else None
    if moment is None or moment.tzinfo is None:
        return
    if zone == CUSTOMER:
        message = "`at` with an offset is one instant for everybody: leave out the offset, or `timezone: customer`"
        report.error(fields.at("timezone").position, message, "bad-value")
    elif moment.astimezone(ZoneInfo(zone)).utcoffset() != moment.utcoffset():
        message = (
            f"the offset of {written} is not that of {zone} at that time: leave out one of them"
        )
        report.error(fields.at("timezone").position, message, "bad-value")


def _schedule(fields: Fields) -> Schedule:
    written, zone = fields.get("at"), fields.get("timezone")
    moment = datetime.fromisoformat(written) if written else None
    days = fields.get(FESTIVAL) or fields.get(SOLAR_TERM)
    return Schedule(
        at_text=written or "",
        at=moment.replace(tzinfo=None) if moment else None,
        fixed=check_aware(moment) if moment and moment.tzinfo else None,
        recurs=festive_days(days) if days else fields.get("cron"),
        zone=None if zone == CUSTOMER else zone,
        per_customer=zone == CUSTOMER,
        spread=fields.get("spread"),
        expires=fields.get("expires", DEFAULT_EXPIRES),
        position=fields.span.position,
        send_time=None if fields.get("send_time") == FIXED else fields.get("send_time"),
        finish_by=finish_moment(fields.get("finish_by")),
    )


SCHEDULE: Reader[Schedule] = Record(
    {
        "at": Key(
            text().then(_moment),
            'When, quoted: "2026-11-09T10:00", or with an offset.',
        ),
        "cron": Key(
            text().then(parse_cron),
            'Again and again, quoted: "0 10 * * mon" (minute hour day month weekday).',
        ),
        FESTIVAL: Key(FESTIVALS_READER, 'Every year: {name: 七夕, offset: -7d, time: "10:00"}.'),
        SOLAR_TERM: Key(TERMS_READER, "Every year: {name: 立春}."),
        "timezone": Key(
            text().then(_zone_or_customer),
            "customer (each in their own zone) or an IANA zone; by default the shop's.",
        ),
        "send_time": Key(
            SEND_TIME,
            'fixed: at that time (the default); usual_hour: at each customer\'s own; {window: "04:00-06:00"}.',
        ),
        "spread": Key(duration(), "Spread the messages evenly at random over this long."),
        "finish_by": Key(
            text().then(_moment), "Spread so that the last goes before it; later none is sent."
        ),
        "expires": Key(
            duration(), "Later than this after the due time it is not sent; default 3d."
        ),
    },
    check=_check_schedule,
).build(_schedule)


def _campaign(fields: Fields) -> Campaign:
    shared = shared_values(fields)
    return Campaign(
        **shared,
        kind="campaign",
        uses=named_segments(shared["audience"]),
        schedule=fields.get("schedule"),
    )


CAMPAIGN: Reader[Campaign] = Record(
    {
        "kind": Key(choice("campaign"), required=True),
        **SHARED,
        "schedule": Key(SCHEDULE, "When it goes out.", required=True),
        "audience": Key(
            AUDIENCE,
            "Who gets it: segment, all, any, not, top, holdout. Everyone: {all: []}.",
            required=True,
        ),
    },
    later=LATER,
    check=check_shared,
).build(_campaign)
