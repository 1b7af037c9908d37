"""Where problems are gathered: every one of every file, each with its place, before anybody gives up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from engine.errors import Position, Problem, did_you_mean

MAX_ERRORS = 100
"""In one part of the work, such as a file: looking for the nearest name 50,000 times would take minutes."""
_LONGEST_NAME = 60


class _TooManyErrors(Exception):
    """Ends a `bounded` part; nobody else sees it."""


@dataclass(slots=True)
class Report:
    """The problems found so far. `errors` counts what stops `apply`; warnings do not."""

    problems: list[Problem] = field(default_factory=list)
    errors: int = 0
    most: int | None = None

    @contextmanager
    def bounded(self) -> Iterator[Report]:
        """A part of the work that ends early after `MAX_ERRORS`; what it found is added to this report."""
        part = Report(most=MAX_ERRORS)
        try:
            yield part
        except _TooManyErrors:
            message = f"more than {MAX_ERRORS} errors; the others are not shown"
            part.problems.append(Problem(part.problems[-1].position, message, "too-many"))
        finally:
            self.problems += part.problems
            self.errors += part.errors

    def error(self, position: Position, message: str, code: str) -> None:
        self.problems.append(Problem(position, message, code))
        self.errors += 1
        if self.most is not None and self.errors > self.most:
            raise _TooManyErrors

    def warn(self, position: Position, message: str, code: str) -> None:
        self.problems.append(Problem(position, message, code, "warning"))

    def unknown(
        self, position: Position, what: str, name: str, known: Iterable[str], code: str
    ) -> None:
        """An error about a name that does not exist, with the nearest one that does, else all of a few."""
        names = sorted(known)
        name = clipped(name)
        hint = did_you_mean(name, names)
        if not hint and 0 < len(names) <= 12:
            hint = f"; known: {', '.join(names)}"
        self.error(position, f"unknown {what} {name!r}{hint}", code)

    def not_yet(self, position: Position, key: str) -> None:
        """An error about something that the wider design knows and this version does not do."""
        self.error(position, f"`{key}` is not supported yet", "not-supported")

    def sorted(self) -> tuple[Problem, ...]:
        """All problems in the order of files and lines."""
        return tuple(sorted(self.problems))


def clipped(name: str) -> str:
    """A name as long as names are: what somebody made a megabyte long is neither compared nor shown in full."""
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"
