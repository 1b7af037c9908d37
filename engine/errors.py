"""What can go wrong, as types: one root, facts as attributes, and messages that name file, line and key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

EXIT_FINE, EXIT_ERROR, EXIT_CHANGES, EXIT_USAGE = 0, 1, 2, 64
A_LETTER_OR_TWO = 0.8
"""How alike a name is to a known one where it may well be meant as another."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file of the project: path relative to its root, line and column counted from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding of `lint`. An error stops `apply`; a warning never does."""

    position: Position
    message: str
    code: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        label = "" if self.severity == "error" else "warning: "
        return f"{self.position}: {label}{self.message} [{self.code}]"


class YanshuError(Exception):
    """Root of everything that is told to a person in a sentence instead of a traceback."""

    exit_code = EXIT_ERROR


class UsageError(YanshuError):
    """The command line does not make sense."""

    exit_code = EXIT_USAGE


class ConfigurationError(YanshuError):
    """A setting is missing or wrong. Outside `DeliveryError`, so that no send path swallows it."""


class StoreError(YanshuError):
    """The database cannot be used: unreachable, read-only, full, or not migrated."""


class DefinitionsError(YanshuError):
    """The project's files are not fit to be applied. `problems` holds all of them, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ImportFileError(YanshuError):
    """An import file cannot be read at all (rows that are merely bad are rejected one by one)."""


class DeliveryError(YanshuError):
    """Root of what can stop one delivery; `delivery` is its public id where it is known."""

    def __init__(self, message: str, *, delivery: str | None = None) -> None:
        self.delivery = delivery
        super().__init__(message)


class RenderingError(DeliveryError):
    """A template failed on this customer's data. Holds the run; never sends a broken message."""

    def __init__(
        self, message: str, *, delivery: str | None = None, position: Position | None = None
    ) -> None:
        self.position = position
        super().__init__(f"{position}: {message}" if position else message, delivery=delivery)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name closest to a misspelt one, or None. `cutoff`: how alike they are at least, 1 being the same.

    >>> nearest("campain", ["campaign", "care"])
    'campaign'
    """
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of a message: `; did you mean 'x'?`, or nothing.

    >>> did_you_mean("segmnet", ["segment"])
    "; did you mean 'segment'?"
    """
    match = nearest(name, known)
    return f"; did you mean {match!r}?" if match else ""
