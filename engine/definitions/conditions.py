"""The conditions that a segment tree is made of: their names, their operators, what each operator takes.

What `Condition.arguments` holds, by name (those of orders, messages and what is known of a person stand in
`order_conditions`, `engagement_conditions`, `person_conditions`):

- `id gender language province city timezone email_domain`: `eq` str, `in` and `not_in` tuples of str; all but `id`
  also `known` bool. `email_domain` is lower case, `province` and `city` are short names.
- `email phone address`: `known` bool. `birthday`: `known` bool, `month` tuple of int.
- `joined_at first_order_at last_order_at`: `within` and `older_than` Duration, `before` and `after` date (the shop's
  zone: before that day began, after it ended), `known` bool.
- `orders` (completed ones): `gte lte eq` int; `amount` (their sum, in units of the currency): `gte lte` Decimal; both
  with `within` Duration. `average_amount`: `gte lte` Decimal.
- `grade`: `eq` str, `in not_in` tuples, `known` bool; `class`: the same without `known`. `dormant`: `after` Duration, or
  nothing (the policy's).
- `segment`: `name` str. `anchor`, only inside `still`: `status` tuple of order statuses.

Several operators in one condition must all hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.definitions import engagement_conditions, order_conditions, person_conditions
from engine.definitions.operators import (
    AGES,
    COUNT,
    DAYS,
    KNOWN,
    MONEY,
    Arguments,
    dates_meet,
    in_order,
    needs_bound,
    operators,
    words,
)
from engine.definitions.reading import Key, Reader, Record, one_or_more
from engine.definitions.regions import short_city, short_province
from engine.definitions.scalars import choice, duration, integer, text, zone
from engine.definitions.values import STATUSES

__all__ = ["ANCHOR", "CLASSES", "CONDITIONS", "LATER", "STATUSES", "Arguments"]

CLASSES = ("prospect", "unsold", "lapsed", "active", "new", "malicious")
LATER = frozenset({"replied", "product"})
"""Conditions of the wider design that this version refuses by name."""


def _domain(written: str) -> str:
    if "@" in written:
        raise ValueError(f"{written!r} is an address; write only what follows the @")
    return written.lower()


def _place(short: Callable[[str], str | None]) -> Reader[Arguments]:
    """A place of China in any spelling, as its short name; others as they are written."""
    return operators({**words(text().then(lambda written: short(written) or written)), **KNOWN})


_TEXT = operators({**words(text()), **KNOWN})
_DATE = operators({**AGES, **DAYS, **KNOWN}, dates_meet)

CONDITIONS: Mapping[str, Reader[Arguments]] = {
    "id": operators(words(text())),
    "gender": _TEXT,
    "language": _TEXT,
    "province": _place(short_province),
    "city": _place(short_city),
    "timezone": operators({**words(zone()), **KNOWN}),
    "email_domain": operators({**words(text().then(_domain)), **KNOWN}),
    "email": operators(KNOWN),
    "phone": operators(KNOWN),
    "address": operators(KNOWN),
    "birthday": operators({**KNOWN, "month": one_or_more(integer(1, 12))}),
    "joined_at": _DATE,
    "first_order_at": _DATE,
    "last_order_at": _DATE,
    "orders": operators({**COUNT, "within": duration()}, needs_bound),
    "amount": operators({**MONEY, "within": duration()}, needs_bound),
    "average_amount": operators(MONEY, in_order),
    "grade": operators({**words(text(most=16)), **KNOWN}),
    "class": operators(words(choice(*CLASSES))),
    "dormant": Record({"after": Key(duration())}).build(lambda fields: dict(fields.values)),
    "segment": text(most=100).then(lambda name: {"name": name}),
    **order_conditions.CONDITIONS,
    **engagement_conditions.CONDITIONS,
    **person_conditions.CONDITIONS,
}
ANCHOR: Mapping[str, Reader[Arguments]] = {
    "anchor": Record(
        {"status": Key(one_or_more(choice(*STATUSES)), required=True)},
    ).build(lambda fields: dict(fields.values)),
}
"""What started the care rule; asked again at the gate, so only `still` may name it."""
