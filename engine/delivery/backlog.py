"""What is late, after a pause or an outage: how much there is, and what becomes of it. Each change leaves a decision.

drop: it is skipped. spread: it goes out over a while, by priority and then by age. send: it goes as it comes, as far as it
has not expired (the gate skips what has).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Subquery,
    Text,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    update,
)

from engine.definitions.policy import Policy
from engine.delivery.leases import wait_for_admission
from engine.delivery.pauses import held
from engine.gate.decision import of_policy
from engine.store.session import Store, insert_ignoring
from engine.store.tables import State, audit, decisions, deliveries, rate_states, runs
from engine.store.types import Moment, from_epoch_seconds

Way = Literal["drop", "spread", "send"]
OVERDUE = "overdue"
_LOOKED = "looked"
"""The row of `rate_states` that says when the daemon last looked."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Deliveries that are late. `expired`: of these, too late whatever is done; `expire_within`: those that a spread over
    the time asked about would let expire. Ages by due time."""

    count: int
    expired: int
    expire_within: int
    oldest: datetime | None
    newest: datetime | None
    definitions: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "expired": self.expired,
            "oldest": self.oldest,
            "newest": self.newest,
            "definitions": dict(self.definitions),
        }


def look_at(
    connection: Connection, late: ColumnElement[bool], now: datetime, over: timedelta
) -> Backlog:
    """The backlog that these rows are."""
    is_expired = deliveries.c.not_after < literal(now, Moment())
    runs_out = deliveries.c.not_after < literal(now + over, Moment())
    row = connection.execute(
        select(
            func.count(),
            func.sum(case((is_expired, 1), else_=0)),
            func.sum(case((runs_out, 1), else_=0)),
            func.min(deliveries.c.due_at),
            func.max(deliveries.c.due_at),
        ).where(late)
    ).one()
    each = connection.execute(
        select(deliveries.c.definition, func.count())
        .where(late)
        .group_by(deliveries.c.definition)
        .order_by(func.count().desc(), deliveries.c.definition)
    ).all()
    names = {name: count for name, count in each}  # noqa: C416  # typed so
    return Backlog(row[0], int(row[1] or 0), int(row[2] or 0), row[3], row[4], names)


def treat(
    connection: Connection,
    late: ColumnElement[bool],
    way: Way,
    over: timedelta,
    now: datetime,
    *,
    rule: Mapping[str, Any],
    evidence: Mapping[str, Any],
) -> int:
    """Do it to these rows, with a decision each; how many they were. `send` changes nothing: the gate decides of each."""
    count = connection.execute(select(func.count()).where(late)).scalar_one()
    if not count or way == "send":
        return count
    verdict, until = ("skip", cast(null(), Moment())) if way == "drop" else ("defer", None)
    _decide(connection, _in_order(late, over, count, now, until), verdict, now, rule, evidence)
    values: dict[str, Any] = {"state": State.SKIPPED.value, "ended_at": now}
    if way == "spread":
        values = {"next_at": _LAST_UNTIL, "deferrals": deliveries.c.deferrals + 1}
    connection.execute(update(deliveries).where(late).values(**values, reason=OVERDUE))
    return count


def _in_order(
    late: ColumnElement[bool],
    over: timedelta,
    count: int,
    now: datetime,
    until: ColumnElement[Any] | None,
) -> Subquery:
    """The rows with their moments: evenly over the time, by priority and then by who has waited longest."""
    order = (deliveries.c.priority.desc(), deliveries.c.due_at, deliveries.c.id)
    place = func.row_number().over(order_by=order) - 1
    seconds = int(now.timestamp()) + place * int(over.total_seconds()) // count
    moment = from_epoch_seconds(cast(seconds, BigInteger)) if until is None else until
    return select(deliveries.c.id, moment.label("until")).where(late).subquery("late")


def _decide(
    connection: Connection,
    rows: Subquery,
    verdict: str,
    now: datetime,
    rule: Mapping[str, Any],
    evidence: Mapping[str, Any],
) -> None:
    names = ("delivery_id", "at", "verdict", "reason", "until", "rule", "evidence")
    decided = select(
        rows.c.id,
        literal(now, Moment()),
        literal(verdict, Text),
        literal(OVERDUE, Text),
        rows.c.until,
        literal(dict(rule), decisions.c.rule.type),
        literal(dict(evidence), decisions.c.evidence.type),
    )
    connection.execute(insert(decisions).from_select(names, decided))


_LAST_UNTIL = (
    select(decisions.c.until)
    .where(decisions.c.delivery_id == deliveries.c.id)
    .order_by(decisions.c.id.desc())
    .limit(1)
    .correlate(deliveries)
    .scalar_subquery()
)


def after_outage(store: Store, policy: Policy, now: datetime) -> int:
    """Note that the daemon looks, and treat as the policy says what came due since it last did, if that is long ago.

    Idempotent: the note moves in the same transaction. Several schedulers take turns. Returns how many were late.
    """
    with store.write() as connection:
        wait_for_admission(connection)
        last = _note_look(connection, now)
        rule = policy.overdue
        if rule is None or last is None or now - last <= rule.after.delta:
            return 0
        late = _came_due(connection, last, now, rule.after.delta)
        evidence = {"away_since": last.isoformat(), "until": now.isoformat(), "do": rule.do}
        found = treat(
            connection, late, rule.do, rule.over.delta, now,
            rule=of_policy(rule), evidence=evidence,
        )  # fmt: skip
        connection.execute(
            insert(audit).values(
                at=now, by="scheduler", action="outage", target=None,
                data={**evidence, "count": found},
            )
        )  # fmt: skip
        return found


def _came_due(
    connection: Connection, last: datetime, now: datetime, after: timedelta
) -> ColumnElement[bool]:
    """What the gate should have looked at while nobody did, and nobody holds back. (What it had seen before waits for
    something else: a rate, a queue that is long.)"""
    of_open = select(runs.c.id).where(runs.c.state == "open", held(connection).allows_run())
    return (
        (deliveries.c.state == State.PLANNED)
        & (deliveries.c.due_at < literal(now - after, Moment()))
        & (deliveries.c.next_at > literal(last, Moment()))
        & (deliveries.c.next_at <= literal(now, Moment()))
        & deliveries.c.run_id.in_(of_open)
    )


def _note_look(connection: Connection, now: datetime) -> datetime | None:
    """When the daemon last looked; from now on that is `now`. A clock that was set back is believed."""
    mine = rate_states.c.key == _LOOKED
    last = connection.execute(select(rate_states.c.updated_at).where(mine)).scalar()
    if last is None:
        made = insert_ignoring(connection, rate_states, ("key",))
        connection.execute(made.values(key=_LOOKED, data={}, updated_at=now))
    else:
        connection.execute(update(rate_states).where(mine).values(updated_at=now))
    return last
