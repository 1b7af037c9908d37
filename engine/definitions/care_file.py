"""`care/ID.yaml` → Care: what triggers a message to one customer, for ever."""

from __future__ import annotations

from typing import Any

from engine.definitions.campaign import Care, Trigger
from engine.definitions.ranking_file import AUDIENCE
from engine.definitions.reading import Fields, Key, Reader, Record, wrong_type
from engine.definitions.report import Report
from engine.definitions.scalars import choice, duration, time_of_day
from engine.definitions.segment import EVERYONE
from engine.definitions.sendable import DEFAULT_PRIORITY, LATER, SHARED, stem, written_lines
from engine.definitions.trees import STILL, conditions_of, named_segments
from engine.definitions.values import Duration
from engine.definitions.yaml_nodes import Entries, Node, Scalar

DEFAULT_GRACE = Duration(2, "d")
ORDER_EVENTS = ("placed", "paid", "shipped", "arrived", "received", "refunded")
BIRTHDAY, DORMANT = "birthday", "dormant"
EVENTS = (*(f"order.{status}" for status in ORDER_EVENTS), BIRTHDAY)
LATER_TRIGGERS = frozenset(
    {"anniversary", "membership.expires", "membership.changed", "grade.changed", "festival"}
    | {"solar_term", "replenishment", "tag.added"}
)


def _check_trigger(fields: Fields, report: Report) -> None:
    if "event" in fields and DORMANT in fields:
        message = "a trigger is an `event` or `dormant`, not both; write two rules"
        report.error(fields.at(DORMANT).position, message, "bad-value")
    elif "event" not in fields and DORMANT not in fields and not fields.refused:
        report.error(fields.span.position, "`event` or `dormant` is missing", "missing-key")
    delay = fields.get("delay")
    if "delay" in fields and not str(fields.get("event", "order.")).startswith("order."):
        message = f"`delay` counts from an order's event; {fields.get('event')} has its own day"
        report.error(fields.at("delay").position, message, "bad-value")
    if "delay" in fields and DORMANT in fields:
        message = (
            "`delay` counts from an order's event; say after how long in `dormant: {after: 90d}`"
        )
        report.error(fields.at("delay").position, message, "bad-value")
    if delay is not None and "time" in fields and not delay.is_days:
        message = f"`time` needs a delay in days; after {delay} the message goes out at once"
        report.error(fields.at("time").position, message, "bad-value")


def _trigger(fields: Fields) -> Trigger:
    event, time, delay = fields.get("event"), fields.get("time"), fields.get("delay")
    common: dict[str, Any] = {
        "time": time,
        "grace": fields.get("grace", DEFAULT_GRACE),
        "position": fields.span.position,
        "status": None,
        "delay": None,
        "after": None,
    }
    if event is None:
        return Trigger(**{**common, "kind": DORMANT, "after": fields.get(DORMANT).get("after")})
    if event == BIRTHDAY:
        return Trigger(**{**common, "kind": BIRTHDAY})
    if delay is None and time is not None:
        delay = Duration(0, "d")  # the same day, at that time
    return Trigger(**{**common, "kind": "order", "status": event.split(".")[1], "delay": delay})


_EVENT: Reader[str] = choice(*EVENTS, later=LATER_TRIGGERS)
_DORMANT: Reader[dict[str, Any]] = Record(
    {"after": Key(duration(), "By default the policy's dormant_after.")}
).build(lambda fields: dict(fields.values))
_MAP: Reader[Trigger] = Record(
    {
        "event": Key(_EVENT, "An order's event, or birthday."),
        DORMANT: Key(_DORMANT, "The last completed order is this long ago."),
        "delay": Key(duration(least=0), "This long after the event; in days it counts dates."),
        "time": Key(time_of_day(), "On that day at this time in the customer's zone."),
        "grace": Key(duration(), "Later than this after the due time it is not sent; default 2d."),
    },
    later=LATER_TRIGGERS,
    check=_check_trigger,
).build(_trigger)


def _read_trigger(node: Node, report: Report) -> Trigger | None:
    if isinstance(node, Entries):
        return _MAP.read(node, report)
    if not isinstance(node, Scalar):
        wrong_type(node, "a trigger such as {event: order.received, delay: 7d}", report)
        return None
    event = _EVENT.read(node, report)
    if event is None:
        return None
    return _trigger(Fields({"event": event}, {}, {}, node.span))


TRIGGER: Reader[Trigger] = Reader(_read_trigger, {"anyOf": [_EVENT.schema, _MAP.schema]})


def _care(fields: Fields) -> Care:
    audience, still = fields.get("audience", EVERYONE), fields.get("still")
    return Care(
        id=stem(fields.span.position.file),
        kind="care",
        message_class=fields.get("class"),
        priority=fields.get("priority", DEFAULT_PRIORITY),
        audience=audience,
        uses=named_segments(audience, still),
        steps=fields.get("steps"),
        on_uncertain=fields.get("on_uncertain", "leave"),
        position=fields.span.position,
        lines=written_lines(fields),
        trigger=fields.get("trigger"),
        again=fields.get("again"),
        still=still,
    )


def _check_anchor(fields: Fields, report: Report) -> None:
    """Only an order can be asked for its status; birthdays are anchored by a year."""
    trigger, still = fields.get("trigger"), fields.get("still")
    if trigger is None or still is None or trigger.kind != BIRTHDAY:
        return
    for condition in conditions_of(still):
        if condition.name == "anchor":
            message = "a birthday has no order whose status could be asked"
            report.error(condition.position, message, "bad-value")


CARE: Reader[Care] = Record(
    {
        "kind": Key(choice("care"), required=True),
        **SHARED,
        "trigger": Key(TRIGGER, "What starts it.", required=True),
        "again": Key(duration(), "At most once per customer in this time."),
        "still": Key(STILL.reader, "Asked again just before sending; may name the anchor."),
        "audience": Key(AUDIENCE, "For whom; everyone by default."),
    },
    later=LATER,
    check=_check_anchor,
).build(_care)
