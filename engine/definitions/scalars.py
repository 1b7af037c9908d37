"""Readers of single values: text, numbers, durations, times, zones, by the rules of YAML 1.2 and of the trade."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from engine.clock import check_zone
from engine.definitions.reading import Reader, describe, wrong_type
from engine.definitions.report import Report, clipped
from engine.definitions.values import (
    Duration,
    Hours,
    parse_duration,
    parse_hours,
    parse_offset,
    parse_time,
)
from engine.definitions.yaml_nodes import Node, Scalar
from engine.errors import did_you_mean

T = TypeVar("T")
N = TypeVar("N", int, Decimal)
MAX_DAYS = 3650
_NULL = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_NUMBER = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,14})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _scalar(
    wanted: str, convert: Callable[[Scalar], T | None], schema: dict[str, Any]
) -> Reader[T]:
    def read(node: Node, report: Report) -> T | None:
        value = convert(node) if isinstance(node, Scalar) else None
        if value is None:
            wrong_type(node, wanted, report)
        return value

    return Reader(read, schema)


def text(*, most: int = 200) -> Reader[str]:
    """One line of text, not empty. What YAML 1.2 takes for a number, true, false or null must be quoted."""

    def read(node: Node, report: Report) -> str | None:
        if not isinstance(node, Scalar) or _is_null(node):
            wrong_type(node, "text", report)
            return None
        problem = _text_problem(node, most)
        if problem:
            report.error(node.span.position, problem, "bad-value")
            return None
        return node.value.strip()

    return Reader(read, {"type": "string", "minLength": 1, "maxLength": most})


def _text_problem(node: Scalar, most: int) -> str | None:
    if node.plain and (node.value in _BOOLEANS or _NUMBER.fullmatch(node.value)):
        return f'{node.value} is not text; if it is meant as text, quote it: "{node.value}"'
    if not node.value.strip():
        return "an empty text"
    if len(node.value) > most:
        return f"a text of {len(node.value):,} characters; at most {most} are taken"
    if re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029]", node.value.strip()):
        return "a text of several lines, or with control characters; write one line"
    return None


def _is_null(node: Scalar) -> bool:
    return node.plain and node.value in _NULL


def choice(*values: str, later: Collection[str] = ()) -> Reader[Any]:
    """One of these words. `later`: words of the wider design that this version refuses by name."""

    def read(node: Node, report: Report) -> str | None:
        if not isinstance(node, Scalar) or _is_null(node):
            wrong_type(node, " or ".join(values), report)
        elif node.value in values:
            return node.value
        elif node.value in later:
            report.not_yet(node.span.position, node.value)
        else:
            hint = did_you_mean(clipped(node.value), values) or f"; write {' or '.join(values)}"
            report.error(
                node.span.position, f"{describe(node)} is not known here{hint}", "bad-value"
            )
        return None

    return Reader(read, {"enum": list(values)})


def integer(low: int, high: int) -> Reader[int]:
    """A whole number, bounds included."""
    number = _scalar(
        f"a whole number from {low} to {high:,}",
        lambda node: int(node.value) if node.plain and _INTEGER.fullmatch(node.value) else None,
        {"type": "integer", "minimum": low, "maximum": high},
    )
    return number.then(lambda value: _between(value, low, high))


def decimal(low: int = 0, high: int = 1_000_000_000) -> Reader[Decimal]:
    """A number with up to six decimals, read exactly."""
    number = _scalar(
        f"a number from {low} to {high:,}",
        lambda node: Decimal(node.value) if node.plain and _DECIMAL.fullmatch(node.value) else None,
        {"type": "number", "minimum": low, "maximum": high},
    )
    return number.then(lambda value: _between(value, low, high))


def is_number(node: Scalar) -> bool:
    """Whether YAML takes this for a number, with or without decimals."""
    return node.plain and bool(_DECIMAL.fullmatch(node.value))


def percent() -> Reader[Decimal]:
    """A share, `5%` or `0.1%`: more than nothing, and at most all."""

    def check(written: str) -> Decimal:
        digits = written.removesuffix("%")
        value = Decimal(digits) if digits != written and _DECIMAL.fullmatch(digits) else None
        if value is None or not 0 < value <= 100:
            raise ValueError(f"{written!r} is not a share; write it as in 5%, up to 100%")
        return value

    return _written("a share such as 5%").then(check, pattern="^[0-9]+([.][0-9]+)?%$")


def _between(value: N, low: int, high: int) -> N:
    if not low <= value <= high:
        raise ValueError(f"{value} is out of range: from {low} to {high:,}")
    return value


def boolean() -> Reader[bool]:
    """`true` or `false`; in YAML 1.2 `yes` and `on` are words."""
    return _scalar(
        "true or false",
        lambda node: _BOOLEANS.get(node.value) if node.plain else None,
        {"type": "boolean"},
    )


def duration(*, least: int = 1) -> Reader[Duration]:
    """`30s 15m 2h 7d`: from `least` of its unit to ten years."""

    def check(written: str) -> Duration:
        value = parse_duration(written)
        if value.amount < least or value.seconds > MAX_DAYS * 86400:
            raise ValueError(f"{written} is out of range: from {least}s to {MAX_DAYS}d")
        return value

    return _written("a duration such as 7d").then(check, pattern="^[0-9]{1,6}[smhd]$")


def offset() -> Reader[int]:
    """`-7d`: days before a day, or `3d` after it."""
    return _written("days such as -7d").then(parse_offset, pattern="^[+-]?[0-9]{1,3}d$")


def hours() -> Reader[Hours]:
    """A daily window, `"20:00-08:00"`."""
    return _written('a window such as "20:00-08:00"').then(
        parse_hours, pattern="^[0-9:]{5} ?- ?[0-9:]{5}$"
    )


def time_of_day() -> Reader[Any]:
    """`"08:30"`; an unquoted 08:30 is text in YAML 1.2 too."""
    return _written('a time such as "08:30"').then(
        parse_time, pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$"
    )


def zone() -> Reader[str]:
    """An IANA time zone."""
    return _written("a time zone such as Asia/Shanghai").then(check_zone)


def iso_date() -> Reader[date]:
    """A calendar day, `2026-11-09`, of the years 1900 to 2100."""

    def check(written: str) -> date:
        try:
            value = date.fromisoformat(written) if _DATE.fullmatch(written) else None
        except ValueError:
            value = None
        if value is None or not 1900 <= value.year <= 2100:
            raise ValueError(f"{written!r} is not a day; write it as in 2026-11-09")
        return value

    return _written("a day such as 2026-11-09").then(check, format="date")


def matching(pattern: str, wanted: str) -> Reader[str]:
    """Text of this pattern; `wanted` says so in words."""
    compiled = re.compile(pattern)

    def check(written: str) -> str:
        if not compiled.fullmatch(written):
            raise ValueError(f"{written!r} is not {wanted}")
        return written

    return _written(wanted).then(check, pattern=f"^{pattern}$")


def _written(wanted: str) -> Reader[str]:
    """The characters of a scalar, whatever YAML thinks of them: what follows checks them."""
    return _scalar(
        wanted,
        lambda node: None if _is_null(node) else node.value.strip()[:200] or None,
        {"type": "string"},
    )
