"""`trigger` of a care rule: one thing that starts it, under its own key or as `event: NAME`, and how long after it."""

from __future__ import annotations

from typing import Any, cast

from engine.definitions.campaign import Schedule, Trigger, TriggerKind
from engine.definitions.festive_file import FESTIVAL, SOLAR_TERM, festive_days
from engine.definitions.reading import Fields, Key, Reader, Record, wrong_type
from engine.definitions.report import Report
from engine.definitions.scalars import duration, offset, text, time_of_day
from engine.definitions.trigger_kinds import (
    DORMANT,
    EVENT,
    KINDS,
    LATER_EVENTS,
    NAME_SCHEMA,
    NAMED,
    PUSHED,
    UNPAID,
    Options,
    event_name,
)
from engine.definitions.values import Duration
from engine.definitions.yaml_nodes import Entries, Node, Scalar

DEFAULT_GRACE = Duration(2, "d")
_NAME: Reader[str] = text(most=100).then(event_name)


def _read_event(node: Node, report: Report) -> Options | None:
    """A name, or a map about an event that the shop sends in."""
    if isinstance(node, Entries):
        return PUSHED.read(node, report)
    if isinstance(node, Scalar) and node.value in LATER_EVENTS:
        report.not_yet(node.span.position, node.value)
        return None
    name = _NAME.read(node, report)
    return None if name is None else {"name": name}


def _check(fields: Fields, report: Report) -> None:
    given = [name for name in (EVENT, *KINDS) if name in fields]
    if len(given) > 1:
        message = f"`{given[0]}` and `{given[1]}`: a trigger is one of them; write two rules"
        report.error(fields.at(given[1]).position, message, "bad-value")
        return
    if not given:
        names = ", ".join(f"`{name}`" for name in (EVENT, *KINDS))
        report.error(fields.span.position, f"one of {names} is missing", "missing-key")
        return
    if given[0] in fields.values:
        _check_options(_named(fields), fields, report)
    _check_delay(fields, report)


def _named(fields: Fields) -> str:
    """What starts the rule, as it is called in NAMED; `event` for one that the shop sends in."""
    own = next((name for name in KINDS if name in fields), None)
    name = str(fields.get(EVENT, {}).get("name", EVENT))
    return own or (name if name in NAMED else EVENT)


def _check_options(name: str, fields: Fields, report: Report) -> None:
    """What this trigger needs, and which of the keys beside it it does not take."""
    kind = KINDS.get(name)
    if kind is not None and kind.example and name not in fields:
        message = f"{name} says too little: write {name}: {kind.example}"
        report.error(fields.at(EVENT).position, message, "missing-key")
    counts = kind.counts if kind is not None else "delay"
    for key in ("delay", "offset"):
        if key in fields and counts is None:
            message = f"no `{key}` here: say after how long in `{name}: {_OWN_TIME[name]}`"
            report.error(fields.at(key).position, message, "bad-value")
        elif key in fields and counts is not None and counts != key:
            report.error(fields.at(key).position, _WRONG[key, counts].format(name), "bad-value")
    inside = fields.get(name, {}) if kind is not None else {}
    for key in ("offset", "time"):
        if key in fields and key in inside:
            message = f"`{key}` stands here and in `{name}`: write it once"
            report.error(fields.at(key).position, message, "bad-value")


_WRONG = {
    (
        "delay",
        "offset",
    ): "`delay` counts from something that happened; {} has its own day: write `offset`",
    ("offset", "delay"): "`offset` counts from a day that is known ahead; after {} write `delay`",
}
_OWN_TIME = {DORMANT: "{after: 90d}", "replenishment": "{factor: 0.9}"}


def _check_delay(fields: Fields, report: Report) -> None:
    delay = fields.get("delay")
    if delay is not None and "time" in fields and not delay.is_days:
        message = f"`time` needs a delay in days; after {delay} the message goes out at once"
        report.error(fields.at("time").position, message, "bad-value")


def _trigger(fields: Fields) -> Trigger:
    name = _named(fields)
    options = dict(fields.get(name, {}) if name in fields else {})
    time, delay = options.pop("time", fields.get("time")), fields.get("delay")
    common: dict[str, Any] = {
        "time": time,
        "grace": fields.get("grace", DEFAULT_GRACE),
        "position": fields.span.position,
    }
    if name in (FESTIVAL, SOLAR_TERM):
        schedule = _schedule(options, fields, common)
        return Trigger(kind=cast("TriggerKind", name), schedule=schedule, **common)
    if name in KINDS:
        common["offset"] = options.pop("offset", fields.get("offset"))
    if delay is None and time is not None and (name not in KINDS or KINDS[name].counts == "delay"):
        delay = Duration(0, "d")  # the same day, at that time
    if name == DORMANT:
        return Trigger(kind="dormant", after=options.get("after"), **common)
    if name == EVENT:
        event = fields.get(EVENT)
        asked = event if "kind" in event else {"kind": event["name"]}
        return Trigger(kind="event", delay=delay, arguments=asked, **common)
    if name == UNPAID:
        return Trigger(kind="unpaid", delay=delay, **common)
    if name not in KINDS:
        status: Any = name.removeprefix("order.")
        return Trigger(kind="order", status=status, delay=delay, **common)
    return Trigger(kind=cast("TriggerKind", name), delay=delay, arguments=options, **common)


def _schedule(options: Options, fields: Fields, common: dict[str, Any]) -> Schedule:
    return Schedule(
        recurs=festive_days(options, common["time"], fields.get("offset")),
        zone=None,
        per_customer=True,
        spread=None,
        expires=common["grace"],
        position=common["position"],
    )


_MAP: Reader[Trigger] = Record(
    {
        EVENT: Key(
            Reader(_read_event, {"anyOf": [NAME_SCHEMA, PUSHED.schema]}),
            "One of these by its name, an order's event, or one that the shop sends in.",
        ),
        **{name: Key(kind.options, "What starts it.") for name, kind in KINDS.items()},
        "delay": Key(duration(least=0), "This long after it happened; in days it counts dates."),
        "offset": Key(offset(), "So many days before (-7d) or after (3d) the day."),
        "time": Key(time_of_day(), "On that day at this time in the customer's zone."),
        "grace": Key(duration(), "Later than this after the due time it is not sent; default 2d."),
    },
    check=_check,
).build(_trigger)


def _read_trigger(node: Node, report: Report) -> Trigger | None:
    if isinstance(node, Entries):
        return _MAP.read(node, report)
    if not isinstance(node, Scalar):
        wrong_type(node, "a trigger such as {event: order.received, delay: 7d}", report)
        return None
    before = report.errors
    event = _read_event(node, report)
    fields = Fields({EVENT: event}, {EVENT: node}, {}, node.span)
    if event is not None:
        _check_options(_named(fields), fields, report)
    return _trigger(fields) if report.errors == before else None


TRIGGER: Reader[Trigger] = Reader(_read_trigger, {"anyOf": [NAME_SCHEMA, _MAP.schema]})
