"""Taking up what dead processes left: queued rows go back, `sending` rows become uncertain, lost batches are queued
again. Redis may forget everything; the database does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from engine.delivery.in_hand import BACK_TO_PLANNED
from engine.delivery.leases import living_workers
from engine.delivery.ledger import record
from engine.delivery.results import End, Result, Sent
from engine.store.catalog import Catalog
from engine.store.run_rows import IN_HAND
from engine.store.tables import State, deliveries

ENQUEUE_AGAIN_AFTER = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many rows went back to planned, how many became uncertain, and the batches to queue again."""

    planned: int
    uncertain: int
    batches: Sequence[str]


def recover(
    connection: Connection,
    catalog: Catalog,
    now: datetime,
    patience: timedelta = ENQUEUE_AGAIN_AFTER,
) -> Recovered:
    """One pass. Run by the dispatcher, inside a transaction that holds its lease.

    `patience`: how long a batch may wait for a worker before its message counts as lost.
    """
    living = living_workers(connection)
    return Recovered(
        planned=_give_back(connection, living),
        uncertain=_doubt(connection, catalog, living, now),
        batches=_forgotten(connection, now - patience, now),
    )


def _give_back(connection: Connection, living: set[str]) -> int:
    dead = deliveries.c.worker.is_not(None) & deliveries.c.worker.not_in(living)
    result = connection.execute(
        update(deliveries)
        .where(IN_HAND, deliveries.c.state == State.QUEUED, dead)
        .values(**BACK_TO_PLANNED)
    )
    return result.rowcount


def _doubt(connection: Connection, catalog: Catalog, living: set[str], now: datetime) -> int:
    rows = connection.execute(
        select(deliveries).where(
            IN_HAND, deliveries.c.state == State.SENDING, deliveries.c.worker.not_in(living)
        )
    ).all()
    for row in rows:
        definition = catalog.version(connection, row.digest).definition
        step = definition.step(row.step)
        sent = Sent(
            id=row.id,
            customer_id=row.customer_id,
            run_id=row.run_id,
            attempt=row.attempts,
            channel=row.channel,
            address_hash=row.address_hash,
            channel_index=row.channel_index,
            channels=step.channels if step else (row.channel,),
            not_after=row.not_after,
            resend_uncertain=definition.on_uncertain == "resend",
            parts=None,
        )
        lost = Result(
            sent, End.UNCERTAIN, now, "its worker died", "worker", channel_index=row.channel_index
        )
        record(connection, row.worker, [lost])
    return len(rows)


def _forgotten(connection: Connection, before: datetime, now: datetime) -> Sequence[str]:
    """Batches that no worker took up in time: their message may be lost. Claiming is by compare-and-set, so a second
    message for the same batch does no harm."""
    waiting = (
        IN_HAND
        & (deliveries.c.state == State.QUEUED)
        & deliveries.c.worker.is_(None)
        & (deliveries.c.enqueued_at <= before)
    )
    batches = (
        connection.execute(select(deliveries.c.batch).where(waiting).distinct()).scalars().all()
    )
    if batches:
        connection.execute(update(deliveries).where(waiting).values(enqueued_at=now))
    return [batch for batch in batches if batch]
