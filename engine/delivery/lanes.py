"""Where claimed letters wait for a connection of their channel, in the order in which they may go."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from engine.delivery.letters import Letter

WINDOW = 8
"""Letters that one connection has in hand at most: what a crash can leave uncertain, per connection."""
IDLE_SECONDS = 0.5


@dataclass
class Batch:
    """One batch in hand, and the count by which whoever asked for it knows that all its letters are done with."""

    name: str
    size: int = 0
    left: int = 0
    done: threading.Event = field(
        default_factory=threading.Event
    )  # who asked for it is another thread

    def began(self, size: int) -> None:
        """So many letters of it are ours."""
        self.size = self.left = size
        if not size:
            self.done.set()

    def finish(self, count: int) -> None:
        self.left -= count
        if self.left <= 0:
            self.done.set()


class Job(NamedTuple):
    letter: Letter
    batch: Batch


class Lane:
    """The letters of one channel that wait for a connection of this process, in order of `send_at`. It lives in the
    event loop of the connections; no other thread touches it."""

    def __init__(self) -> None:
        self.is_closed = False  # nothing more is handed out
        self.failures = 0  # times in a row that the way out could not be opened
        self._jobs: deque[Job] = deque()
        self._waiting: list[asyncio.Event] = []
        self._opening: set[asyncio.Task[Any]] = set()

    def put(self, jobs: Sequence[Job]) -> None:
        self._jobs.extend(jobs)
        self._wake()

    def close(self) -> None:
        """Hand out nothing more; what is left goes back to planned."""
        self.is_closed = True
        self._wake()
        for task in self._opening:
            task.cancel()

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Around opening the way out, which closing the lane cancels: a server may take minutes to greet, and nothing
        is marked yet."""
        task = asyncio.current_task()
        assert task is not None
        if self.is_closed:
            raise asyncio.CancelledError
        self._opening.add(task)
        try:
            yield
        finally:
            self._opening.discard(task)

    def put_back(self, jobs: Sequence[Job]) -> None:
        """At the head again: they were taken ahead and cannot go."""
        self._jobs.extendleft(reversed(jobs))

    def drain(self) -> list[Job]:
        left = list(self._jobs)
        self._jobs.clear()
        return left

    def due(self, now: datetime) -> list[Job]:
        """The next window that may go by now; empty where there is none."""
        window: list[Job] = []
        while len(window) < WINDOW and (job := self._next(now)) is not None:
            window.append(job)
        return window

    def ahead(self, now: datetime) -> Job | None:
        """The next letter that may go by now, for a connection that still has others on the wire; what an idle one
        could take at once is left to that."""
        return None if self._waiting else self._next(now)

    def _next(self, now: datetime) -> Job | None:
        if self.is_closed or not self._jobs or self._jobs[0].letter.row.send_at > now:
            return None
        return self._jobs.popleft()

    async def take(self, now: Callable[[], datetime]) -> list[Job] | None:
        """The next window that may go by now; waits for one. None when the lane is closed."""
        while not self.is_closed:
            window = self.due(now())
            if window:
                return window
            await self._change(self._patience(now()))
        return None

    def _patience(self, now: datetime) -> float | None:
        if not self._jobs:
            return None
        ahead: timedelta = self._jobs[0].letter.row.send_at - now
        return min(IDLE_SECONDS, max(0.001, ahead.total_seconds()))

    async def _change(self, patience: float | None) -> None:
        changed = asyncio.Event()
        self._waiting.append(changed)
        try:
            async with asyncio.timeout(patience):
                await changed.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting.remove(changed)

    def _wake(self) -> None:
        for changed in self._waiting:
            changed.set()
