"""Keeping profiles fresh: what is known of customers from their orders, written in sets.

A row of `rate_states` says for which day and which grading rules the profiles hold; who writes orders refreshes the
customers that he touched, or takes the mark away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from engine.customers.collector import without_collector
from engine.customers.profiles.changes import writing
from engine.customers.profiles.chosen import choosing
from engine.customers.profiles.counted import counting
from engine.customers.profiles.evaluation import COLUMNS, Rules, evaluate, moments
from engine.customers.profiles.few import refresh_few
from engine.customers.profiles.habits import refresh_habits
from engine.customers.profiles.kept import MARKS, forget_times
from engine.customers.tagging import refresh_tags
from engine.customers.wake import leave_note
from engine.definitions.policy import Policy
from engine.store.apart import apart
from engine.store.catalog import policy_in_force
from engine.store.recordset import encode_moment
from engine.store.session import Store
from engine.store.tables import customers, grade_changes, profiles, rate_states
from engine.store.temporary import drop, make_of, sorters
from engine.store.types import BigId, Moment
from engine.store.upsert import Upsert

_MARK, _GRADED = "profiles", "grades"
_AT_ONCE = 10_000
"""So many customers are added up together, in memory."""
_MANY = 3  # more than one customer in so many: to count everybody, in sets, costs less
_COMPUTED = "habits 3"  # what a refresh computes: a program that computes more has to do it anew

_before = Table(
    "grades_before",
    MetaData(),
    Column("customer_id", BigId, primary_key=True, autoincrement=False),
    Column("grade", Text),
    Column("counted_sum", BigId),
    prefixes=["TEMPORARY"],
)


_GRADES = select(profiles.c.customer_id, profiles.c.grade, profiles.c.counted_sum)
_CHANGES = Upsert(
    grade_changes, ("customer_id", "at"), ("customer_id", "at", "before", "after"), kept=("before",)
)
_THERE_AND_BACK = delete(grade_changes).where(
    grade_changes.c.at == bindparam("moment", type_=Moment()),
    grade_changes.c.before.is_not_distinct_from(grade_changes.c.after),
)


def ensure_fresh(store: Store, policy: Policy, now: datetime, *, is_still: bool = False) -> bool:
    """Refresh everybody if the shop's day or the rules have changed since, or somebody took the mark away.

    `is_still`: no order or click came since the last refresh of everybody, so that habits and affinities, most of the
    work, stay as they are. Returns whether it had to.
    """
    with store.read() as connection:
        if is_fresh(connection, policy, now):
            return False
    with store.write() as connection:
        # Another process may have done it while this one waited for the lock.
        if is_fresh(connection, policy, now):
            return False
        refresh(connection, policy, now, habits=not is_still)
    return True


@contextmanager
def looking(store: Store, policy: Policy, now: datetime, *, keeps: bool) -> Iterator[Connection]:
    """A connection in which everybody's profile holds for the shop's day of `now` and for these rules.

    Of rules that are not in force, or of another day than today (`keeps` False), nothing stays: the grades of then would
    be changes, and changes once more when the shop goes on, and whoever "fell" would be written to.
    """
    with store.read() as connection:
        if is_fresh(connection, policy, now):
            yield connection
            return
        in_force = counts_by(connection, policy)
    if keeps and _fingerprint(in_force, now) == _fingerprint(policy, now):
        ensure_fresh(store, policy, now)
        with store.read() as connection:
            yield connection
        return
    with apart(store) as connection:
        refresh(connection, policy, now)
        yield connection


def counts_by(connection: Connection, of_files: Policy) -> Policy:
    """The rules that the shop's profiles follow: those in force; as long as nothing was applied, those of the files."""
    return policy_in_force(connection) or of_files


def refresh(
    connection: Connection,
    policy: Policy,
    now: datetime,
    customer_ids: Sequence[int] | None = None,
    *,
    habits: bool = True,
) -> int:
    """Write the profiles, habits and rules' tags of these customers, or of all, as of `now`; note each changed grade.

    Where these are a large part of the shop it is done for all. A first evaluation is no change, and a grade that other
    rules give is none. Without `habits`, for all only, those stay as they are. Returns how many profiles were written.
    """
    written = _refresh(connection, policy, now, customer_ids, habits=habits)
    if customer_ids is None:
        mark_fresh(connection, policy, now)
    leave_note(connection, customer_ids, now)
    return written


def _refresh(
    connection: Connection,
    policy: Policy,
    now: datetime,
    customer_ids: Sequence[int] | None,
    *,
    habits: bool,
) -> int:
    if customer_ids is None or _are_many(connection, customer_ids):
        return _refresh_all(connection, policy, now, habits=habits)
    written = 0
    ordered = sorted(set(customer_ids))  # as the locks are taken
    for start in range(0, len(ordered), _AT_ONCE):
        some = ordered[start : start + _AT_ONCE]
        with without_collector(), choosing(connection, some) as chosen:
            keep_others_out(connection, chosen)
            written += _refresh_few(connection, policy, now, chosen)
            refresh_tags(connection, policy, now, chosen)
    return written


def _are_many(connection: Connection, customer_ids: Sequence[int]) -> bool:
    if len(customer_ids) <= _AT_ONCE:
        return False
    known = connection.execute(select(func.count()).select_from(profiles)).scalar_one()
    return len(customer_ids) * _MANY > known


def _refresh_all(connection: Connection, policy: Policy, now: datetime, *, habits: bool) -> int:
    """All orders and items are counted anew."""
    keep_others_out(connection, None)
    with sorters(connection), counting(connection, policy.prices.currency, now, None):
        make_of(connection, _before, _GRADES)
        # Which orders the affinities hold is only true of affinities that are written.
        written = _write(connection, policy, now, without=() if habits else MARKS)
        if _remember_grading(connection, policy, now):
            _note_changes(connection, now)
        if habits:
            _forget_other_times(connection)
        drop(connection, _before)
        if habits:
            refresh_habits(connection, policy, now)
    refresh_tags(connection, policy, now)
    return written


def _refresh_few(connection: Connection, policy: Policy, now: datetime, chosen: Select[Any]) -> int:
    """New orders are added to what was counted, where nothing else happened to those of a customer."""
    written, changes = refresh_few(connection, policy, now, chosen)
    if changes:
        moment = encode_moment(connection, now)
        at = moment.isoformat() if isinstance(moment, datetime) else moment
        _CHANGES.run(connection, [(customer, at, *grades) for customer, *grades in changes])
        connection.execute(_THERE_AND_BACK, {"moment": now})
    return written


def is_fresh(connection: Connection, policy: Policy, now: datetime) -> bool:
    """Whether the profiles hold for the shop's day of `now` and for these rules."""
    mark = connection.execute(select(rate_states.c.data).where(rate_states.c.key == _MARK)).scalar()
    return mark == _fingerprint(policy, now)


def mark_stale(connection: Connection) -> None:
    """Orders were written and not yet counted: until `mark_fresh`, `ensure_fresh` makes a refresh of everybody."""
    connection.execute(delete(rate_states).where(rate_states.c.key == _MARK))


def mark_fresh(connection: Connection, policy: Policy, now: datetime) -> None:
    """Everybody's profile holds as of `now`."""
    mark_stale(connection)
    connection.execute(
        insert(rate_states).values(key=_MARK, data=_fingerprint(policy, now), updated_at=now)
    )


def _fingerprint(policy: Policy, now: datetime) -> dict[str, str]:
    rules = repr(
        (
            _COMPUTED,
            policy.grading,
            policy.prices.currency,
            policy.stages,
            policy.dormant_after,
            policy.tagging,
        )
    )
    return {
        "day": now.astimezone(ZoneInfo(policy.timezone)).date().isoformat(),
        "zone": policy.timezone,
        "rules": hashlib.sha256(rules.encode()).hexdigest()[:16],
    }


def keep_others_out(connection: Connection, chosen: Select[Any] | None) -> None:
    """Two processes that push, or one that refreshes everybody: who counts second must see what the first one wrote, or
    would write an older count over it. SQLite has one writer anyway."""
    if connection.dialect.name == "sqlite":
        return
    if chosen is None:
        connection.exec_driver_sql("LOCK TABLE profiles IN SHARE ROW EXCLUSIVE MODE")
        return
    # What writing a profile takes, before anything is read: who counts everybody is waited for, and waits.
    connection.exec_driver_sql("LOCK TABLE profiles IN ROW EXCLUSIVE MODE")
    held = select(customers.c.id).where(customers.c.id.in_(chosen)).order_by(customers.c.id)
    connection.execute(held.with_for_update(key_share=True)).all()


def _write(
    connection: Connection, policy: Policy, now: datetime, without: Sequence[str] = ()
) -> int:
    new = evaluate(Rules.of(policy))
    names = [column.name for column in COLUMNS if column.name not in without]
    statement = writing(
        connection.dialect.name, profiles, names[:1], names[1:-1], new, besides=names[-1:]
    )
    # SQLAlchemy forgets the row count of an INSERT unless it is told to keep it.
    options = {"preserve_rowcount": True}
    return connection.execute(statement, moments(policy, now), execution_options=options).rowcount


def _forget_other_times(connection: Connection) -> None:
    """The kept times of whose orders are others than those that were counted, or were not known."""
    mine = profiles.c.customer_id == _before.c.customer_id
    others = profiles.c.counted_sum.is_distinct_from(_before.c.counted_sum)
    found = select(_before.c.customer_id).join_from(_before, profiles, mine).where(others)
    if connection.execute(found.limit(1)).first() is not None:
        forget_times(connection, found)


def _remember_grading(connection: Connection, policy: Policy, now: datetime) -> bool:
    """Write down by which rules everybody is graded. Returns whether they are those of the last time: nobody fell because the
    bounds were moved."""
    said = hashlib.sha256(
        repr((policy.grading, policy.prices.currency, policy.timezone)).encode()
    ).hexdigest()
    mine = rate_states.c.key == _GRADED
    before = connection.execute(select(rate_states.c.data).where(mine)).scalar()
    if before != said:
        connection.execute(delete(rate_states).where(mine))
        connection.execute(insert(rate_states).values(key=_GRADED, data=said, updated_at=now))
    return before is None or before == said


def _note_changes(connection: Connection, now: datetime) -> None:
    """Two evaluations at the same moment leave one row, from the first grade to the last; none where these agree."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    changed = (
        select(
            _before.c.customer_id,
            literal(now, Moment()),
            _before.c.grade,
            profiles.c.grade,
        )
        .select_from(_before.join(profiles, profiles.c.customer_id == _before.c.customer_id))
        .where(_before.c.grade.is_distinct_from(profiles.c.grade))
    )
    statement = dialect.insert(grade_changes).from_select(
        ["customer_id", "at", "before", "after"], changed
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[grade_changes.c.customer_id, grade_changes.c.at],
            set_={"after": statement.excluded.after},
        )
    )
    connection.execute(_THERE_AND_BACK, {"moment": now})
