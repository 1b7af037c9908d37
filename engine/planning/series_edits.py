"""What an edit does to the later steps of a series whose first step has gone out, or is tried already.

The first step's rows that nobody has tried are planned anew, and their later steps with them; all others go on by the new
version: its waits, its conditions, its order of steps. A step that it does not have any more is skipped.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, delete, select, update

from engine.definitions.campaign import Campaign, Care
from engine.planning.series import STEP_REMOVED, is_followed
from engine.store.tables import State, deliveries

_NOT_ADMITTED = (State.WAITING.value, State.PLANNED.value)
_other = deliveries.alias("other")
_OF_ONE_REASON = (
    _other.c.definition == deliveries.c.definition,
    _other.c.customer_id == deliveries.c.customer_id,
    _other.c.anchor == deliveries.c.anchor,
)


def is_first() -> ColumnElement[bool]:
    return deliveries.c.parent_step.is_(None)


def drop_orphans(connection: Connection, name: str) -> None:
    """Delete later steps that nobody has tried, where the first step's row is gone: it is planned anew, with them."""
    first = select(_other.c.id).where(_other.c.parent_step.is_(None), *_OF_ONE_REASON)
    connection.execute(
        delete(deliveries).where(
            deliveries.c.definition == name,
            ~is_first(),
            deliveries.c.state.in_(_NOT_ADMITTED),
            deliveries.c.attempts == 0,
            ~first.exists(),
        )
    )


def follow(connection: Connection, definition: Campaign | Care, now: datetime) -> None:
    """Let open rows go by the steps of this definition, to whose version they are pinned already.

    A later step that was told already how its own ended, and that nobody has tried, is told again: the wait may be another.
    """
    mine = (deliveries.c.definition == definition.id) & deliveries.c.state.in_(_NOT_ADMITTED)
    later = {step.id: step.after.step for step in definition.steps if step.after is not None}
    gone = deliveries.c.step.not_in([step.id for step in definition.steps])
    connection.execute(
        update(deliveries)
        .where(mine, ~is_first(), gone)
        .values(state=State.SKIPPED.value, reason=STEP_REMOVED, ended_at=now)
    )
    if later:
        own = deliveries.c.step
        connection.execute(
            update(deliveries)
            .where(mine, ~is_first(), own.in_(list(later)))
            .values(parent_step=case(*[(own == step, parent) for step, parent in later.items()]))
        )
    untried = (deliveries.c.state == State.PLANNED.value) & (deliveries.c.attempts == 0)
    connection.execute(
        update(deliveries)
        .where(mine, ~is_first(), untried)
        .values(state=State.WAITING.value, reason=None)
    )
    await_again(connection, definition)


def await_again(connection: Connection, definition: Campaign | Care) -> None:
    """Note on every step of the definition whether a waiting one goes by how it ends, also where it ended long ago."""
    mine = deliveries.c.definition == definition.id
    followed = [step.id for step in definition.steps if is_followed(definition, step)]
    if not followed:
        return
    waiting = select(_other.c.id).where(
        _other.c.parent_step == deliveries.c.step,
        _other.c.state == State.WAITING.value,
        *_OF_ONE_REASON,
    )
    connection.execute(
        update(deliveries)
        .where(
            mine, deliveries.c.step.in_(followed), deliveries.c.followed.is_(None), waiting.exists()
        )
        .values(followed=True)
    )


def state_when_brought_back() -> Any:
    """A step whose removal is taken back: the first is planned again, a later one waits to be told how its own ended."""
    return case((is_first(), State.PLANNED.value), else_=State.WAITING.value)
