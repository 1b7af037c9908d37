"""How much to admit ahead of the workers: about two seconds of what they were measured to do.

Little enough that a pause, a priority or a cap bites at once; enough that no worker waits for the dispatcher.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST = 1_000
"""Before anything was measured: less would leave quick workers idle half of their first second."""
LEAST, MOST = 200, 20_000
AHEAD_SECONDS = 2.0
_MEASURED_OVER = 0.5  # seconds
_SMOOTHING = 0.5
_HUNGRY = 8  # below limit / 8 the workers are about to run dry


@dataclass
class Pace:
    """Measures the workers by how the queue shrinks. Where they ran dry, nothing says how fast they could be: the
    limit doubles at once; otherwise it follows the measured rate."""

    clock: Callable[[], float] = time.monotonic
    limit: int = FIRST
    _since: float | None = None
    _outstanding: int = 0
    _admitted: int = 0
    _rate: float = 0.0

    def room(self, outstanding: int) -> int:
        """How many more may be admitted now: none while the workers have half of the limit before them, about a second's
        work. Each look and each batch costs the same however few it moves, so they are worth waiting for."""
        now = self.clock()
        if self._since is None:
            self._since, self._outstanding = now, outstanding
        ran_dry = self._admitted > 0 and outstanding <= self.limit // _HUNGRY
        if ran_dry or now - self._since >= _MEASURED_OVER:
            self._learn(outstanding, max(now - self._since, 0.001), ran_dry=ran_dry)
            self._since, self._outstanding, self._admitted = now, outstanding, 0
        return self.limit - outstanding if outstanding <= self.limit // 2 else 0

    def admitted(self, count: int) -> None:
        self._admitted += count

    def _learn(self, outstanding: int, seconds: float, *, ran_dry: bool) -> None:
        done = self._outstanding + self._admitted - outstanding
        if done <= 0:
            return
        rate = done / seconds
        self._rate = rate if not self._rate else _SMOOTHING * rate + (1 - _SMOOTHING) * self._rate
        wanted = self.limit * 2 if ran_dry else int(self._rate * AHEAD_SECONDS)
        self.limit = min(MOST, max(LEAST, wanted))
