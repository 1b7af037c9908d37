"""`send_time` and `finish_by` of a schedule: at what time of day each customer is due, and when the last must have gone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from engine.clock import check_aware
from engine.definitions.cron import Cron
from engine.definitions.reading import Fields, Key, Reader, Record
from engine.definitions.report import Report
from engine.definitions.scalars import choice, hours
from engine.definitions.values import Hours
from engine.definitions.yaml_nodes import Entries, Node

FIXED: Final = "fixed"
USUAL_HOUR: Final = "usual_hour"
_WORD: Reader[str] = choice(FIXED, USUAL_HOUR)
_WINDOW: Reader[Hours] = Record(
    {"window": Key(hours(), 'As in "04:00-06:00", on the customer\'s clock.', required=True)}
).build(lambda fields: fields.get("window"))


def _read(node: Node, report: Report) -> str | Hours | None:
    return (_WINDOW if isinstance(node, Entries) else _WORD).read(node, report)


SEND_TIME: Reader[str | Hours] = Reader(_read, {"anyOf": [_WORD.schema, _WINDOW.schema]})


def finish_moment(written: str | None) -> datetime | None:
    """A wall-clock time, naive; or, written with an offset, an instant in UTC."""
    if written is None:
        return None
    moment = datetime.fromisoformat(written)
    return moment if moment.tzinfo is None else check_aware(moment)


def check_send_time(fields: Fields, report: Report) -> None:
    """What goes by the customer's clock cannot be one instant, nor several times on one day."""
    wanted, written, cron = fields.get("send_time"), fields.get("at"), fields.get("cron")
    if wanted in (None, FIXED):
        return
    place = fields.at("send_time").position
    if written and datetime.fromisoformat(written).tzinfo is not None:
        message = (
            "`at` with an offset is one instant for everybody: leave out the offset, or `send_time`"
        )
        report.error(place, message, "bad-value")
    if isinstance(cron, Cron) and len(cron.hours) * len(cron.minutes) > 1:
        message = f"{cron.text!r} comes several times a day, and `send_time` would put them all at the same hour"
        report.error(place, message, "bad-value")
    if isinstance(wanted, Hours) and "spread" in fields:
        message = f"the window {wanted} spreads the messages already: leave out `spread`"
        report.error(fields.at("spread").position, message, "bad-value")


def check_finish(fields: Fields, report: Report) -> None:
    """`finish_by` must leave time after `at`, and be written as it is."""
    if "finish_by" not in fields:
        return
    place, written = fields.at("finish_by").position, fields.get("at")
    if "at" not in fields:
        message = (
            "`finish_by` is one moment and goes with `at`; for dates that come again write `spread`"
        )
        report.error(place, message, "bad-value")
    if written is None or fields.get("finish_by") is None:
        return
    start, finish = datetime.fromisoformat(written), datetime.fromisoformat(fields.get("finish_by"))
    if (start.tzinfo is None) != (finish.tzinfo is None):
        message = "write `at` and `finish_by` both with an offset, or both without"
        report.error(place, message, "bad-value")
    elif problem := _too_early(fields, start, finish):
        report.error(place, problem, "bad-value")


def _too_early(fields: Fields, start: datetime, finish: datetime) -> str | None:
    if finish <= start:
        return f"it finishes at {finish:%Y-%m-%d %H:%M}, before it starts at {start:%Y-%m-%d %H:%M}"
    spread, wanted = fields.get("spread"), fields.get("send_time")
    if spread is not None and start + spread.delta > finish:
        left = finish - start
        return f"`spread` is {spread}, and between `at` and `finish_by` there are {left}: nothing may go after it"
    if isinstance(wanted, Hours):
        opens = datetime.combine(start.date(), wanted.start)
        if finish.tzinfo is None and opens + timedelta(minutes=1) > finish:
            return f"the window {wanted} opens at {opens:%Y-%m-%d %H:%M}, when all must have gone"
    return None
