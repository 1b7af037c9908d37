"""Conditions on what is known of a person: attributes, tags, membership, habits, and whether a message reaches them.

Arguments, by name:

- `attribute`: `name` str; `eq in not_in` of str or Decimal, `gte lte` Decimal, `known` bool.
- `event`: `kind` str, `data` map of field to such operators, `within older_than` Duration, `count` (`gte lte eq` int).
- `tag`: `dimension` str; `value` str or `in` tuple (neither: any value); `within older_than` Duration of `tagged_at`.
- `stage`: `eq` str, `in not_in` tuples. `membership`: `level state` tuples, `expires_within` Duration.
- `usual_hour`: `hours` Hours, `confidence` Decimal (at least so many per cent), `known` bool.
- `cycle`: `category` str (nothing: over all orders), `gte lte` Duration, `known` bool.
- `affinity`: `category` or `brand` str, `gte lte` int (0 to 1000).
- `reachable`: `channel` tuple (one of them is enough), `class` str (nothing: marketing).
- `sample`: `share` Decimal (per cent), `salt` str (nothing: the id of the file).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from decimal import Decimal

from engine.definitions.operators import (
    AGES,
    COUNT,
    KNOWN,
    MAX_LIST,
    Arguments,
    bounds,
    dates_meet,
    exactly_one,
    in_order,
    narrowed,
    not_both,
    operators,
    words,
)
from engine.definitions.reading import Fields, Key, Reader, Record, list_of, map_of, one_or_more
from engine.definitions.report import Report
from engine.definitions.scalars import (
    choice,
    decimal,
    duration,
    hours,
    integer,
    is_number,
    percent,
    text,
)
from engine.definitions.values import Hours
from engine.definitions.yaml_nodes import Entries, Node, Scalar

STAGES = ("prospect", "first-time", "second-time", "repeat", "loyal", "dormant")
MEMBERSHIP_STATES = ("eligible", "called", "carded", "active", "lapsed")
_NAME = text(most=100)
_NUMBER = decimal(-1_000_000_000)


def _read_value(node: Node, report: Report) -> str | Decimal | None:
    if isinstance(node, Scalar) and is_number(node):
        return _NUMBER.read(node, report)
    return text().read(node, report)


_VALUE: Reader[str | Decimal] = Reader(_read_value, {"type": ["string", "number"]})


def _attribute_says_something(fields: Fields, report: Report) -> None:
    if not set(fields.nodes) - {"name"}:
        message = "no operator; one of eq, in, not_in, gte, lte, known is needed"
        report.error(fields.span.position, message, "missing-key")
    in_order(fields, report)


def whole_hours(window: Hours) -> tuple[int, ...]:
    """The hours of the clock that begin inside the window.

    >>> from engine.definitions.values import parse_hours
    >>> whole_hours(parse_hours("22:00-01:30"))
    (0, 1, 22, 23)
    """
    return tuple(hour for hour in range(24) if window.holds(time(hour)))


def _holds_an_hour(window: Hours) -> Hours:
    if not whole_hours(window):
        raise ValueError(f"no full hour begins within {window}: nobody can match")
    return window


def _read_sample(node: Node, report: Report) -> Arguments | None:
    if isinstance(node, Entries):
        return _SAMPLE.read(node, report)
    share = percent().read(node, report)
    return None if share is None else {"share": share}


_SAMPLE = narrowed({"share": percent(), "salt": _NAME}, required=("share",))
_SHARE = Reader(_read_sample, {"anyOf": [percent().schema, _SAMPLE.schema]})

_VALUES = operators({**words(_VALUE), "gte": _NUMBER, "lte": _NUMBER, **KNOWN}, in_order)


def _field(name: str) -> str:
    if not 0 < len(name) <= 100:
        raise ValueError("a field's name has 1 to 100 characters")
    return name


EVENT_DATA: Reader[dict[str, Arguments]] = map_of(_field, _VALUES)
"""What an event's data must hold: field → operators."""

CONDITIONS: Mapping[str, Reader[Arguments]] = {
    "attribute": narrowed(
        {"name": _NAME, **words(_VALUE), "gte": _NUMBER, "lte": _NUMBER, **KNOWN},
        _attribute_says_something,
        required=("name",),
    ),
    "event": narrowed(
        {"kind": _NAME, "data": EVENT_DATA, **AGES, "count": bounds(COUNT)},
        dates_meet,
        required=("kind",),
    ),
    "tag": narrowed(
        {
            "dimension": _NAME,
            "value": text(),
            "in": list_of(text(), least=1, most=MAX_LIST),
            **AGES,
        },
        not_both("value", "in"),
        dates_meet,
        required=("dimension",),
    ),
    "stage": operators(words(choice(*STAGES))),
    "membership": narrowed(
        {
            "level": one_or_more(_NAME),
            "state": one_or_more(choice(*MEMBERSHIP_STATES)),
            "expires_within": duration(),
        }
    ),
    "usual_hour": operators(
        {"hours": hours().then(_holds_an_hour), "confidence": percent(), **KNOWN}
    ),
    "cycle": operators(
        {"category": _NAME, "gte": duration(), "lte": duration(), **KNOWN}, in_order
    ),
    "affinity": narrowed(
        {"category": _NAME, "brand": _NAME, "gte": integer(0, 1000), "lte": integer(0, 1000)},
        exactly_one("category", "brand"),
        in_order,
    ),
    "reachable": Record(
        {
            "channel": Key(one_or_more(choice("email", "sms")), required=True),
            "class": Key(choice("marketing", "care", "transactional")),
        }
    ).build(lambda fields: dict(fields.values)),
    "sample": _SHARE,
}
