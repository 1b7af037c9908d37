"""What an operator does to deliveries: pause, resume, cancel, retry, settle. Each is one transaction, in the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from engine.delivery.backlog import Backlog, Way, look_at, treat
from engine.delivery.in_hand import BACK_TO_PLANNED
from engine.delivery.leases import wait_for_admission
from engine.delivery.targets import Target, parse_target
from engine.errors import UsageError, YanshuError
from engine.planning.series import revive
from engine.store.among import among
from engine.store.run_rows import IN_HAND
from engine.store.session import Store, insert_ignoring
from engine.store.tables import State, audit, deliveries, pauses, runs
from engine.store.types import Moment

FRESH = timedelta(hours=1)
"""A backlog younger than this simply goes on after a resume; an older one needs a decision."""
DEFAULT_SPREAD = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Changed:
    """What a command did: the target in full, how many deliveries it touched, a sentence for a person."""

    target: str
    count: int
    message: str


def pause(store: Store, target: str, *, by: str, now: datetime) -> Changed:
    """Stop a target. What is queued goes back to planned at once: only what is on the wire still goes out."""
    with store.write() as connection:
        wait_for_admission(connection)
        aim = parse_target(connection, target)
        connection.execute(
            insert_ignoring(connection, pauses, ("target",)).values(target=aim.text, at=now, by=by)
        )
        taken_back = connection.execute(
            update(deliveries)
            .where(IN_HAND, deliveries.c.state == State.QUEUED, aim.holds())
            .values(**BACK_TO_PLANNED, reason=f"paused {aim.text}")
        ).rowcount
        _audit(connection, "pause", aim, by, now, {"taken_back": taken_back})
    return Changed(
        aim.text, taken_back, f"paused {aim.text}; {taken_back} queued went back to planned"
    )


def backlog(
    connection: Connection, target: Target, now: datetime, over: timedelta = DEFAULT_SPREAD
) -> Backlog:
    """The deliveries of the target that are overdue by more than an hour."""
    return look_at(connection, _overdue(target, now), now, over)


def resume(
    store: Store,
    target: str,
    *,
    by: str,
    now: datetime,
    overdue: Way | None = None,
    over: timedelta | None = None,
) -> Changed:
    """Let a target go on. Raises YanshuError where a backlog older than an hour needs a decision."""
    with store.write() as connection:
        wait_for_admission(connection)
        aim = parse_target(connection, target)
        late = backlog(connection, aim, now).count
        if late and overdue is None:
            raise YanshuError(
                f"{late} deliveries of {aim.text} are overdue by more than an hour:"
                " choose --overdue drop, --overdue spread --over 4h, or --overdue send"
            )
        was_paused = connection.execute(delete(pauses).where(pauses.c.target == aim.text)).rowcount
        unblocked = _unblock(connection, aim)
        if not was_paused and not unblocked:
            raise YanshuError(f"{aim.text} is neither paused nor blocked")
        evidence = {"resumed": aim.text, "by": by, "do": overdue}
        count = treat(
            connection, _overdue(aim, now), overdue or "send", over or DEFAULT_SPREAD, now,
            rule={}, evidence=evidence,
        )  # fmt: skip
        _look_now(connection, aim, now)
        _audit(connection, "resume", aim, by, now, {"overdue": overdue, "count": count})
    done = {"drop": "dropped", "spread": "spread out", "send": "sent as they come"}
    tail = f"; {count} overdue {done[overdue]}" if late and overdue else ""
    return Changed(aim.text, count, f"resumed {aim.text}{tail}")


def cancel(store: Store, target: str, *, by: str, now: datetime) -> Changed:
    """Withdraw what is not on its way: planned, waiting and queued rows; a campaign's run does not come back."""
    with store.write() as connection:
        wait_for_admission(connection)
        aim = parse_target(connection, target)
        if aim.kind == "channel":
            raise UsageError(
                f"{aim.text} can be paused, not cancelled: what is planned has no channel yet"
            )
        open_states = (State.PLANNED, State.WAITING, State.QUEUED)
        count = connection.execute(
            update(deliveries)
            .where(deliveries.c.state.in_(open_states), aim.holds())
            .values(
                state=State.CANCELLED.value,
                reason="operator",
                ended_at=now,
                batch=None,
                worker=None,
                admitted_at=None,
            )
        ).rowcount
        if aim.kind in ("definition", "run"):
            connection.execute(
                update(runs)
                .where(aim.holds_run(), runs.c.state.in_(("open", "blocked")))
                .values(state="cancelled", reason="operator", done_at=now)
            )
        _audit(connection, "cancel", aim, by, now, {"count": count})
    return Changed(aim.text, count, f"cancelled {count} deliveries of {aim.text}")


def retry(
    store: Store,
    target: str,
    *,
    failed: bool = True,
    uncertain: bool = False,
    by: str,
    now: datetime,
) -> Changed:
    """Plan failed (and, if asked, uncertain) deliveries once more, with their whole lifetime from now on."""
    states = [
        state for state, wanted in ((State.FAILED, failed), (State.UNCERTAIN, uncertain)) if wanted
    ]
    with store.write() as connection:
        wait_for_admission(connection)
        aim = parse_target(connection, target)
        chosen = deliveries.c.state.in_(states) & aim.holds()
        _reopen_runs(connection, chosen)
        rows = connection.execute(
            select(deliveries.c.id, deliveries.c.due_at, deliveries.c.not_after).where(chosen)
        ).all()
        for row in rows:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == row.id)
                .values(
                    **BACK_TO_PLANNED,
                    next_at=now,
                    not_after=max(row.not_after, now + (row.not_after - row.due_at)),
                    channel_index=0,
                    ended_at=None,
                    reason="retried by an operator",
                )
            )
        revive(connection, [row.id for row in rows])
        _audit(
            connection,
            "retry",
            aim,
            by,
            now,
            {"count": len(rows), "states": [str(s) for s in states]},
        )
    return Changed(aim.text, len(rows), f"{len(rows)} deliveries of {aim.text} are planned again")


def settle(
    store: Store, target: str, as_state: Literal["sent", "failed"], *, by: str, now: datetime
) -> Changed:
    """Say what became of uncertain (or failed) deliveries, as the operator found out elsewhere."""
    with store.write() as connection:
        aim = parse_target(connection, target)
        values: dict[str, Any] = {"state": as_state, "ended_at": now, "reason": f"settled by {by}"}
        if as_state == "sent":
            values["sent_at"] = func.coalesce(deliveries.c.first_attempt_at, literal(now, Moment))
        chosen = (
            deliveries.c.state.in_((State.UNCERTAIN, State.FAILED))
            & (deliveries.c.state != as_state)
            & aim.holds()
        )
        ids = connection.execute(select(deliveries.c.id).where(chosen)).scalars().all()
        settled = update(deliveries).where(among(deliveries.c.id, "ids")).values(**values)
        connection.execute(settled, {"ids": ids})
        count = len(ids)
        if as_state == "sent" and revive(connection, ids):
            _reopen_runs(connection, deliveries.c.id.in_(ids))
        _audit(connection, "settle", aim, by, now, {"as": as_state, "count": count})
    return Changed(aim.text, count, f"{count} deliveries of {aim.text} settled as {as_state}")


def _overdue(target: Target, now: datetime) -> ColumnElement[bool]:
    return (
        (deliveries.c.state == State.PLANNED)
        & (deliveries.c.due_at < now - FRESH)
        & (deliveries.c.next_at <= now)
        & target.holds()
    )


def _unblock(connection: Connection, target: Target) -> int:
    if target.kind not in ("definition", "run", "all"):
        return 0
    which = target.holds_run()
    return connection.execute(
        update(runs).where(which, runs.c.state == "blocked").values(state="open", reason=None)
    ).rowcount


def _look_now(connection: Connection, target: Target, now: datetime) -> None:
    """Rows that the gate put off only because of this pause are looked at again at once."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.state == State.PLANNED, deliveries.c.reason == f"paused {target.text}")
        .values(
            next_at=case(
                (deliveries.c.due_at > now, deliveries.c.due_at), else_=literal(now, Moment)
            ),
            reason=None,
        )
    )


def _reopen_runs(connection: Connection, chosen: ColumnElement[bool]) -> None:
    """Runs that are open too: who has written to them, nobody closes before the commit (`planning.runs`)."""
    affected = select(deliveries.c.run_id).where(chosen)
    connection.execute(
        update(runs)
        .where(runs.c.id.in_(affected), runs.c.state.in_(("open", "done", "cancelled")))
        .values(state="open", done_at=None, reason=None)
    )


def _audit(
    connection: Connection,
    action: str,
    target: Target,
    by: str,
    now: datetime,
    data: dict[str, Any],
) -> None:
    connection.execute(
        insert(audit).values(at=now, by=by, action=action, target=target.text, data=data)
    )
