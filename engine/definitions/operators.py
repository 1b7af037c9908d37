"""What conditions take: maps of operators, several of which must all hold, and the checks that they make sense together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from engine.definitions.reading import Check, Fields, Key, Reader, Record, list_of
from engine.definitions.report import Report
from engine.definitions.scalars import boolean, decimal, duration, integer, iso_date
from engine.definitions.values import Duration

Arguments = Mapping[str, Any]
MAX_LIST = 5000
KNOWN: Mapping[str, Reader[Any]] = {"known": boolean()}
MONEY: Mapping[str, Reader[Any]] = {"gte": decimal(), "lte": decimal()}
COUNT: Mapping[str, Reader[Any]] = {name: integer(0, 1_000_000) for name in ("gte", "lte", "eq")}
AGES: Mapping[str, Reader[Any]] = {"within": duration(), "older_than": duration()}
DAYS: Mapping[str, Reader[Any]] = {"before": iso_date(), "after": iso_date()}


def operators(keys: Mapping[str, Reader[Any]], check: Check | None = None) -> Reader[Arguments]:
    """A map of at least one of these operators; `check` sees them together."""

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


def narrowed(
    keys: Mapping[str, Reader[Any]], *checks: Check, required: Collection[str] = ()
) -> Reader[Arguments]:
    """A map of keys each of which narrows what is asked for; an empty one asks for anything at all."""

    def checked(fields: Fields, report: Report) -> None:
        for check in checks:
            check(fields, report)

    record = Record(
        {name: Key(reader, required=name in required) for name, reader in keys.items()},
        check=checked,
    )
    return record.build(lambda fields: dict(fields.values))


def one_of(reader: Reader[Any]) -> dict[str, Reader[Any]]:
    return {"eq": reader, "in": list_of(reader, least=1, most=MAX_LIST)}


def words(reader: Reader[Any]) -> dict[str, Reader[Any]]:
    return {**one_of(reader), "not_in": list_of(reader, least=1, most=MAX_LIST)}


def bounds(keys: Mapping[str, Reader[Any]]) -> Reader[Arguments]:
    """A map of bounds of a number, which somebody can meet."""
    return operators(keys, in_order)


def needs_bound(fields: Fields, report: Report) -> None:
    """`within` only narrows what is counted: alone it asks nothing."""
    if not {"gte", "lte", "eq"} & set(fields.nodes):
        report.error(fields.span.position, "`gte` or `lte` is missing", "missing-key")
    in_order(fields, report)


def in_order(fields: Fields, report: Report) -> None:
    """`gte` may not be more than `lte`."""
    low, high = fields.get("gte"), fields.get("lte")
    if low is not None and high is not None and _size(low) > _size(high):
        message = f"nobody can match: gte {low} is more than lte {high}"
        report.error(fields.span.position, message, "bad-value")


def _size(bound: int | Decimal | Duration) -> int | Decimal:
    return bound.seconds if isinstance(bound, Duration) else bound


def dates_meet(fields: Fields, report: Report) -> None:
    """A moment cannot be younger and older than the same time."""
    within, older = fields.get("within"), fields.get("older_than")
    before, after = fields.get("before"), fields.get("after")
    if within and older and within.seconds <= older.seconds:
        message = f"nobody can match: within {within} and older than {older}"
        report.error(fields.span.position, message, "bad-value")
    if before and after and before <= after:
        message = f"nobody can match: before {before} and after {after}"
        report.error(fields.span.position, message, "bad-value")


def exactly_one(*names: str) -> Check:
    """One of these keys, and only one, must be there."""

    def check(fields: Fields, report: Report) -> None:
        given = [name for name in names if name in fields]
        listed = " or ".join(f"`{name}`" for name in names)
        if not given:
            report.error(fields.span.position, f"{listed} is missing", "missing-key")
        elif len(given) > 1:
            message = f"{' and '.join(f'`{name}`' for name in given)}: write one of them"
            report.error(fields.at(given[1]).position, message, "bad-value")

    return check


def not_both(first: str, second: str) -> Check:
    """Of these two keys one says already what the other would."""

    def check(fields: Fields, report: Report) -> None:
        if first in fields and second in fields:
            message = f"`{first}` and `{second}`: write one of them"
            report.error(fields.at(second).position, message, "bad-value")

    return check
