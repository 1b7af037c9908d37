"""What is wrong with a push: each fault with the path of its place in the body, as many as a person cares to read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_FAULTS = 100
_LONGEST = 300
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Fault:
    """`path`: where in the body, from `$`; `line`: of NDJSON, from 1."""

    path: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row or an item stands."""

    path: str
    line: int | None = None

    def at(self, key: str) -> Place:
        return Place(below(self.path, key), self.line)


class Faults:
    """Collects faults. `is_full`: there are so many that nobody looks for more."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    @property
    def is_full(self) -> bool:
        return len(self.found) >= MOST_FAULTS

    def add(self, place: Place, message: str) -> None:
        if not self.is_full:
            short = message if len(message) <= _LONGEST else message[:_LONGEST] + "…"
            short = short.encode(errors="backslashreplace").decode()  # half a surrogate pair
            self.found.append(Fault(place.path, short, place.line))


class RowFaults:
    """Takes the rejected rows of the import path: a row's number chooses its place."""

    def __init__(self, faults: Faults, places: Sequence[Place], names: Sequence[str]) -> None:
        self._faults, self._places, self._names = faults, places, frozenset(names)

    def add(self, line: int, reason: str, cells: Sequence[Any]) -> None:  # noqa: ARG002 - the interface's
        """A reason begins with the column's name, where it is about one column."""
        place = self._places[line]
        name, colon, rest = reason.partition(": ")
        if colon and name in self._names:
            self._faults.add(place.at(name), rest)
        else:
            self._faults.add(place, reason)


def below(path: str, key: str) -> str:
    """The path of what stands under this key.

    >>> below("$[3]", "amount"), below("$", "a b")
    ('$[3].amount', "$['a b']")
    """
    if len(key) > 60:
        key = key[:60] + "…"
    return f"{path}.{key}" if _PLAIN.fullmatch(key) else f"{path}[{key!r}]"
