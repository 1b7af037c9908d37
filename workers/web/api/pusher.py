"""Landing pushes durably and off the event loop: those that arrive while one commit is on its way share the next.

The same as for hits (decision 008): who pushes is answered after the commit that holds the rows, and a process has one
such transaction at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from tenacity import retry, retry_if_exception, stop_after_attempt, stop_after_delay, wait_fixed

from engine.clock import Clock
from engine.customers.push.body import read_body
from engine.customers.push.faults import Faults
from engine.customers.push.fields import PushKind
from engine.customers.push.landing import Lander, Outcome, Refused
from engine.customers.push.rows import Push, read_rows
from engine.errors import StoreError
from engine.store.session import Store, is_passing

_MOST_ROWS = 2000
"""Of one transaction, unless a single push has more."""
_MOST_WAITING = 200
_READERS = 2
"""Bodies that are read at the same time: each may become a hundred times its size for a moment."""
_Waiting = tuple[Push, "asyncio.Future[Outcome]"]
"""A push, and whoever waits for what becomes of it."""


class Pusher:
    """Group commit of pushes. Use it from one event loop."""

    def __init__(self, store: Store, hashing_key: str, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._lander = Lander(hashing_key)
        self._waiting: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._readers: CapacityLimiter | None = None

    async def push(self, kind: PushKind, body: bytes, *, by_line: bool) -> Outcome:
        """Read the body and land it; returns after the commit.

        Raises NotJsonError, TooManyRowsError, StoreError where the database is away, and whatever else stopped the commit.
        """
        if len(self._waiting) >= _MOST_WAITING:
            raise StoreError("web: too many pushes are waiting to be written")
        if self._readers is None:  # it belongs to the event loop
            self._readers = CapacityLimiter(_READERS)
        read = await to_thread.run_sync(_read, kind, body, by_line, limiter=self._readers)
        return read if isinstance(read, Refused) else await self._land(read)

    async def _land(self, push: Push) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((push, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        return await future

    async def _write_all(self) -> None:
        while self._waiting:
            group = self._group()
            try:
                outcomes = await run_in_threadpool(self._commit, [push for push, _ in group])
            except Exception as error:  # whatever it is, nobody may wait for an answer for ever
                if len(group) > 1 and not is_passing(error):
                    await self._write_singly(group)
                    continue
                _fail(group, error)
                continue
            for (_, future), outcome in zip(group, outcomes, strict=True):
                if not future.done():  # who asked may have gone
                    future.set_result(outcome)

    def _group(self) -> list[_Waiting]:
        group = [self._waiting.popleft()]
        rows = _size(group[0][0])
        while self._waiting and rows + _size(self._waiting[0][0]) <= _MOST_ROWS:
            rows += _size(self._waiting[0][0])
            group.append(self._waiting.popleft())
        return group

    async def _write_singly(self, group: list[_Waiting]) -> None:
        """One of them cannot be written: the others shall not fail with it."""
        for push, future in group:
            try:
                outcomes = await run_in_threadpool(self._commit, [push])
            except Exception as error:
                _fail([(push, future)], error)
                continue
            if not future.done():
                future.set_result(outcomes[0])

    # A restarted server is back at once on a new connection; a locked SQLite has had its 30 s already.
    @retry(
        retry=retry_if_exception(is_passing),
        stop=stop_after_attempt(3) | stop_after_delay(5),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    def _commit(self, pushes: list[Push]) -> list[Outcome]:
        with self._store.write() as connection:
            return self._lander.land(connection, pushes, self._clock.now())


def _read(kind: PushKind, body: bytes, by_line: bool) -> Push | Refused:
    """The rows, or what is wrong with them before anybody asks the database. For a thread."""
    faults = Faults()
    push = read_rows(kind, read_body(body, by_line=by_line, faults=faults), faults)
    return Refused(tuple(faults.found)) if faults.found else push


def _size(push: Push) -> int:
    return len(push.places)


def _fail(group: list[_Waiting], error: Exception) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)
