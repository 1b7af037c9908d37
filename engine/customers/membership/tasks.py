"""The to-do list of the shop's people: calls, parcels, reply slips. What is done moves on what it was for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, select, update

from engine.customers.membership import claims, steps
from engine.customers.membership.steps import DONE, OPEN, REPLY
from engine.definitions.membership import Membership
from engine.definitions.policy import Policy
from engine.errors import YanshuError
from engine.store.tables import customers, tasks

Outcome = Literal["done", "declined"]
"""`declined`: the customer does not want it."""


def listed(
    connection: Connection, *, state: str | None = OPEN, kind: str | None = None
) -> list[dict[str, Any]]:
    """`[{id, kind, state, customer_id, name, phone, data, created_at, done_at}]`, the oldest first; None: any."""
    query = (
        select(
            tasks.c.id,
            tasks.c.kind,
            tasks.c.state,
            customers.c.ref.label("customer_id"),
            customers.c.name,
            customers.c.phone,
            tasks.c.data,
            tasks.c.created_at,
            tasks.c.done_at,
        )
        .join(customers, customers.c.id == tasks.c.customer_id)
        .order_by(tasks.c.id)
    )
    if state is not None:
        query = query.where(tasks.c.state == state)
    if kind is not None:
        query = query.where(tasks.c.kind == kind)
    return [row._asdict() for row in connection.execute(query)]


def finish(
    connection: Connection,
    numbers: Sequence[int],
    *,
    outcome: Outcome,
    note: str | None,
    membership: Membership | None,
    policy: Policy,
    now: datetime,
) -> list[str]:
    """Mark these tasks as done, all or none, and move on what they were for. Returns a sentence for each.

    Raises YanshuError for a task that is not there or not open, or whose membership cannot take the step.
    """
    return [_finish(connection, number, outcome, note, membership, policy, now) for number in dict.fromkeys(numbers)]  # fmt: skip


def _finish(
    connection: Connection,
    number: int,
    outcome: Outcome,
    note: str | None,
    membership: Membership | None,
    policy: Policy,
    now: datetime,
) -> str:
    task = _open_task(connection, number)
    data = {**task.data, "outcome": outcome} | ({"note": note} if note else {})
    connection.execute(
        update(tasks).where(tasks.c.id == number).values(state=DONE, done_at=now, data=data)
    )
    what = f"task {number} ({task.kind} for {task.ref}): {outcome}"
    served = steps.membership_of(task)
    if served is None:
        return what
    if outcome == "declined":
        steps.decline(connection, served, now)
        return f"{what}; no card"
    if task.kind == REPLY:
        if membership is None:
            raise YanshuError("no membership.yaml is in force: `yanshu apply`")
        claimed = claims.claim_one(connection, membership, policy, served, now)
        return f"{what}; a member of {claimed.level}"
    return f"{what}; next: {steps.move_on(connection, task, served, now)}"


def _open_task(connection: Connection, number: int) -> Any:
    """The task, locked where the database can, so that nobody finishes it at the same time."""
    found = connection.execute(
        select(tasks, customers.c.ref)
        .join(customers, customers.c.id == tasks.c.customer_id)
        .where(tasks.c.id == number)
        .with_for_update(of=tasks)
    ).first()
    if found is None:
        raise YanshuError(f"no task {number}: `yanshu tasks list`")
    if found.state != OPEN:
        raise YanshuError(f"task {number} is {found.state} already")
    return found
