"""What a row of the benchmark is, and how its ratio is judged against its floor and goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Measured:
    """One row's outcome: every repetition's ratio (or plain figure), and how it was taken."""

    ratios: Sequence[float]
    how: str
    notes: Sequence[str] = ()

    @property
    def median(self) -> float:
        return median(self.ratios)


@dataclass(frozen=True)
class Row:
    """`more_is_better` False: the ratio must stay under its floor. `binds`: below the floor the bench fails; a row
    whose floor does not bind yet prints `not yet` beside its figure."""

    number: str
    title: str
    run: Callable[[], Measured]
    floor: float | None
    goal: float | None
    more_is_better: bool
    binds: bool
    unit: str = "×"

    def is_below_floor(self, value: float) -> bool:
        if self.floor is None:
            return False
        return value < self.floor if self.more_is_better else value > self.floor

    def verdict(self, value: float) -> str:
        if not self.is_below_floor(value):
            return "holds" if self.floor is not None else "reported"
        return "BELOW THE FLOOR" if self.binds else "not yet"
