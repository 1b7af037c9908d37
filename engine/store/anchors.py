"""The anchors of messages about one customer, as SQL: the texts by which nobody gets a message twice for one reason.

Their form never changes: a new one would send again. (Those of dates for everybody, `at: cron: festival: solar_term:`, are
made in `planning.occurrences`.)
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

NONE = "none"
"""Stands for having no grade."""
_Part = ColumnElement[Any] | str


class iso_day(FunctionElement[str]):
    """SQL: `2026-11-09` of a number of days since 1970."""

    type = Text()
    inherit_cache = True
    name = "iso_day"


@compiles(iso_day, "sqlite")
def _iso_day_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"date({compiler.process(element.clauses, **kw)} * 86400, 'unixepoch')"


@compiles(iso_day, "postgresql")
def _iso_day_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    days = compiler.process(element.clauses, **kw)
    return f"to_char(DATE '1970-01-01' + CAST({days} AS integer), 'YYYY-MM-DD')"


def order(ref: _Part, what: str) -> ColumnElement[str]:
    """`order:A1:received`; `what` is a status, or `unpaid`."""
    return _joined("order:", ref, f":{what}")


def dormant(ref: _Part) -> ColumnElement[str]:
    """`dormant:A1`, the last order."""
    return _joined("dormant:", ref)


def replenishment(ref: _Part, category: _Part) -> ColumnElement[str]:
    """`replenishment:A1:咖啡`, the last order of the category."""
    return _joined("replenishment:", ref, ":", category)


def birthday(year: _Part) -> ColumnElement[str]:
    """`birthday:2026`; of a lunar birthday the lunar year."""
    return _joined("birthday:", year)


def anniversary(of: str, year: _Part) -> ColumnElement[str]:
    """`anniversary:first_order:2026`."""
    return _joined(f"anniversary:{of}:", year)


def expiry(membership: _Part, day: ColumnElement[Any]) -> ColumnElement[str]:
    """`expiry:12:2027-03-01`; `day` in days since 1970."""
    return _joined(expiry_of(membership), iso_day(day))


def expiry_of(membership: _Part) -> ColumnElement[str]:
    """How every anchor of this membership's expiry begins."""
    return _joined("expiry:", membership, ":")


def level(membership: _Part, name: _Part) -> ColumnElement[str]:
    """`level:12:VIP`, the membership that began."""
    return _joined("level:", membership, ":", name)


def grade(before: ColumnElement[Any], after: ColumnElement[Any], day: Any) -> ColumnElement[str]:
    """`grade:G>S:2026-11-09`, the shop's day."""
    known = [func.coalesce(name, literal(NONE, Text)) for name in (before, after)]
    return _joined("grade:", known[0], ">", known[1], ":", iso_day(day))


def tag(dimension: _Part, value: _Part, day: ColumnElement[Any]) -> ColumnElement[str]:
    """`tag:temper=picky:2026-11-09`, the shop's day."""
    return _joined(tag_of(dimension, value), iso_day(day))


def tag_of(dimension: _Part, value: _Part) -> ColumnElement[str]:
    """How every anchor of this tag begins."""
    return _joined("tag:", dimension, "=", value, ":")


def event(ref: _Part) -> ColumnElement[str]:
    """`event:E1`."""
    return _joined("event:", ref)


def begins_with(anchor: ColumnElement[Any], start: ColumnElement[str]) -> ColumnElement[bool]:
    """Compared letter by letter: to LIKE the data's own % and _ would be signs."""
    return func.substr(anchor, 1, func.length(start)) == start


def _joined(*parts: _Part) -> ColumnElement[str]:
    first, *others = [
        literal(part, Text) if isinstance(part, str) else cast(part, Text) for part in parts
    ]
    whole: ColumnElement[str] = first
    for part in others:
        whole = whole + part
    return whole
