"""Tags by hand: put, take away, list. What a person puts outranks the rules and is never taken away by them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from engine.customers.wake import leave_note
from engine.definitions.tagging import Tagging
from engine.errors import YanshuError, did_you_mean
from engine.store.tables import customers, tags


@dataclass(frozen=True, slots=True)
class PutTag:
    """A tag that a customer has. `rule` None: `by` put it; else `by` is where the rule stands."""

    dimension: str
    value: str
    at: datetime
    by: str | None
    rule: str | None


@dataclass(frozen=True, slots=True)
class Added:
    """`is_new` False: it was there by hand already. `replaced`: the values that had to go, of a dimension with one."""

    is_new: bool
    replaced: tuple[str, ...]


def find_customer(connection: Connection, ref: str) -> int:
    """The internal id of the customer with this id of the shop. Raises YanshuError."""
    found = connection.execute(select(customers.c.id).where(customers.c.ref == ref)).scalar()
    if found is None:
        raise YanshuError(f"no customer {ref!r}")
    return int(found)


def parse_tag(written: str, tagging: Tagging) -> tuple[str, str]:
    """`DIMENSION=VALUE` as a tag that there is. Raises YanshuError with the nearest one."""
    dimension, sign, value = (part.strip() for part in written.partition("="))
    if not sign or not dimension or not value:
        raise YanshuError(f"{written!r} is not a tag; write DIMENSION=VALUE")
    fault = fault_of(dimension, value, tagging)
    if fault is not None:
        raise YanshuError(fault[1])
    return dimension, value


def fault_of(dimension: str, value: str, tagging: Tagging) -> tuple[str, str] | None:
    """What tagging.yaml has against this tag, with the nearest name: `dimension` or `value`, and a sentence."""
    known = tagging.dimensions
    if dimension not in known:
        hint = did_you_mean(dimension, known) or f"; known: {', '.join(known) or 'none'}"
        return "dimension", f"no dimension {dimension!r} in tagging.yaml{hint}"
    values = known[dimension].values
    if value not in values:
        hint = did_you_mean(value, values) or f"; allowed: {', '.join(values)}"
        return "value", f"{value!r} is no value of {dimension}{hint}"
    return None


def add_tag(
    connection: Connection,
    customer_id: int,
    dimension: str,
    value: str,
    *,
    tagging: Tagging,
    at: datetime,
    by: str,
) -> Added:
    """Put a checked tag on a customer by hand; a rule's same tag becomes a person's."""
    replaced: tuple[str, ...] = ()
    mine = (tags.c.customer_id == customer_id) & (tags.c.dimension == dimension)
    if not tagging.dimensions[dimension].several:
        others = mine & (tags.c.value != value)
        found = connection.execute(select(tags.c.value).where(others).order_by(tags.c.value))
        replaced = tuple(found.scalars())
        connection.execute(delete(tags).where(others))
    this = mine & (tags.c.value == value)
    there = connection.execute(select(tags.c.rule).where(this)).first()
    said = {"tagged_at": at, "tagged_by": by, "rule": None}
    if there is None:
        key = {"customer_id": customer_id, "dimension": dimension, "value": value}
        connection.execute(insert(tags).values(**key, **said))
    elif there.rule is not None:
        connection.execute(update(tags).where(this).values(**said))
    leave_note(connection, [customer_id], at)
    return Added(there is None or there.rule is not None, replaced)


def remove_tag(
    connection: Connection, customer_id: int, dimension: str, value: str, now: datetime
) -> bool:
    """Take a tag away; False where it is not there. Raises YanshuError for a rule's: the rule would put it back."""
    this = (
        (tags.c.customer_id == customer_id)
        & (tags.c.dimension == dimension)
        & (tags.c.value == value)
    )
    there = connection.execute(select(tags.c.rule, tags.c.tagged_by).where(this)).first()
    if there is None:
        return False
    if there.rule is not None:
        raise YanshuError(
            f"the rule {there.rule!r} ({there.tagged_by}) puts {dimension}={value} and would put it back:"
            " change the rule, or add another value by hand"
        )
    connection.execute(delete(tags).where(this))
    leave_note(connection, [customer_id], now)
    return True


def tags_of(connection: Connection, customer_id: int) -> list[PutTag]:
    """All tags of a customer, by dimension and value."""
    rows = connection.execute(
        select(tags.c.dimension, tags.c.value, tags.c.tagged_at, tags.c.tagged_by, tags.c.rule)
        .where(tags.c.customer_id == customer_id)
        .order_by(tags.c.dimension, tags.c.value)
    )
    return [PutTag(*row) for row in rows]
