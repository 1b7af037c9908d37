"""Sending: a worker process claims a batch, and its connections pull letters from it, window by window.

A window is at most eight letters on one connection: rendered, marked `sending` in the database, handed over,
recorded. What a process can leave uncertain when it dies is therefore at most eight letters per connection.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol

import structlog
import uvloop
from sqlalchemy import Connection, select, update

from engine.channels.base import Envelope, Outcome, Refused
from engine.clock import Clock
from engine.customers.permission import newly_refused
from engine.delivery.in_hand import BACK_TO_PLANNED
from engine.delivery.lanes import IDLE_SECONDS, WINDOW, Batch, Job, Lane
from engine.delivery.leases import beat, retire
from engine.delivery.ledger import Ledger, PutOff
from engine.delivery.letters import Letter, Rendered, Writer, load_letters
from engine.delivery.results import Result, Sent, judge, relay_away_for
from engine.delivery.window import Window
from engine.gate.series import no_longer_wanted
from engine.store.catalog import CatalogReader
from engine.store.run_rows import IN_HAND
from engine.store.session import Store, waits_out_an_outage
from engine.store.tables import State, deliveries

_log = structlog.get_logger()
HEARTBEAT_SECONDS = 3.0


class Transport(Protocol):
    """One way out, used by one task: an SMTP connection or a gateway."""

    async def open(self) -> Refused | None:
        """Make sure of a usable connection, or say why there is none."""

    async def send_window(
        self, envelopes: Sequence[Envelope], told: Callable[[int, Outcome], object]
    ) -> None:
        """Hand over up to eight; `told` hears (place in the window, outcome) of each as soon as it is known."""

    async def close(self) -> None: ...


class Sender:
    """Everything that one worker process sends with. `transports`: per channel, one factory call per connection.

    All connections and the database live in one event loop, in one thread: handing the interpreter around between
    threads cost more than the sending. `failed` is set where something broke unexpectedly: the process has to stop then.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        worker: str,
        writer: Callable[[str], Writer],
        transports: Mapping[str, Sequence[Callable[[], Transport]]],
    ) -> None:
        self._store, self._clock, self._worker = store, clock, worker
        self._reader, self._writer_for = CatalogReader(), writer
        self._writer: Writer | None = None
        self._ledger = Ledger(store, clock, worker)
        self._transports = transports
        self._lanes = {channel: Lane() for channel in transports}
        self._loop = uvloop.new_event_loop()
        self.failed = threading.Event()
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._line = threading.Thread(target=self._run, name="line", daemon=True)
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._heartbeat()
        self._line.start()
        self._heart.start()

    def stop(self) -> None:
        """Finish the windows that are on the wire, give everything else back, leave nothing uncertain."""
        self._stopping.set()
        with suppress(RuntimeError):  # the loop has ended: its last connection broke
            self._loop.call_soon_threadsafe(self._close_lanes)
        self._line.join()
        self._ended.set()
        self._heart.join()
        self._give_back_all()

    def send_batch(self, batch: str) -> int:
        """Claim a batch and return when everything in it has been handed over, put off or given back, or when this
        process has to end. For any thread.

        Returns how many letters this worker took up: 0 where the batch was taken before, or is no longer queued.
        """
        work = Batch(batch)
        if self._stopping.is_set():
            return 0
        try:
            self._loop.call_soon_threadsafe(self._take_up, work)
        except (
            RuntimeError
        ):  # the loop has ended meanwhile: the dispatcher takes the rows back from a retired worker
            return 0
        while not work.done.wait(IDLE_SECONDS) and not (
            self._ended.is_set() or self.failed.is_set()
        ):
            pass
        return work.size

    def _take_up(self, work: Batch) -> None:
        try:
            letters = self._claim(work.name)
        except Exception:
            _log.exception("send.claim_failed", batch=work.name)
            self.failed.set()
            return
        work.began(len(letters))
        for channel, lane in self._lanes.items():
            mine = [Job(letter, work) for letter in letters if letter.row.channel == channel]
            if mine:
                lane.put(mine)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._carry_all())

    async def _carry_all(self) -> None:
        """Every connection's life, until the lanes are closed."""
        await asyncio.gather(
            *(
                self._carry(self._lanes[channel], make())
                for channel, makers in self._transports.items()
                for make in makers
            )
        )
        for lane in self._lanes.values():
            for job in lane.drain():
                job.batch.finish(1)

    def _close_lanes(self) -> None:
        for lane in self._lanes.values():
            lane.close()

    def _claim(self, batch: str) -> list[Letter]:
        """The letters of a batch that are ours to send, after the last check."""
        if not self._mark_claimed(batch):
            return []
        letters, refused = self._load_checked(batch)
        if refused:
            self._skip(refused)
        return letters

    @waits_out_an_outage
    def _mark_claimed(self, batch: str) -> int:
        """Compare-and-set: of two messages for one batch, one finds nothing."""
        with self._store.write() as connection:
            return connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.batch == batch,
                    deliveries.c.state == State.QUEUED,
                    deliveries.c.worker.is_(None),
                )
                .values(worker=self._worker)
            ).rowcount

    @waits_out_an_outage
    def _load_checked(self, batch: str) -> tuple[list[Letter], Mapping[int, str]]:
        """The batch's letters, and apart from them the rows of those who unsubscribed or were suppressed since
        admission, with the reason."""
        with self._store.read() as connection:
            letters = self._load(connection, batch)
            refused = newly_refused(connection, self._reader.read(connection).policy, batch)
            refused |= _ended_series(connection, letters, self._clock.now())
        return [letter for letter in letters if letter.row.id not in refused], refused

    @waits_out_an_outage
    def _skip(self, refused: Mapping[int, str]) -> None:
        with self._store.write() as connection:
            for number, reason in refused.items():
                connection.execute(
                    update(deliveries)
                    .where(deliveries.c.id == number, deliveries.c.state == State.QUEUED)
                    .values(
                        state=State.SKIPPED.value,
                        reason=reason,
                        ended_at=self._clock.now(),
                        admitted_at=None,
                        batch=None,
                    )
                )

    def _load(self, connection: Connection, batch: str) -> list[Letter]:
        catalog = self._reader.read(connection)
        if self._writer is None:
            self._writer = self._writer_for(catalog.policy.timezone)
        digests = connection.execute(
            select(deliveries.c.digest).where(deliveries.c.batch == batch).distinct()
        ).scalars()
        versions = {digest: catalog.version(connection, digest) for digest in digests}
        return load_letters(connection, batch, self._worker, versions)

    async def _carry(self, lane: Lane, transport: Transport) -> None:
        """One connection's life: window after window until the lane is closed."""
        try:
            while (jobs := await lane.take(self._clock.now)) is not None:
                with self._ledger.busy():
                    await self._carry_on(lane, transport, jobs)
        except Exception:
            # Nothing that this connection had marked can be trusted now: the process must end, so that its lease does,
            # and recovery takes up its rows.
            _log.exception("send.connection_failed")
            self.failed.set()
        finally:
            await transport.close()

    async def _carry_on(self, lane: Lane, transport: Transport, jobs: list[Job]) -> None:
        """As long as letters are due: each window's results are recorded together with the next one's mark."""
        results: list[Result] = []
        window = Window(jobs)
        while window.jobs:
            results, ahead = await self._hand_over(lane, transport, window, results)
            if lane.is_closed:
                lane.put_back(ahead.jobs)
                break
            window = ahead if ahead.jobs else Window(lane.due(self._clock.now()))
        if results:
            await self._ledger.turn(results)

    async def _hand_over(
        self, lane: Lane, transport: Transport, window: Window, results: Sequence[Result]
    ) -> tuple[list[Result], Window]:
        """Render what is not rendered yet, mark, transmit. Returns the results, which are recorded with the next
        window's mark, and that window, rendered while this one's letters were with the relay."""
        ahead = Window([])
        try:
            with lane.opening():
                away = await transport.open()
        except asyncio.CancelledError:
            if not lane.is_closed:
                raise
            lane.put_back(window.jobs)
            return list(results), ahead
        if away is not None:
            await self._put_off(lane, [*window.jobs, *lane.drain()], away, results)
            return [], ahead
        lane.failures = 0
        writer = self._writer
        assert writer is not None, "made with the first claim"
        letters = window.finish(writer, self._clock.now())
        ids = [job.letter.row.id for job, _ in letters]
        began = await self._ledger.turn(results, ids, window.blocked)
        going = [
            (_sent(job.letter, letter, attempt), letter.envelope)
            for job, letter in letters
            if (attempt := began.pop(job.letter.row.id, None)) is not None
        ]
        ended: list[Result] = []

        def told(place: int, outcome: Outcome) -> None:
            ended.append(judge(going[place][0], outcome, self._clock.now()))
            self._loop.call_soon(prepare)

        def prepare() -> None:
            now = self._clock.now()
            if is_on_the_wire and len(ahead.jobs) < WINDOW and (job := lane.ahead(now)) is not None:
                ahead.take(job, writer, now)

        if going:
            is_on_the_wire = True
            await transport.send_window([envelope for _, envelope in going], told)
            is_on_the_wire = False
        for job in window.jobs:
            job.batch.finish(1)
        return ended, ahead

    async def _put_off(
        self, lane: Lane, jobs: list[Job], away: Refused, results: Sequence[Result]
    ) -> None:
        """The relay cannot be reached: give back all that waits for it, untried, and leave it alone for a while."""
        lane.failures += 1
        ids = [job.letter.row.id for job in jobs]
        until = self._clock.now() + relay_away_for(lane.failures)
        reason = f"relay away: {away.phase}: {away.reply}"[:300]
        await self._ledger.turn(results, put_off=PutOff(ids, until, reason))
        _log.warning("send.relay_away", phase=away.phase, reply=away.reply, put_off=len(ids))
        for job in jobs:
            job.batch.finish(1)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                self._heartbeat()
            except Exception as error:
                _log.warning("send.heartbeat_failed", error=str(error))

    def _heartbeat(self) -> None:
        with self._store.write() as connection:
            beat(connection, self._worker)

    @waits_out_an_outage
    def _give_back_all(self) -> None:
        with self._store.write() as connection:
            connection.execute(
                update(deliveries)
                .where(
                    IN_HAND,
                    deliveries.c.worker == self._worker,
                    deliveries.c.state == State.QUEUED,
                )
                .values(**BACK_TO_PLANNED)
            )
            retire(connection, self._worker)


def _ended_series(
    connection: Connection, letters: Sequence[Letter], now: datetime
) -> dict[int, str]:
    """Later steps of series that ended since admission, with the reason; without any, nothing is asked."""
    versions = {letter.row.digest: letter.version for letter in letters}
    skips = no_longer_wanted(connection, [letter.row for letter in letters], versions, now)
    return {number: skip.because.reason for number, skip in skips.items()}


def _sent(letter: Letter, rendered: Rendered, attempt: int) -> Sent:
    row, step = letter.row, letter.step
    resend = letter.version.definition.on_uncertain == "resend"
    return Sent(
        row.id, row.customer_id, row.run_id, attempt, row.channel, row.address_hash,
        row.channel_index, step.channels, row.not_after, resend, rendered.parts,
    )  # fmt: skip
