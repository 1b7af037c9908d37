"""The note that wakes the scheduler: of whom something came in since it last looked.

One row of `rate_states`, written in the transaction that lands the rows, so that neither is there without the other.
The scheduler asks for it often, by its key. A note that nobody reads does not grow: beyond `MOST_PEOPLE` it says
"everybody".
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from engine.store.session import insert_ignoring
from engine.store.tables import rate_states
from engine.store.types import Json, Moment

MOST_PEOPLE = 1000
_KEY = "pushed"
_MINE = rate_states.c.key == _KEY
_READ = select(rate_states.c.data).where(_MINE)
_HELD = _READ.with_for_update()
_WRITE = (
    update(rate_states)
    .where(_MINE)
    .values(data=bindparam("said", type_=Json), updated_at=bindparam("now", type_=Moment))
)


@dataclass(frozen=True, slots=True)
class Note:
    """`people`: internal ids; None: so many that all customers are looked at. `mark`: changes with each push."""

    mark: str
    people: tuple[int, ...] | None


def leave_note(connection: Connection, people: Collection[int] | None, now: datetime) -> None:
    """Something came in of these customers (None: of too many to name them), in this transaction.

    Whatever writes what a trigger or an audience asks for leaves one: the scheduler looks at people for no other reason,
    save that time passes.
    """
    if people is not None and not people:
        return
    empty = {"mark": "", "people": []}
    connection.execute(
        insert_ignoring(connection, rate_states, ("key",)).values(key=_KEY, data=empty, updated_at=now)
    )  # fmt: skip
    before = _note(connection.execute(_HELD).scalar_one())
    known = None
    if before.people is not None and people is not None:
        known = sorted({*before.people, *people})
    if known is not None and len(known) > MOST_PEOPLE:
        known = None
    said = {"mark": secrets.token_hex(8), "people": known}
    connection.execute(_WRITE, {"said": said, "now": now})


def read_note(connection: Connection) -> Note | None:
    """What has come in since the note was last taken away."""
    found = connection.execute(_READ).scalar()
    return None if found is None else _note(found)


def take_note_away(connection: Connection, seen: Note) -> bool:
    """It was seen to. False: more has come in since it was read, and it stays."""
    found = connection.execute(_HELD).scalar()
    if found is None or _note(found).mark != seen.mark:
        return False
    connection.execute(delete(rate_states).where(_MINE))
    return True


def _note(said: Any) -> Note:
    people = said["people"]
    return Note(said["mark"], None if people is None else tuple(people))
