"""The evaluation of memberships: once a year everybody, every day the cards that end. All in sets.

`ensure_evaluated` is for the scheduler. A row of `rate_states` says which day's ends, and which year's evaluation, are done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from engine.customers.membership import steps
from engine.customers.membership.levels import (
    UNDER_WAY,
    Standing,
    end_of,
    has_successor,
    local_day,
    rank_of,
    reached,
    start_of,
)
from engine.customers.profiles.grading import last_evaluation
from engine.customers.wake import leave_note
from engine.definitions.membership import Membership
from engine.definitions.policy import Policy
from engine.store.session import Store
from engine.store.tables import memberships, rate_states
from engine.store.types import BigId, Moment

_MARK = "membership"
_reached = Table(
    "membership_reached",
    MetaData(),
    Column("customer_id", BigId, primary_key=True, autoincrement=False),
    Column("rank", BigId),
    prefixes=["TEMPORARY"],
)
m = memberships.c


@dataclass(frozen=True, slots=True)
class Evaluated:
    """How many memberships came into being, were renewed, ended, were given up before a card was claimed; and tasks."""

    eligible: int = 0
    renewed: int = 0
    lapsed: int = 0
    withdrawn: int = 0
    tasks: int = 0


def ensure_evaluated(
    store: Store, membership: Membership | None, policy: Policy, now: datetime
) -> Evaluated | None:
    """Do what is due: on a new day of the shop look at ending cards, after the yearly day at everybody.

    A shop that has just put membership.yaml in force is evaluated on its next yearly day, or by hand. Returns None
    where nothing was due.
    """
    if membership is None:
        return None
    day = local_day(now, policy)
    year = last_evaluation(day, policy.grading.evaluated_on)
    with store.read() as connection:
        if _done(connection) == (day, year):
            return None
    with store.write() as connection:
        done = _done(connection)  # another process may have been quicker
        if done == (day, year):
            return None
        last_year = done[1] if done else None
        if year > last_year if last_year else year == day:
            return evaluate(connection, membership, policy, now)
        _mark(connection, day, max(year, last_year or year), now)
        renewed, lapsed = _settle_ends(connection, membership, policy, now)
        return Evaluated(renewed=renewed, lapsed=lapsed)


def evaluate(
    connection: Connection, membership: Membership, policy: Policy, now: datetime
) -> Evaluated:
    """Evaluate everybody: renew or end cards, give up what is not deserved any more, offer what newly is, make the calls.

    Twice on one day it changes nothing. Whoever declined a level since the last yearly day is not asked again.
    """
    year = last_evaluation(local_day(now, policy), policy.grading.evaluated_on)
    renewed, lapsed = _settle_ends(connection, membership, policy, now)
    _reached.create(connection)
    _fill(connection, reached(membership, policy, now))
    withdrawn = _withdraw(connection, membership, now)
    eligible = _offer(connection, membership, start_of(year, policy), now)
    _reached.drop(connection)
    calls = steps.ask_for_calls(connection, membership, now)
    _mark(connection, local_day(now, policy), year, now)
    leave_note(connection, None, now)
    return Evaluated(eligible, renewed, lapsed, withdrawn, calls)


def _fill(connection: Connection, question: Any) -> None:
    connection.execute(insert(_reached).from_select(["customer_id", "rank"], question))


def _withdraw(connection: Connection, membership: Membership, now: datetime) -> int:
    """Cards under way whose threshold is not met any more; before the card is out, also those of another level now."""
    rank = rank_of(m.level, membership)
    still = exists().where(
        _reached.c.customer_id == m.customer_id,
        or_(
            _reached.c.rank == rank,
            and_(m.state == Standing.CARDED, _reached.c.rank >= rank),
        ),
    )
    given_up = connection.execute(
        update(memberships)
        .where(m.state.in_(UNDER_WAY), ~still.correlate(memberships))
        .values(state=Standing.WITHDRAWN)
    )
    steps.cancel_of_ended(connection, now)
    return given_up.rowcount


def _offer(connection: Connection, membership: Membership, year: datetime, now: datetime) -> int:
    """A membership for whoever meets a level and neither has, nor is getting, nor declined that one or a higher one."""
    at = literal(now, Moment())
    served = exists().where(
        m.customer_id == _reached.c.customer_id,
        rank_of(m.level, membership) >= _reached.c.rank,
        or_(
            m.state.in_(UNDER_WAY),
            and_(m.state == Standing.ACTIVE, m.expires_at > at),
            and_(m.state == Standing.DECLINED, m.evaluated_at >= literal(year, Moment())),
        ),
    )
    newly = select(
        _reached.c.customer_id, _name(_reached.c.rank, membership), literal(Standing.ELIGIBLE), at
    ).where(~served.correlate(_reached))
    columns = ["customer_id", "level", "state", "evaluated_at"]
    made = connection.execute(
        insert(memberships).from_select(columns, newly),
        execution_options={"preserve_rowcount": True},
    )
    return made.rowcount


def _settle_ends(
    connection: Connection, membership: Membership, policy: Policy, now: datetime
) -> tuple[int, int]:
    """Renew what ends within `renew` and deserves it; end what is over. Returns how many renewed, how many lapsed.

    One end after the other: after a long silence a renewed card may be over as well, and is asked for at its own end.
    """
    renewed, until = 0, now + membership.renew.delta
    _reached.create(connection)
    end = _first_end(connection, until)
    while end is not None:
        renewed += _renew(connection, membership, policy, end, now)
        end = _first_end(connection, until, after=end)
    _reached.drop(connection)
    return renewed, _end(connection, now)


def _first_end(
    connection: Connection, until: datetime, after: datetime | None = None
) -> datetime | None:
    """When the next cards end, up to `until`: as a day begins, so there are few such moments."""
    ends = select(func.min(m.expires_at)).where(
        m.state == Standing.ACTIVE, m.expires_at <= literal(until, Moment())
    )
    if after is not None:
        ends = ends.where(m.expires_at > literal(after, Moment()))
    return connection.execute(ends).scalar()


def _renew(
    connection: Connection, membership: Membership, policy: Policy, end: datetime, now: datetime
) -> int:
    """A year more for those of this end who meet a level still, at most on their own: a higher one has a card of its own."""
    ending = and_(m.state == Standing.ACTIVE, m.expires_at == literal(end, Moment()))
    connection.execute(delete(_reached))
    who = select(m.customer_id).where(ending)
    _fill(connection, reached(membership, policy, min(now, end), among=who))
    own = rank_of(m.level, membership)
    rank = case((and_(own > 0, own < _reached.c.rank), own), else_=_reached.c.rank)
    following = (
        select(
            m.customer_id,
            _name(rank, membership),
            literal(Standing.ACTIVE),
            m.expires_at,
            literal(end_of(end, membership, policy), Moment()),
            m.claimed_at,
            literal(now, Moment()),
            m.id,
        )
        .join_from(memberships, _reached, _reached.c.customer_id == m.customer_id)
        .where(ending, ~has_successor())
    )
    columns = ["customer_id", "level", "state", "starts_at", "expires_at"]
    columns += ["claimed_at", "evaluated_at", "renews_id"]
    made = connection.execute(
        insert(memberships).from_select(columns, following),
        execution_options={"preserve_rowcount": True},
    )
    return made.rowcount


def _end(connection: Connection, now: datetime) -> int:
    """What is over becomes renewed or lapsed. Returns how many lapsed."""
    over = and_(m.state == Standing.ACTIVE, m.expires_at <= literal(now, Moment()))
    connection.execute(
        update(memberships).where(over, has_successor()).values(state=Standing.RENEWED)
    )
    lapsed = connection.execute(update(memberships).where(over).values(state=Standing.LAPSED))
    return lapsed.rowcount


def _name(rank: Any, membership: Membership) -> Any:
    return case(
        *[(rank == place, literal(level.name)) for place, level in enumerate(membership.levels, 1)]
    )


def _done(connection: Connection) -> tuple[date, date] | None:
    """The day whose ends are settled, and the yearly day that was evaluated (or passed before there was a membership)."""
    data = connection.execute(select(rate_states.c.data).where(rate_states.c.key == _MARK)).scalar()
    return (date.fromisoformat(data["day"]), date.fromisoformat(data["year"])) if data else None


def _mark(connection: Connection, day: date, year: date, now: datetime) -> None:
    connection.execute(delete(rate_states).where(rate_states.c.key == _MARK))
    data = {"day": day.isoformat(), "year": year.isoformat()}
    connection.execute(insert(rate_states).values(key=_MARK, data=data, updated_at=now))
