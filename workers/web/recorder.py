"""Recording hits durably and fast: those that arrive while one commit is on its way share the next.

A visitor is answered after the commit that holds the hit. One transaction at a time per process also keeps a wave of
scanners from crowding the sending workers out of the database.
"""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.concurrency import run_in_threadpool
from tenacity import retry, retry_if_exception, stop_after_attempt, stop_after_delay, wait_fixed

from engine.errors import StoreError
from engine.store.session import Store, is_passing
from engine.tracking.events import Hit, Recorded, record

_BATCH = 500
_MOST_WAITING = 20_000


class Recorder:
    """Group commit of hits. Use it from one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[tuple[Hit, asyncio.Future[Recorded | None]]] = deque()
        self._writer: asyncio.Task[None] | None = None

    async def record(self, hit: Hit) -> Recorded | None:
        """Record one hit; returns after the commit. None: no such delivery or link.

        Raises StoreError where the database is away, and whatever else stopped the commit.
        """
        if len(self._waiting) >= _MOST_WAITING:
            raise StoreError("web: too many hits are waiting to be recorded")
        future: asyncio.Future[Recorded | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((hit, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        return await future

    async def _write_all(self) -> None:
        while self._waiting:
            size = min(len(self._waiting), _BATCH)
            batch = [self._waiting.popleft() for _ in range(size)]
            try:
                answers = await run_in_threadpool(self._commit, [hit for hit, _ in batch])
            except Exception as error:  # whatever it is, nobody may wait for an answer for ever
                for _, future in batch:
                    if not future.done():  # the visitor may have gone
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    # A restarted server is back at once on a new connection; a locked SQLite has had its 30 s already.
    @retry(
        retry=retry_if_exception(is_passing),
        stop=stop_after_attempt(3) | stop_after_delay(5),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    def _commit(self, hits: list[Hit]) -> list[Recorded | None]:
        with self._store.write() as connection:
            return record(connection, hits)
