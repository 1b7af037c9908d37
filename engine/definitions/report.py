"""Where problems are gathered: every one of every file, each with its place, before anybody gives up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.errors import Position, Problem, did_you_mean


@dataclass(slots=True)
class Report:
    """The problems found so far. `errors` counts what stops `apply`; warnings do not."""

    problems: list[Problem] = field(default_factory=list)
    errors: int = 0

    def error(self, position: Position, message: str, code: str) -> None:
        self.problems.append(Problem(position, message, code))
        self.errors += 1

    def warn(self, position: Position, message: str, code: str) -> None:
        self.problems.append(Problem(position, message, code, "warning"))

    def unknown(
        self, position: Position, what: str, name: str, known: Iterable[str], code: str
    ) -> None:
        """An error about a name that does not exist, with the nearest one that does, else all of a few."""
        names = sorted(known)
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
