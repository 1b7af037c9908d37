"""Who may act: leases on the database's own clock. The dispatcher's lease is the one lock that admission takes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select, update

from engine.store.session import insert_ignoring
from engine.store.tables import leases
from engine.store.types import database_now

DISPATCHER = "dispatcher"
DISPATCHER_SECONDS = 10.0
WORKER_SECONDS = 15.0
_WORKER_PREFIX = "worker:"


@dataclass(frozen=True, slots=True)
class Lease:
    """A hold on a name; `epoch` grows with each new holder, so that one who slept through its time is told apart."""

    name: str
    holder: str
    epoch: int


def take(connection: Connection, name: str, holder: str, seconds: float) -> Lease | None:
    """Take or renew the lease; None while another holds it. Locks the row until the transaction ends."""
    row = _locked(connection, name)
    now = _now(connection)
    if row is None:
        made = connection.execute(
            insert_ignoring(connection, leases, ("name",)).values(
                name=name, holder=holder, epoch=1, expires=now + seconds
            )
        )
        return Lease(name, holder, 1) if made.rowcount else None
    if row.holder != holder and row.expires > now:
        return None
    epoch = row.epoch if row.holder == holder else row.epoch + 1
    connection.execute(
        update(leases)
        .where(leases.c.name == name)
        .values(holder=holder, epoch=epoch, expires=now + seconds)
    )
    return Lease(name, holder, epoch)


def still_holds(connection: Connection, lease: Lease, seconds: float) -> bool:
    """Lock the lease's row and renew it if it is still ours, epoch and all; else False."""
    row = _locked(connection, lease.name)
    if row is None or row.holder != lease.holder or row.epoch != lease.epoch:
        return False
    expires = _now(connection) + seconds
    connection.execute(_RENEW, {"of_name": lease.name, "until": expires})
    return True


def wait_for_admission(connection: Connection) -> None:
    """Block until no admission is under way, and none begins before this transaction ends.

    Pause and cancel call it first: an admission that had not seen them would otherwise commit after them.
    """
    _locked(connection, DISPATCHER)


def beat(connection: Connection, worker: str) -> None:
    """A worker's sign of life."""
    take(connection, _WORKER_PREFIX + worker, worker, WORKER_SECONDS)


def retire(connection: Connection, worker: str) -> None:
    connection.execute(delete(leases).where(leases.c.name == _WORKER_PREFIX + worker))


def release(connection: Connection, lease: Lease) -> None:
    """Let the next one in at once instead of after the time-out."""
    connection.execute(
        update(leases)
        .where(leases.c.name == lease.name, leases.c.holder == lease.holder)
        .values(expires=0.0)
    )


def living_workers(connection: Connection) -> set[str]:
    """Workers whose lease has not run out, by the database's clock."""
    rows = connection.execute(
        select(leases.c.holder).where(
            leases.c.name.startswith(_WORKER_PREFIX), leases.c.expires > _now(connection)
        )
    )
    return set(rows.scalars())


def _locked(connection: Connection, name: str):  # type: ignore[no-untyped-def]  # a Row of leases, or None
    # SQLite's BEGIN IMMEDIATE already holds the only write lock; FOR UPDATE is left out there by its dialect.
    return connection.execute(_LOCK, {"of_name": name}).first()


def _now(connection: Connection) -> float:
    return float(connection.execute(_NOW).scalar_one())


# Made once: the dispatcher asks them in every look.
_LOCK = select(leases).where(leases.c.name == bindparam("of_name")).with_for_update()
_RENEW = (
    update(leases).where(leases.c.name == bindparam("of_name")).values(expires=bindparam("until"))
)
_NOW = select(database_now())
