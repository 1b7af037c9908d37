"""The worker's pen: every change of a delivery's state while it is being sent, in group commits.

Each connection asks for the same thing again and again: "record what became of my last window, and mark my next one
as `sending`". What all connections of the process ask for at about the same time is written in a single transaction,
so that eight connections cost one commit. A window is never transmitted before its mark is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, insert, update

from engine.clock import Clock
from engine.customers.consent import suppress
from engine.delivery.in_hand import BACK_TO_PLANNED
from engine.delivery.results import End, Result
from engine.planning.series import revive
from engine.store.recordset import encode_ids, encode_moment, encode_rows, recordset, statement
from engine.store.run_rows import IN_HAND
from engine.store.session import Store, insert_ignoring, waits_out_an_outage
from engine.store.tables import Engagement, State, attempts, deliveries, engagements, runs

_log = structlog.get_logger()
_GATHER_SECONDS = 0.02
"""How long a connection waits at most for the others to join its commit. A window takes several times as long with a
relay that is not on this machine, and connections that were served together end together."""
_HANDED_OVER = ("sending", "uncertain")


@dataclass(frozen=True, slots=True)
class PutOff:
    """Queued rows that cannot go now: the relay is away. They were not tried."""

    ids: Sequence[int]
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class _Request:
    results: Sequence[Result]
    begin: Sequence[int]
    blocked: Mapping[int, str]
    put_off: PutOff | None
    began: asyncio.Future[dict[int, int]]


class Ledger:
    """Group commits for one worker process, asked for and made in its event loop.

    A commit holds the loop up for its milliseconds, on purpose: in a thread of its own it waits for the interpreter at
    every row, and what the relay says meanwhile lies in the kernel's buffers (docs/decisions/011).
    """

    def __init__(self, store: Store, clock: Clock, worker: str) -> None:
        self._store, self._clock, self._worker = store, clock, worker
        self._waiting: list[_Request] = []
        self._timer: asyncio.TimerHandle | None = None
        self._busy = 0  # connections that have letters in hand: each will ask soon

    @contextmanager
    def busy(self) -> Iterator[None]:
        """For as long as a connection has letters in hand: the others' commits wait a little for it."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._commit_if_complete()

    async def turn(
        self,
        results: Sequence[Result],
        begin: Sequence[int] = (),
        blocked: Mapping[int, str] | None = None,
        put_off: PutOff | None = None,
    ) -> dict[int, int]:
        """Record results, hold the runs in `blocked` (id → reason), put off what cannot go, mark `begin` as sending;
        committed on return.

        Returns the ids that are really ours to send, with their attempt number: what an operator paused or another process
        recovered in the meantime is not among them. All who asked for this commit share the answer, so take out of it what
        you send: a process that was stopped past its lease may have a row in hand twice, and it goes once.
        """
        loop = asyncio.get_running_loop()
        request = _Request(results, begin, blocked or {}, put_off, loop.create_future())
        self._waiting.append(request)
        if self._timer is None:
            self._timer = loop.call_later(_GATHER_SECONDS, self._commit_all)
        self._commit_if_complete()
        return await request.began

    def _commit_if_complete(self) -> None:
        if self._waiting and len(self._waiting) >= self._busy:
            self._commit_all()

    def _commit_all(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        requests, self._waiting = self._waiting, []
        try:
            began = self._commit(requests)
        except Exception as error:
            _log.error("ledger.failed", error=str(error))
            for request in requests:
                request.began.set_exception(error)
        else:
            for request in requests:
                request.began.set_result(began)

    @waits_out_an_outage
    def _commit(self, requests: Sequence[_Request]) -> dict[int, int]:
        with self._store.write() as connection:
            record(connection, self._worker, [r for request in requests for r in request.results])
            for request in requests:
                self._block(connection, request.blocked)
                self._put_off(connection, request.put_off)
            return self._begin(
                connection, [number for request in requests for number in request.begin]
            )

    def _begin(self, connection: Connection, ids: Sequence[int]) -> dict[int, int]:
        if not ids:
            return {}
        rows = connection.execute(
            statement(
                "UPDATE deliveries SET state = 'sending', attempts = attempts + 1,"
                " first_attempt_at = COALESCE(first_attempt_at, :now)"
                f" FROM {recordset(connection, {'id': 'bigint'})}"
                " WHERE deliveries.id = r.id AND state = 'queued' AND worker = :worker"
                " RETURNING deliveries.id, attempts"
            ),
            {
                "rows": encode_ids(ids),
                "now": encode_moment(connection, self._clock.now()),
                "worker": self._worker,
            },
        )
        return {number: attempts for number, attempts in rows.all()}  # noqa: C416 - typed so

    def _put_off(self, connection: Connection, put_off: PutOff | None) -> None:
        if put_off is None or not put_off.ids:
            return
        connection.execute(
            update(deliveries)
            .where(
                deliveries.c.id.in_(put_off.ids),
                deliveries.c.state == State.QUEUED,
                deliveries.c.worker == self._worker,
            )
            .values(**BACK_TO_PLANNED, next_at=put_off.until, reason=put_off.reason)
        )

    def _block(self, connection: Connection, reasons: Mapping[int, str]) -> None:
        for run_id, reason in reasons.items():
            block_run(connection, run_id, reason)


def record(connection: Connection, worker: str, results: Sequence[Result]) -> None:
    """Write what became of messages that were handed over. Only rows that are still this worker's attempt change."""
    sent = [result for result in results if result.end is End.SENT]
    if sent:
        _record_sent(connection, worker, sent)
    for result in results:
        if result.end is not End.SENT:
            _record_other(connection, worker, result)


def block_run(connection: Connection, run_id: int, reason: str) -> None:
    """Hold a run (a template error, say) and take back what was queued of it; nothing of it is sent any more."""
    connection.execute(
        update(runs)
        .where(runs.c.id == run_id, runs.c.state == "open")
        .values(state="blocked", reason=reason)
    )
    connection.execute(
        update(deliveries)
        .where(IN_HAND, deliveries.c.run_id == run_id, deliveries.c.state == State.QUEUED)
        .values(**BACK_TO_PLANNED, reason="run blocked")
    )


def _record_sent(connection: Connection, worker: str, results: Sequence[Result]) -> None:
    columns = recordset(
        connection,
        {"id": "bigint", "attempt": "bigint", "at": "moment", "reply": "text", "parts": "bigint"},
    )
    rows = [
        {
            "id": result.sent.id,
            "attempt": result.sent.attempt,
            "at": result.at,
            "reply": result.reply,
            "parts": result.sent.parts,
        }
        for result in results
    ]
    query = (
        "UPDATE deliveries SET state = 'sent', sent_at = r.at, ended_at = r.at, reply = r.reply, batch = NULL,"
        f" parts = r.parts, reason = NULL FROM {columns}"
        " WHERE deliveries.id = r.id AND deliveries.attempts = r.attempt AND worker = :worker AND state = "
    )
    values = {"rows": encode_rows(connection, rows), "worker": worker}
    written = connection.execute(statement(f"{query} 'sending'"), values)
    if written.rowcount == len(results):
        return
    # This process was taken for dead meanwhile. What it sent was sent, and later steps do follow.
    late = statement(f"{query} 'uncertain' RETURNING deliveries.id")
    revive(connection, connection.execute(late, values).scalars().all())


def _record_other(connection: Connection, worker: str, result: Result) -> None:
    sent = result.sent
    changed = connection.execute(
        update(deliveries)
        .where(
            deliveries.c.id == sent.id,
            deliveries.c.attempts == sent.attempt,
            deliveries.c.state.in_(_HANDED_OVER),
            deliveries.c.worker == worker,
        )
        .values(**_changes(result))
    )
    if not changed.rowcount:
        return
    _write_attempt(connection, worker, result)
    if result.suppress and sent.address_hash:
        _bounced(connection, result)


def _changes(result: Result) -> Mapping[str, Any]:
    if result.end is End.FAILED:
        return {
            "state": State.FAILED.value,
            "batch": None,
            "reply": result.reply,
            "ended_at": result.at,
            "reason": "refused",
        }
    if result.end is End.UNCERTAIN and not result.sent.resend_uncertain:
        return {
            "state": State.UNCERTAIN.value,
            "batch": None,
            "reply": result.reply,
            "ended_at": result.at,
            "reason": f"no reply after {result.phase}",
        }
    reason = f"{result.end}: {result.reply}"
    return {
        **BACK_TO_PLANNED,
        "next_at": result.next_at or result.at,
        "channel_index": result.channel_index,
        "reason": reason[:500],
    }


def _write_attempt(connection: Connection, worker: str, result: Result) -> None:
    if result.end is End.RELAY_AWAY:
        return
    outcome = {End.UNCERTAIN: "uncertain", End.RETRY: "retry"}.get(result.end, "failed")
    connection.execute(
        insert_ignoring(connection, attempts, ("delivery_id", "number")).values(
            delivery_id=result.sent.id,
            number=result.sent.attempt,
            channel=result.sent.channel,
            worker=worker,
            at=result.at,
            outcome=outcome,
            phase=result.phase,
            reply=result.reply,
        )
    )


def _bounced(connection: Connection, result: Result) -> None:
    assert result.sent.address_hash is not None
    suppress(
        connection,
        result.sent.address_hash,
        result.sent.channel,  # type: ignore[arg-type]  # a channel's name from the row
        "hard_bounce",
        at=result.at,
        note=result.reply[:200],
    )
    connection.execute(
        insert(engagements).values(
            delivery_id=result.sent.id,
            kind=Engagement.BOUNCED,
            at=result.at,
            dedupe=f"attempt:{result.sent.attempt}",
            data={"reply": result.reply[:500]},
        )
    )
