"""Two records of one person become one: everything that hangs on the first moves to the second, and is kept.

Consent and suppression are known by address, not by customer: nothing of them is lost or won. What the person's
records said of themselves stays that of the second; the first one's fills its gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    Text,
    case,
    cast,
    delete,
    insert,
    literal,
    select,
    update,
)

from engine.customers.importing.buyers import GROUPS
from engine.customers.one_each import drop_other_values, keep_one_card
from engine.customers.owners import merged_into
from engine.customers.profiles.freshness import is_fresh, keep_others_out, refresh
from engine.customers.wake import leave_note
from engine.definitions.membership import Membership
from engine.definitions.policy import Policy
from engine.errors import YanshuError, did_you_mean
from engine.store.session import insert_ignoring
from engine.store.tables import (
    COMMITTED_STATES,
    State,
    affinities,
    audit,
    contacts,
    customers,
    deliveries,
    events,
    former_addresses,
    grade_changes,
    memberships,
    merged_refs,
    orders,
    profiles,
    tags,
    tasks,
)
from engine.store.types import Moment

MOVED: tuple[tuple[str, Table, tuple[str, ...]], ...] = (
    ("orders", orders, ()),
    ("tags", tags, ()),
    ("deliveries", deliveries, ("definition", "step", "anchor")),
    ("events", events, ()),
    ("contacts", contacts, ("channel", "class", "at")),
    ("memberships", memberships, ()),
    ("grade_changes", grade_changes, ("at",)),
    ("tasks", tasks, ()),
)
"""What hangs on a customer, and what makes a row of it the same as one of the other customer (of tags see `one_each`)."""
_YET_TO_GO = (State.PLANNED, State.WAITING)
_GROUPS = (
    *GROUPS,
    ("birthday", "birthday_month", "birthday_day", "birthday_calendar"),
    ("joined_at",),
)


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did. `moved`: rows by kind. `twice`: rows that both had."""

    gone: str
    into: str
    moved: Mapping[str, int]
    twice: Mapping[str, int]


def check_merge(connection: Connection, gone: str, into: str) -> tuple[int, int]:
    """The internal ids of both. Raises YanshuError where they cannot be merged."""
    if gone == into:
        raise YanshuError(f"{gone!r} is one customer; name two")
    return _find(connection, gone), _find(connection, into)


def _find(connection: Connection, ref: str) -> int:
    found = connection.execute(select(customers.c.id).where(customers.c.ref == ref)).scalar()
    if found is not None:
        return int(found)
    merged = merged_into(connection, {ref})
    if merged:
        other = connection.execute(select(customers.c.ref).where(customers.c.id == merged[ref]))
        raise YanshuError(f"customer {ref!r} was merged into {other.scalar_one()!r}")
    near = connection.execute(select(customers.c.ref).where(customers.c.ref.startswith(ref[:3], autoescape=True)).limit(100))  # fmt: skip
    raise YanshuError(f"no customer {ref!r}{did_you_mean(ref, near.scalars())}")


def merge(
    connection: Connection,
    gone: str,
    into: str,
    *,
    policy: Policy,
    membership: Membership | None,
    now: datetime,
    by: str,
) -> Merged:
    """`gone` becomes part of `into`; later imports go on finding that person by either id. Raises YanshuError."""
    old, new = check_merge(connection, gone, into)
    # Else a refresh of the one that goes could leave affinities of nobody.
    keep_others_out(connection, select(customers.c.id).where(customers.c.id.in_((old, new))))
    was_fresh = is_fresh(connection, policy, now)
    _fill_gaps(connection, old, new, now)
    _keep_addresses(connection, old, new)
    moved, twice = {}, {}
    values = drop_other_values(connection, policy.tagging, old, new)
    for name, table, same in MOVED:
        twice[name] = _drop_twins(connection, table, same, old, new, now)
        moved[name] = connection.execute(
            update(table).where(table.c.customer_id == old).values(customer_id=new)
        ).rowcount
    twice["tags"] = values
    keep_one_card(connection, membership, new, now)
    for computed in (profiles, affinities):
        connection.execute(delete(computed).where(computed.c.customer_id.in_((old, new))))
    connection.execute(
        update(merged_refs).where(merged_refs.c.customer_id == old).values(customer_id=new)
    )
    connection.execute(delete(customers).where(customers.c.id == old))
    connection.execute(insert(merged_refs).values(ref=gone, customer_id=new, merged_at=now))
    data = {"into": into, "moved": moved, "twice": twice}
    connection.execute(
        insert(audit).values(at=now, by=by, action="customer merge", target=gone, data=data)
    )
    if was_fresh:  # else the next refresh is of everybody
        refresh(connection, policy, now, [new])
    leave_note(connection, [new], now)
    return Merged(gone, into, moved, twice)


def _keep_addresses(connection: Connection, old: int, new: int) -> None:
    """What was sent to the first one's addresses counts for whoever has these, although it is the second one's now."""
    had = former_addresses
    theirs = [
        *(
            select(has, literal(new)).where(customers.c.id == old, has.is_not(None))
            for has in (customers.c.email_hash, customers.c.phone_hash)
        ),
        select(had.c.address_hash, literal(new)).where(had.c.customer_id == old),
    ]
    columns = ["address_hash", "customer_id"]
    for addresses in theirs:
        connection.execute(
            insert_ignoring(connection, had, columns).from_select(columns, addresses)
        )


def _drop_twins(
    connection: Connection,
    table: Table,
    same: tuple[str, ...],
    old: int,
    new: int,
    now: datetime,
) -> int:
    """Rows of the first that the second has too: the same message of another system.

    Of deliveries of one definition, step and anchor both were one person's: those of the first get an anchor of their
    own, so that the history stays, and nothing goes out a second time.
    """
    if not same:
        return 0
    other = table.alias("other")
    is_there = (
        select(other.c.customer_id)
        .where(other.c.customer_id == new, *[other.c[name] == table.c[name] for name in same])
        .exists()
    )
    if table is deliveries:
        _cancel_what_was_had(connection, same, old, new, now)
        return _set_apart(connection, is_there, old, now)
    return connection.execute(delete(table).where(table.c.customer_id == old, is_there)).rowcount


def _cancel_what_was_had(
    connection: Connection, same: tuple[str, ...], old: int, new: int, now: datetime
) -> None:
    """What the second has yet to get and the first one got (or is about to): the person has it already."""
    other = deliveries.alias("other")
    was_had = (
        select(other.c.id)
        .where(
            other.c.customer_id == old,
            other.c.state.in_(COMMITTED_STATES),
            *[other.c[name] == deliveries.c[name] for name in same],
        )
        .exists()
    )
    connection.execute(
        update(deliveries)
        .where(deliveries.c.customer_id == new, deliveries.c.state.in_(_YET_TO_GO), was_had)
        .values(state=State.CANCELLED, reason="merged", ended_at=now)
    )


def _set_apart(
    connection: Connection, is_there: ColumnElement[bool], old: int, now: datetime
) -> int:
    is_open = deliveries.c.state.in_(_YET_TO_GO)
    done = connection.execute(
        update(deliveries)
        .where(deliveries.c.customer_id == old, is_there)
        .values(
            anchor=deliveries.c.anchor + ":merged:" + cast(old, Text),
            state=case((is_open, State.CANCELLED), else_=deliveries.c.state),
            reason=case((is_open, "merged"), else_=deliveries.c.reason),
            ended_at=case((is_open, literal(now, Moment())), else_=deliveries.c.ended_at),
        )
    )
    return done.rowcount


def _fill_gaps(connection: Connection, old: int, new: int, now: datetime) -> None:
    """What is not known of the second is taken from the first; a malicious one stays malicious."""
    both = {row.id: row for row in connection.execute(select(customers).where(customers.c.id.in_((old, new))))}  # fmt: skip
    first, second = both[old]._mapping, both[new]._mapping
    values = {
        name: first[name]
        for group in _GROUPS
        if all(second[one] is None for one in group)
        for name in group
    }
    values["attributes"] = {**first["attributes"], **second["attributes"]}
    values["malicious"] = first["malicious"] or second["malicious"]
    connection.execute(
        update(customers).where(customers.c.id == new).values(updated_at=now, **values)
    )
