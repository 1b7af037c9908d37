"""The conditions that a segment tree is made of: their names, their operators, what each operator takes.

What `Condition.arguments` holds, by name:

- `id gender language province city timezone email_domain`: `eq` str, `in` and `not_in` tuples of str; all but `id`
  also `known` bool. `email_domain` is lower case.
- `email phone birthday`: `known` bool.
- `joined_at first_order_at last_order_at`: `within` and `older_than` Duration, `before` and `after` date (the shop's
  zone: before that day began, after it ended), `known` bool.
- `orders` (completed ones): `gte lte eq` int; `amount` (their sum, in units of the currency): `gte lte` Decimal; both
  with `within` Duration. `average_amount`: `gte lte` Decimal.
- `grade` and `class`: `eq` str, `in` tuple. `dormant`: `after` Duration, or nothing (the policy's).
- `segment`: `name` str. `anchor`, only inside `still`: `status` tuple of order statuses.

Several operators in one condition must all hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.definitions.reading import Check, Fields, Key, Reader, Record, list_of, one_or_more
from engine.definitions.report import Report
from engine.definitions.scalars import (
    boolean,
    choice,
    decimal,
    duration,
    integer,
    iso_date,
    text,
    zone,
)

Arguments = Mapping[str, Any]
STATUSES = ("placed", "paid", "shipped", "arrived", "received", "refunded", "closed")
CLASSES = ("prospect", "unsold", "lapsed", "active", "new", "malicious")
MAX_LIST = 5000
LATER = frozenset(
    {"tag", "ordered", "clicked", "opened", "bounced", "complained", "unsubscribed", "replied"}
    | {"top", "holdout", "sample", "reachable", "attribute", "affinity", "usual_hour"}
    | {"member", "membership", "level", "event", "product", "category"}
)
"""Conditions of the wider design that this version refuses by name."""


def _operators(keys: Mapping[str, Reader[Any]], check: Check | None = None) -> Reader[Arguments]:
    def checked(fields: Fields, report: Report) -> None:
        if not fields.nodes:
            message = f"no operator; one of {', '.join(keys)} is needed"
            report.error(fields.span.position, message, "missing-key")
        elif check is not None:
            check(fields, report)

    record = Record(
        {name: Key(reader) for name, reader in keys.items()}, check=checked, what="operator"
    )
    return record.build(lambda fields: dict(fields.values))


def _needs_bound(fields: Fields, report: Report) -> None:
    """`within` only narrows what is counted: alone it asks nothing."""
    if not {"gte", "lte", "eq"} & set(fields.nodes):
        report.error(fields.span.position, "`gte` or `lte` is missing", "missing-key")
    _in_order(fields, report)


def _in_order(fields: Fields, report: Report) -> None:
    low, high = fields.get("gte"), fields.get("lte")
    if low is not None and high is not None and low > high:
        message = f"nobody can match: gte {low} is more than lte {high}"
        report.error(fields.span.position, message, "bad-value")


def _dates_meet(fields: Fields, report: Report) -> None:
    within, older = fields.get("within"), fields.get("older_than")
    before, after = fields.get("before"), fields.get("after")
    if within and older and within.seconds <= older.seconds:
        message = f"nobody can match: within {within} and older than {older}"
        report.error(fields.span.position, message, "bad-value")
    if before and after and before <= after:
        message = f"nobody can match: before {before} and after {after}"
        report.error(fields.span.position, message, "bad-value")


def _one_of(reader: Reader[str]) -> dict[str, Reader[Any]]:
    return {"eq": reader, "in": list_of(reader, least=1, most=MAX_LIST)}


def _words(reader: Reader[str]) -> dict[str, Reader[Any]]:
    return {**_one_of(reader), "not_in": list_of(reader, least=1, most=MAX_LIST)}


def _domain(written: str) -> str:
    if "@" in written:
        raise ValueError(f"{written!r} is an address; write only what follows the @")
    return written.lower()


_KNOWN = {"known": boolean()}
_TEXT = _operators({**_words(text()), **_KNOWN})
_DATE = _operators(
    {
        "within": duration(),
        "older_than": duration(),
        "before": iso_date(),
        "after": iso_date(),
        **_KNOWN,
    },
    _dates_meet,
)
_MONEY = {"gte": decimal(), "lte": decimal()}
_COUNT = {name: integer(0, 1_000_000) for name in ("gte", "lte", "eq")}

CONDITIONS: Mapping[str, Reader[Arguments]] = {
    "id": _operators(_words(text())),
    "gender": _TEXT,
    "language": _TEXT,
    "province": _TEXT,
    "city": _TEXT,
    "timezone": _operators({**_words(zone()), **_KNOWN}),
    "email_domain": _operators({**_words(text().then(_domain)), **_KNOWN}),
    "email": _operators(_KNOWN),
    "phone": _operators(_KNOWN),
    "birthday": _operators(_KNOWN),
    "joined_at": _DATE,
    "first_order_at": _DATE,
    "last_order_at": _DATE,
    "orders": _operators({**_COUNT, "within": duration()}, _needs_bound),
    "amount": _operators({**_MONEY, "within": duration()}, _needs_bound),
    "average_amount": _operators(_MONEY, _in_order),
    "grade": _operators(_one_of(text(most=16))),
    "class": _operators(_one_of(choice(*CLASSES))),
    "dormant": Record({"after": Key(duration())}).build(lambda fields: dict(fields.values)),
    "segment": text(most=100).then(lambda name: {"name": name}),
}
ANCHOR: Mapping[str, Reader[Arguments]] = {
    "anchor": Record(
        {"status": Key(one_or_more(choice(*STATUSES)), required=True)},
    ).build(lambda fields: dict(fields.values)),
}
"""What started the care rule; asked again at the gate, so only `still` may name it."""
