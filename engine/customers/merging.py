"""Two records of one person become one: everything that hangs on the first moves to the second, and is kept.

Consent and suppression are known by address, not by customer: nothing of them is lost or won. What the person's
records said of themselves stays that of the second; the first one's fills its gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Table,
    case,
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
    ("deliveries", deliveries, ()),
    ("events", events, ()),
    ("contacts", contacts, ("channel", "class", "at")),
    ("memberships", memberships, ()),
    ("grade_changes", grade_changes, ("at",)),
    ("tasks", tasks, ()),
)
"""What hangs on a customer, and what makes a row of it the same as one of the other customer (of tags see `one_each`, of
deliveries `_set_apart`)."""
_CHUNK = 1000
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
    """Rows of the first that the second has too: the same message of another system."""
    if table is deliveries:
        return _set_apart(connection, old, new, now)
    if not same:
        return 0
    other = table.alias("other")
    is_there = (
        select(other.c.customer_id)
        .where(other.c.customer_id == new, *[other.c[name] == table.c[name] for name in same])
        .exists()
    )
    return connection.execute(delete(table).where(table.c.customer_id == old, is_there)).rowcount


def _set_apart(connection: Connection, old: int, new: int, now: datetime) -> int:
    """Of deliveries of one definition and reason both were one person's. The further of the two goes on, all its steps; the
    other's get an anchor of their own, so that the history stays, and nothing goes out a second time."""
    reasons: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    d = deliveries.c
    # Locked: what is admitted meanwhile would go out beside what goes on.
    found = select(d.id, d.customer_id, d.definition, d.step, d.anchor, d.state).where(d.customer_id.in_((old, new)))  # fmt: skip
    for row in connection.execute(found.order_by(d.id).with_for_update(key_share=True)):
        of_both = reasons.setdefault((row.definition, row.anchor), {old: {}, new: {}})
        of_both[row.customer_id][row.step] = row
    apart, again = [], []
    for of_both in reasons.values():
        if of_both[old] and of_both[new]:
            goes = old if _is_further(of_both[old], of_both[new]) else new
            going, rest = of_both[goes], of_both[new if goes == old else old]
            apart += [row.id for row in rest.values()]
            again += [row.id for step, row in going.items() if step in _had(rest)]
    is_open = d.state.in_(_YET_TO_GO)
    cancelled = {
        "state": case((is_open, State.CANCELLED), else_=d.state),
        "reason": case((is_open, "merged"), else_=d.reason),
        "ended_at": case((is_open, literal(now, Moment())), else_=d.ended_at),
    }
    for ids, more in ((apart, {"anchor": d.anchor + f":merged:{old}"}), (again, {})):
        for start in range(0, len(ids), _CHUNK):
            these = d.id.in_(ids[start : start + _CHUNK])
            connection.execute(update(deliveries).where(these).values(**cancelled, **more))
    return len(apart)


def _is_further(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether the first got all that the second did and more, or has yet to get what was skipped for the second, who may have
    had no address. Who is held out stays so."""
    states = {row.state for row in second.values()}
    if State.HOLDOUT in states:
        return False
    is_open = any(row.state in _YET_TO_GO for row in first.values())
    return _had(first) > _had(second) or (is_open and states == {State.SKIPPED})


def _had(rows: Mapping[str, Any]) -> set[str]:
    """The steps of these that went out, or are about to."""
    return {step for step, row in rows.items() if row.state in COMMITTED_STATES}


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
