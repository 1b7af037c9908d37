"""Runs: the deliveries of one occurrence, or of one day of a care rule; opened, completed and closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, Update, case, func, literal, select, update

from engine.clock import from_local
from engine.definitions.policy import Policy
from engine.planning.occurrences import Occurrence
from engine.store.among import among
from engine.store.catalog import Version
from engine.store.run_rows import has_open_rows
from engine.store.session import insert_ignoring
from engine.store.tables import runs
from engine.store.types import Moment

_EPOCH = date(1970, 1, 1)


def close_finished(connection: Connection, now: datetime) -> None:
    """Mark runs done that have started and hold no open row; a run with open rows is never done.

    Each is locked before it is asked: who fills a run holds its lock, and on PostgreSQL a statement that waited for a
    lock would still see the deliveries of before. One that somebody fills is left to the next look.
    """
    ended = (
        runs.c.state == "open",
        runs.c.expanded_at.is_not(None),
        runs.c.starts_at <= now,
        runs.c.expanded_at >= runs.c.starts_at,
        ~has_open_rows(),
    )
    candidates = select(runs.c.id).where(*ended).with_for_update(skip_locked=True, key_share=True)
    ids = connection.execute(candidates).scalars().all()
    if ids:
        done = update(runs).where(among(runs.c.id, "ids"), *ended)
        connection.execute(done.values(state="done", done_at=now), {"ids": ids})


def known_runs(
    connection: Connection, version: Version, found: Sequence[Occurrence]
) -> Mapping[str, Any]:
    """The runs that are there for these occurrences, whatever their state, by occurrence."""
    rows = connection.execute(
        select(runs).where(
            runs.c.definition == version.definition.id,
            runs.c.occurrence.in_([one.text for one in found]),
        )
    )
    return {row.occurrence: row for row in rows}


def next_start(connection: Connection, now: datetime) -> datetime | None:
    """When the next date comes that was only expanded ahead: people join its audience until then."""
    query = select(func.min(runs.c.starts_at)).where(
        runs.c.state == "open", runs.c.starts_at > now, runs.c.expanded_at < runs.c.starts_at
    )
    return connection.execute(query).scalar()


def is_complete(run: Any, now: datetime) -> bool:
    """Expanded once ahead, and once more when it came due (people join the audience until then)."""
    return run.expanded_at is not None and (now < run.starts_at or run.expanded_at >= run.starts_at)


def expanded(run_id: int, now: datetime) -> Update:
    """Note that all deliveries of the run that can be known by now are there."""
    return update(runs).where(runs.c.id == run_id).values(expanded_at=now)


def ensure_run(
    connection: Connection, version: Version, text: str, starts_at: datetime, now: datetime
) -> Any:
    """The open run of this occurrence, made where it is missing; None where it was cancelled or is done."""
    _make(connection, [_new(version, text, starts_at, now)])
    return connection.execute(
        select(runs).where(
            runs.c.definition == version.definition.id,
            runs.c.occurrence == text,
            runs.c.state.in_(("open", "blocked")),
        )
    ).first()


def holds_open(connection: Connection, run_id: int) -> bool:
    """Lock the run until the transaction ends, so that nobody closes it over the rows that it is given; False where it
    was closed or cancelled meanwhile."""
    mine = select(runs.c.id).where(runs.c.id == run_id, runs.c.state.in_(("open", "blocked")))
    return connection.execute(mine.with_for_update(key_share=True)).first() is not None


def day_runs(
    connection: Connection,
    version: Version,
    numbers: Iterable[int],
    policy: Policy,
    now: datetime,
) -> dict[int, int]:
    """The runs that group a rule's deliveries of these shop's days (since 1970), by day: made where they are missing,
    reopened where late rows join them; a cancelled one is left out.

    They stay locked until the transaction ends, and are in the order of days: two schedulers at once would else wait for
    each other.
    """
    days = {f"day:{_EPOCH + timedelta(days=number)}": number for number in sorted(numbers)}
    if not days:
        return {}
    rows = [
        _new(version, text, _midnight(number, policy.timezone), now)
        for text, number in days.items()
    ]
    _make(connection, rows)
    mine = (runs.c.definition == version.definition.id) & among(runs.c.occurrence, "texts")
    found = select(runs.c.occurrence, runs.c.id).where(mine, runs.c.state != "cancelled")
    locked = found.order_by(runs.c.starts_at, runs.c.id).with_for_update(key_share=True)
    by_day = {days[row.occurrence]: row.id for row in connection.execute(locked, {"texts": days})}
    told = update(runs).where(among(runs.c.id, "ids")).values(
        state=case((runs.c.state == "done", "open"), else_=runs.c.state),
        expanded_at=case((runs.c.starts_at > now, runs.c.starts_at), else_=literal(now, Moment())),
        done_at=None,
    )  # fmt: skip
    if by_day:
        connection.execute(told, {"ids": by_day.values()})
    return by_day


def _midnight(number: int, zone: str) -> datetime:
    return from_local(datetime.combine(_EPOCH + timedelta(days=number), time()), zone)


def _new(version: Version, text: str, starts_at: datetime, now: datetime) -> Mapping[str, Any]:
    return {
        "definition": version.definition.id,
        "occurrence": text,
        "digest": version.digest,
        "priority": version.definition.priority,
        "starts_at": starts_at,
        "state": "open",
        "created_at": now,
    }


def _make(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(insert_ignoring(connection, runs, ("definition", "occurrence")), rows)
