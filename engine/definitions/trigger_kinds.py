"""What may start a care rule: each trigger with its options, as they are written under its own key.

A new trigger is an entry of `KINDS` here, a SELECT in `planning.triggers`, and, where its reason can pass away, a
predicate in `gate.reasons`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from engine.definitions.festive_file import FESTIVAL, FESTIVALS_READER, SOLAR_TERM, TERMS_READER
from engine.definitions.person_conditions import EVENT_DATA
from engine.definitions.reading import Key, Reader, Record, one_or_more
from engine.definitions.report import clipped
from engine.definitions.scalars import choice, decimal, duration, offset, text
from engine.definitions.tagging_file import REGION
from engine.errors import nearest

ORDER_EVENTS = ("placed", "paid", "shipped", "arrived", "received", "refunded")
UNPAID, DORMANT, EVENT = "order.unpaid", "dormant", "event"
LATER_EVENTS = frozenset({"order.closed"})
"""Of the wider design, refused by name: shops do not export when an order was closed."""
Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a trigger is written under its own key.

    `counts`: what it counts from its moment (`delay`) or its day (`offset`); None where it has a time span of its own.
    `example`: the options, where it means nothing without them.
    """

    counts: Literal["delay", "offset"] | None
    options: Reader[Options]
    example: str = ""


def _map(**keys: Key[Any]) -> Reader[Options]:
    return Record({name.rstrip("_"): key for name, key in keys.items()}).build(
        lambda fields: dict(fields.values)
    )


def _more_than_nothing(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("times 0 the next purchase would be due with the last one")
    return value


_NAMES = one_or_more(text(most=100))
_OFFSET = Key(offset(), "So many days before (-7d) or after (3d) the day.")
_CHANGE = _map(
    from_=Key(_NAMES, "Only from one of these."),
    to=Key(_NAMES, "Only to one of these."),
    direction=Key(choice("rose", "fell"), "Only up, or only down."),
)

KINDS: Mapping[str, Kind] = {
    "birthday": Kind(
        "offset",
        _map(
            calendar=Key(choice("solar", "lunar"), "Only birthdays of this calendar."),
            offset=_OFFSET,
        ),
    ),
    "anniversary": Kind(
        "offset",
        _map(
            of=Key(choice("first_order", "joining"), "Of what; of the first order by default."),
            offset=_OFFSET,
        ),
    ),
    FESTIVAL: Kind("offset", FESTIVALS_READER, "{name: 七夕}"),
    SOLAR_TERM: Kind("offset", TERMS_READER, "{name: 立春}"),
    "membership.expires": Kind(
        "offset", _map(level=Key(_NAMES, "Only cards of these levels."), offset=_OFFSET)
    ),
    "membership.changed": Kind("delay", _CHANGE),
    "grade.changed": Kind("delay", _CHANGE),
    DORMANT: Kind(None, _map(after=Key(duration(), "By default the policy's dormant_after."))),
    "replenishment": Kind(
        None,
        _map(
            category=Key(_NAMES, "Only of these categories."),
            factor=Key(
                decimal(0, 10).then(_more_than_nothing),
                "Times the category's measured cycle; 1 by default.",
            ),
        ),
    ),
    "tag.added": Kind(
        "delay",
        _map(
            dimension=Key(text(most=100), "Of this dimension.", required=True),
            value=Key(one_or_more(text()), "Only these values."),
        ),
        "{dimension: temper}",
    ),
}
PUSHED: Reader[Options] = _map(
    kind=Key(text(most=100), "The event's kind, as the shop sends it.", required=True),
    data=Key(EVENT_DATA, "What its data must hold."),
    region=Key(REGION, "Only customers who live there."),
)
NAMED = (*(f"order.{status}" for status in ORDER_EVENTS), UNPAID, *KINDS)
"""Every trigger with a name of its own; any other event is one that the shop sends in."""

_RESERVED = ("order", "membership", "grade", "tag")
"""What known triggers begin with: `order.shiped` is a slip and no event of the shop."""
NAME_SCHEMA: Mapping[str, Any] = {
    "anyOf": [
        {"enum": NAMED},
        {"type": "string", "maxLength": 100, "pattern": f"^(?!({'|'.join(_RESERVED)})[.])"},
    ]
}


def event_name(written: str) -> str:
    """A named trigger, or the kind of an event that the shop sends in. Raises ValueError for what is nearly a name."""
    if written in NAMED:
        return written
    name = clipped(written)
    near = nearest(name, NAMED)
    if near is None and name.split(".")[0] in _RESERVED:
        near = next(known for known in NAMED if known.split(".")[0] == name.split(".")[0])
    if near:
        raise ValueError(
            f"{name!r} is not known here; did you mean {near!r}? An event of that very name, which the shop"
            f" sends in, is written event: {{kind: {name}}}"
        )
    return written
