"""The body of a push: one object, a list of objects, or NDJSON → rows, each with its place.

Numbers stay as they are written (`Whole`, `Fraction`): an amount never passes through a float.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from engine.customers.push.faults import Fault, Faults, Place, below

MOST_BYTES = 2 * 1024 * 1024
MOST_ROWS = 1000
MOST_ITEMS = 5000
DEEPEST = 20
"""How many objects and lists may stand in each other, the row being the first."""


class Whole(str):
    """A number without decimals, as it is written."""

    __slots__ = ()


class Fraction(str):
    """Any other number, as it is written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Row:
    """An object of the body."""

    place: Place
    value: dict[str, Any]


class NotJsonError(ValueError):
    """The body, or a line of it, cannot be read."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.message)


class TooManyRowsError(ValueError):
    """There are more rows than a push may have."""


def read_body(body: bytes, *, by_line: bool, faults: Faults) -> list[Row]:
    """The rows of a body; `by_line`: it is NDJSON. What is no object, is too deep or holds text that no database
    keeps is a fault. Raises NotJsonError, TooManyRowsError."""
    text = _decode(body)
    found = list(_lines(text)) if by_line else list(_document(text))
    rows = []
    for place, value in found:
        if faults.is_full:
            break
        if not isinstance(value, dict):
            faults.add(place, f"is {name_of(value)}; a row is an object")
        elif _is_sound(place, value, faults):
            rows.append(Row(place, value))
    return rows


def type_of(value: Any) -> str:
    """The value's type in the words of JSON Schema.

    >>> type_of(Whole("12")), type_of(None), type_of([])
    ('integer', 'null', 'array')
    """
    if isinstance(value, Whole | Fraction):
        return "integer" if isinstance(value, Whole) else "number"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "boolean"
    return "string" if isinstance(value, str) else "object" if isinstance(value, dict) else "array"


def name_of(value: Any) -> str:
    """The same for a sentence."""
    found = type_of(value)
    return "null" if found == "null" else f"{'an' if found[0] in 'aeiou' else 'a'} {found}"


def as_json(value: Any) -> str:
    """The value as JSON, its numbers as numbers. Raises ValueError for one that no database keeps."""
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Whole):
        return int(value)
    if isinstance(value, Fraction):
        number = float(value)
        if number in (float("inf"), float("-inf")):
            raise ValueError("holds a number that is too large")
        return number
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _decode(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotJsonError(Fault("$", f"is not UTF-8: byte {error.start + 1}")) from None
    if not text.strip():
        raise NotJsonError(Fault("$", "is empty"))
    return text


def _document(text: str) -> Iterator[tuple[Place, Any]]:
    document = _parse(text, Place("$"))
    if not isinstance(document, list):
        yield Place("$"), document
        return
    if len(document) > MOST_ROWS:
        raise TooManyRowsError(f"{len(document):,} rows; a push has {MOST_ROWS:,} at most")
    for number, value in enumerate(document):
        yield Place(f"$[{number}]"), value


def _lines(text: str) -> Iterator[tuple[Place, Any]]:
    """NDJSON: a row a line; blank lines are passed over. A row's number counts from 0, a line's from 1."""
    number = 0
    for line, written in enumerate(text.split("\n"), start=1):
        if not written.strip():
            continue
        if number >= MOST_ROWS:
            raise TooManyRowsError(f"a push has {MOST_ROWS:,} rows at most")
        place = Place(f"$[{number}]", line)
        yield place, _parse(written, place)
        number += 1


def _parse(text: str, place: Place) -> Any:
    try:
        return _load(text)
    except json.JSONDecodeError as error:
        where = f"column {error.colno}" if place.line else f"line {error.lineno}, column {error.colno}"  # fmt: skip
        message = f"is not JSON: {error.msg} at {where}"
    except ValueError as error:
        message = f"is not JSON: {error}"
    except RecursionError:
        message = "is nested too deeply"
    raise NotJsonError(Fault(place.path, message, place.line)) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice[:60]!r} stands twice in one object")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


_load = partial(
    json.loads, parse_int=Whole, parse_float=Fraction, parse_constant=_refuse,
    object_pairs_hook=_unique,
)  # fmt: skip


def _is_sound(place: Place, row: dict[str, Any], faults: Faults) -> bool:
    """Whether everything in it, however deep, can be kept."""
    waiting: list[tuple[str, Any, int]] = [(place.path, row, 1)]
    before = len(faults.found)
    while waiting and not faults.is_full:
        path, value, depth = waiting.pop()
        here = Place(path, place.line)
        if isinstance(value, str):
            if reason := _unfit(value):
                faults.add(here, reason)
        elif isinstance(value, dict | list):
            if depth > DEEPEST:
                faults.add(here, f"is nested more than {DEEPEST} deep")
                continue
            for path_of_one, one in _inside(path, value, here, faults):
                if isinstance(one, str | dict | list):
                    waiting.append((path_of_one, one, depth + 1))
    return len(faults.found) == before


def _inside(
    path: str, value: dict[str, Any] | list[Any], here: Place, faults: Faults
) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        yield from ((f"{path}[{number}]", one) for number, one in enumerate(value))
        return
    for key, one in value.items():
        if reason := _unfit(key):
            faults.add(here, f"a key {reason}")
        else:
            yield below(path, key), one


def _unfit(text: str) -> str | None:
    if "\0" in text:
        return "holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a surrogate pair"
    return None
