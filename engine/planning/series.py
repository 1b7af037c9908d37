"""Series: the later steps of a definition wait in the database, and go on when the step that they follow has ended.

A later step's row is made together with the first one's, `waiting`, at the time at which it is expected. `go_on` tells
later steps how theirs ended, in sets; it finds those by a small index (`followed`), runs as often as one likes, and twice
changes nothing. Whether `unless`, `if` or `stop_on` holds is asked at the gate, when the step is due.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Text,
    and_,
    case,
    cast,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)

from engine.definitions.campaign import After, Campaign, Care, Step
from engine.store.among import among
from engine.store.catalog import Catalog, Version
from engine.store.session import insert_ignoring
from engine.store.tables import STOPPED, State, decisions, deliveries
from engine.store.types import Json, Moment, epoch_seconds, from_epoch_seconds, random_public_id

STEP_REMOVED = "step removed"
EARLIER: Mapping[str, str] = {
    state.value: f"earlier step {state.value}"
    for state in (State.FAILED, State.UNCERTAIN, State.SKIPPED)
}
"""Reason of a step that goes only if the one before was sent, by that one's end. A retry of that one takes it back."""
AT_ONCE = 5_000
"""Ended steps that one transaction deals with."""
_ENDED = (State.SENT, State.FAILED, State.UNCERTAIN, State.SKIPPED, State.CANCELLED)
_COLUMNS = (
    "public_id", "run_id", "definition", "step", "customer_id", "anchor", "order_id", "event_id", "digest",
    "class", "priority", "state", "due_at", "next_at", "not_after", "deferrals", "channel_index",
    "attempts", "created_at", "parent_step", "followed", "reason",
)  # fmt: skip
_parent, _child = deliveries.alias("parent"), deliveries.alias("child")


def is_followed(definition: Campaign | Care, step: Step) -> bool:
    """Whether a later step goes by how this one ends."""
    return any(each.after is not None and each.after.step == step.id for each in definition.steps)


def insert_later_steps(
    connection: Connection,
    version: Version,
    run_ids: Collection[int],
    now: datetime,
    between: tuple[int, int] | None = None,
) -> None:
    """Make the later steps of these runs' first steps, as far as they are not there: waiting, or held out as those are.

    `between`: of customers with these ids alone. Only of rows that are on this version: a step that an edit adds is for
    those who had not had the first one.
    """
    definition = version.definition
    if len(definition.steps) == 1:
        return
    offsets = _offsets(definition)
    for step in definition.steps[1:]:
        query = _later_rows(version, step, offsets[step.id], now)
        query = query.where(_parent.c.run_id.in_(list(run_ids)))
        if between is not None:
            query = query.where(_parent.c.customer_id.between(*between))
        key = ("definition", "step", "customer_id", "anchor")
        connection.execute(
            insert_ignoring(connection, deliveries, key).from_select(_COLUMNS, query)
        )


def _offsets(definition: Campaign | Care) -> dict[str, int]:
    """How long after the first step each is expected, in seconds: all the waits that lead to it."""
    found: dict[str, int] = {definition.steps[0].id: 0}
    for step in definition.steps[1:]:
        assert step.after is not None
        found[step.id] = found[step.after.step] + step.after.wait.seconds
    return found


def _later_rows(version: Version, step: Step, offset: int, now: datetime) -> Any:
    definition, first = version.definition, _parent.c
    assert step.after is not None
    due = epoch_seconds(first.due_at) + literal(offset, BigInteger)
    held = first.state == State.HOLDOUT.value
    waiting = literal(State.WAITING.value, Text)
    there = select(_child.c.id).where(_child.c.step == step.id, *_of_one_reason(_child))
    return select(
        random_public_id(), first.run_id, first.definition, literal(step.id, Text), first.customer_id,
        first.anchor, first.order_id, first.event_id, first.digest, first["class"], first.priority,
        case((held, first.state), else_=waiting), from_epoch_seconds(due), from_epoch_seconds(due),
        from_epoch_seconds(due + definition.lifetime.seconds), literal(0, BigInteger),
        literal(0, BigInteger), literal(0, BigInteger), literal(now, Moment),
        literal(step.after.step, Text),
        literal(True, Boolean) if is_followed(definition, step) else cast(null(), Boolean),
        case((held, first.reason), else_=cast(null(), Text)),
    ).where(
        first.definition == definition.id,
        first.step == definition.steps[0].id,
        first.digest == version.digest,
        ~there.exists(),
    )  # fmt: skip


def _of_one_reason(child: Any) -> tuple[ColumnElement[bool], ...]:
    """`child` is for the customer and the reason that `_parent` is for."""
    return (
        child.c.definition == _parent.c.definition,
        child.c.customer_id == _parent.c.customer_id,
        child.c.anchor == _parent.c.anchor,
    )


_FOLLOWS = and_(*_of_one_reason(_child), _child.c.parent_step == _parent.c.step)
_TO_TELL = (
    select(deliveries.c.id)
    .where(
        deliveries.c.followed.is_not(None),
        deliveries.c.ended_at.is_not(None),
        deliveries.c.state.in_([state.value for state in _ENDED]),
    )
    .limit(AT_ONCE)
)
_ANY_TO_TELL = _TO_TELL.limit(1)
_GROUPS = (
    select(_child.c.digest, _child.c.step)
    .join(_parent, _FOLLOWS)
    .where(among(_parent.c.id, "ended"), _child.c.state == State.WAITING.value)
    .distinct()
)


def any_ended(connection: Connection) -> bool:
    """Whether a step has ended that a later one waits for: one look into an index that is nearly always empty."""
    return connection.execute(_ANY_TO_TELL).first() is not None


def go_on(connection: Connection, catalog: Catalog, now: datetime) -> bool:
    """Tell later steps how theirs ended: planned, skipped or cancelled. False where there was nothing to tell.

    Call it again until it says so: what is skipped here ends too, and others follow it.
    """
    ended = connection.execute(_TO_TELL).scalars().all()
    if not ended:
        return False
    for digest, step in connection.execute(_GROUPS, {"ended": ended}).all():
        _tell(connection, catalog.version(connection, digest), digest, step, ended, now)
    told = update(deliveries).where(among(deliveries.c.id, "ended")).values(followed=None)
    connection.execute(told, {"ended": ended})
    return True


def _tell(
    connection: Connection,
    version: Version,
    digest: str,
    name: str,
    ended: Sequence[int],
    now: datetime,
) -> None:
    definition = version.definition
    step = definition.step(name)
    after = step.after if step is not None else None
    mine = (
        among(_parent.c.id, "ended"),
        *_of_one_reason(deliveries),
        deliveries.c.parent_step == _parent.c.step,
        deliveries.c.digest == digest,
        deliveries.c.step == name,
    )
    changes = _changes(after, definition.lifetime.seconds, now)
    waiting = deliveries.c.state == State.WAITING.value
    connection.execute(update(deliveries).where(*mine, waiting).values(**changes), {"ended": ended})
    skipped = (deliveries.c.state == State.SKIPPED.value) & (deliveries.c.ended_at == now)
    reasons = _reasons(definition, step, now).where(*mine, skipped)
    columns = ("delivery_id", "at", "verdict", "reason", "rule", "evidence")
    connection.execute(insert(decisions).from_select(columns, reasons), {"ended": ended})


def _changes(after: After | None, lifetime: int, now: datetime) -> dict[str, Any]:
    """What a waiting step becomes, by its parent's end. `after` None: the version has no such step any more."""
    ended = _parent.c
    cancelled = ended.state == State.CANCELLED.value
    stopped = and_(ended.state == State.SKIPPED.value, ended.reason == STOPPED)
    goes = ended.state == State.SENT.value
    if after is None:
        goes = and_(goes, ~goes)
    elif after.on == "any":
        goes = and_(~cancelled, or_(ended.reason.is_(None), ~stopped))
    moment = case((ended.state == State.SENT.value, ended.sent_at), else_=ended.ended_at)
    due = epoch_seconds(moment) + literal(after.wait.seconds if after else 0, BigInteger)
    own = deliveries.c
    why = case(
        (goes, cast(null(), Text)),
        (or_(cancelled, stopped), ended.reason),
        *((ended.state == state, literal(reason, Text)) for state, reason in EARLIER.items() if after),
        else_=literal(STEP_REMOVED, Text),
    )  # fmt: skip
    return {
        "state": case(
            (goes, literal(State.PLANNED.value, Text)),
            (cancelled, literal(State.CANCELLED.value, Text)),
            else_=literal(State.SKIPPED.value, Text),
        ),
        "due_at": case((goes, from_epoch_seconds(due)), else_=own.due_at),
        "next_at": case((goes, from_epoch_seconds(due)), else_=own.next_at),
        "not_after": case((goes, from_epoch_seconds(due + lifetime)), else_=own.not_after),
        "reason": why,
        "ended_at": case((goes, cast(null(), Moment)), else_=literal(now, Moment)),
    }


def _reasons(definition: Campaign | Care, step: Step | None, now: datetime) -> Any:
    """The decisions of what was skipped, for `explain`; the caller says of which rows."""
    place = definition.steps.index(step) if step is not None else 0
    line, text = definition.lines.get(f"steps.{place}.after", (definition.position.line, ""))
    rule = {"file": definition.position.file, "line": line, "text": text}
    evidence = {"step": step.after.step} if step is not None and step.after is not None else {}
    return select(
        deliveries.c.id, literal(now, Moment), literal("skip", Text), deliveries.c.reason,
        literal(rule, Json), literal(evidence, Json),
    )  # fmt: skip


def revive(connection: Connection, parents: Iterable[int]) -> int:
    """Let wait again whatever was skipped because one of these deliveries was not sent, and what followed that.

    Call it when they go once more, or turn out to have been sent. How many rows wait again.
    """
    level, count = list(parents), 0
    skipped = (
        select(_child.c.id)
        .join(_parent, _FOLLOWS)
        .where(
            among(_parent.c.id, "level"),
            _child.c.state == State.SKIPPED.value,
            _child.c.reason.in_(list(EARLIER.values())),
        )
    )
    while level:
        following = connection.execute(skipped, {"level": level}).scalars().all()
        if following:
            told = update(deliveries).where(among(deliveries.c.id, "level")).values(followed=True)
            connection.execute(told, {"level": level})
            again = update(deliveries).where(among(deliveries.c.id, "ids"))
            again = again.values(state=State.WAITING.value, reason=None, ended_at=None)
            connection.execute(again, {"ids": following})
        level, count = list(following), count + len(following)
    return count
