"""What people do for a membership, one task after the other: the call, the card by mail, the reply slip.

A task names what it is for in `dedupe` (`membership:7:call`), so it is asked for once. Doing it moves the membership on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Text, and_, cast, exists, insert, literal, select, update

from engine.customers.membership.levels import Standing
from engine.definitions.membership import Membership
from engine.errors import YanshuError
from engine.store.session import insert_ignoring
from engine.store.tables import memberships, tasks
from engine.store.types import Json, Moment

CALL, CARD, REPLY = "call", "card", "reply"
KINDS = (CALL, CARD, REPLY)
OPEN, DONE, CANCELLED = "open", "done", "cancelled"
_PREFIX = "membership:"
_ENDED = (Standing.WITHDRAWN, Standing.DECLINED)


def ask_for_calls(connection: Connection, membership: Membership, now: datetime) -> int:
    """A call for each eligible membership of a level that is claimed by call, once. Returns how many are new."""
    made = 0
    for level in membership.levels:
        if level.claim != "call":
            continue
        eligible = select(
            memberships.c.customer_id,
            literal(CALL),
            literal(OPEN),
            literal({"level": level.name}, Json),
            literal(now, Moment()),
            literal(_PREFIX) + cast(memberships.c.id, Text) + literal(f":{CALL}"),
        ).where(memberships.c.state == Standing.ELIGIBLE, memberships.c.level == level.name)
        columns = ["customer_id", "kind", "state", "data", "created_at", "dedupe"]
        asked = insert_ignoring(connection, tasks, ("dedupe",)).from_select(columns, eligible)
        made += connection.execute(asked).rowcount
    return made


def cancel_of_ended(connection: Connection, now: datetime) -> int:
    """Open tasks of memberships that will not be: nobody needs to call any more."""
    ended = exists().where(
        memberships.c.customer_id == tasks.c.customer_id,
        memberships.c.state.in_(_ENDED),
        tasks.c.dedupe
        == literal(_PREFIX) + cast(memberships.c.id, Text) + literal(":") + tasks.c.kind,
    )
    cancelled = connection.execute(
        update(tasks)
        .where(tasks.c.state == OPEN, ended.correlate(tasks))
        .values(state=CANCELLED, done_at=now)
    )
    return cancelled.rowcount


def membership_of(task: Any) -> int | None:
    """The id of the membership that a task is for; None for a task of something else."""
    name, _, rest = (task.dedupe or "").partition(":")
    number = rest.partition(":")[0]
    return int(number) if f"{name}:" == _PREFIX and number.isdigit() else None


def move_on(connection: Connection, task: Any, membership_id: int, now: datetime) -> str:
    """The call or the parcel is done: the membership takes its next step and asks for the next task, whose kind is returned.

    Raises YanshuError where the membership stands elsewhere.
    """
    expected, step, moment, following = {
        CALL: (Standing.ELIGIBLE, Standing.CALLED, "called_at", CARD),
        CARD: (Standing.CALLED, Standing.CARDED, "carded_at", REPLY),
    }[task.kind]
    mine = and_(memberships.c.id == membership_id, memberships.c.state == expected)
    moved = connection.execute(update(memberships).where(mine).values({"state": step, moment: now}))
    if not moved.rowcount:
        raise YanshuError(f"task {task.id}: its membership is no longer {expected}")
    connection.execute(
        insert(tasks).values(
            customer_id=task.customer_id,
            kind=following,
            state=OPEN,
            data={"level": task.data.get("level")},
            created_at=now,
            dedupe=f"{_PREFIX}{membership_id}:{following}",
        )
    )
    return following


def decline(connection: Connection, membership_id: int, now: datetime) -> None:
    """The customer does not want the card: this year nobody asks again."""
    connection.execute(
        update(memberships).where(memberships.c.id == membership_id).values(state=Standing.DECLINED)
    )
    cancel_of_ended(connection, now)


def close_reply(connection: Connection, membership_id: int, now: datetime) -> None:
    """The slip is here, whichever way it was recorded."""
    connection.execute(
        update(tasks)
        .where(tasks.c.dedupe == f"{_PREFIX}{membership_id}:{REPLY}", tasks.c.state == OPEN)
        .values(state=DONE, done_at=now)
    )
