"""The profiles of few customers, each written once: what stands in their orders, which `tallies` holds, beside their habits.

SQLite writes a profile in three indexes too, and PostgreSQL all of the row again: twice would be twice the price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Select, Table, Text, case, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from engine.customers.profiles.evaluation import COLUMNS, HABITS, Rules, evaluate, moments
from engine.definitions.policy import Policy
from engine.store.tables import profiles
from engine.store.temporary import drop, make
from engine.store.types import BigId
from engine.store.upsert import Upsert

Change = tuple[int, str | None, str | None]
"""A customer, the grade before and after."""

_found = Table(
    "habits_found", MetaData(),
    Column("customer_id", BigId, primary_key=True, autoincrement=False),
    Column("province", Text), Column("city", Text),
    Column("usual_hour", BigId), Column("usual_hour_confidence", BigId), Column("cycle_seconds", BigId),
    Column("category_points", BigId), Column("brand_points", BigId),
    prefixes=["TEMPORARY"],
)  # fmt: skip
_FOUND = Upsert(_found, ["customer_id"], ["customer_id", *HABITS])
_COUNTED = tuple(column.name for column in COLUMNS)[1:-1]
_WHEN = COLUMNS[-1].name
_ALL = (*_COUNTED, *HABITS, _WHEN)


def write_profiles(
    connection: Connection,
    policy: Policy,
    now: datetime,
    chosen: Select[Any],
    habits: Sequence[tuple[Any, ...]],
) -> dict[int, str | None]:
    """Write the profiles of the chosen customers that are new or different. `habits`: a row each, the customer first and
    HABITS after it. Returns the grades of those that were written."""
    make(connection, _found)
    _FOUND.run(connection, habits)
    statement = _writing(connection.dialect.name, Rules.of(policy), chosen)
    written = connection.execute(statement, moments(policy, now)).all()
    drop(connection, _found)
    return {row[0]: row[1] for row in written}


def changed_grades(
    before: Mapping[int, str | None], written: Mapping[int, str | None]
) -> Iterator[Change]:
    """`before`: of who had a profile; a first evaluation is no change."""
    for customer, grade in written.items():
        if customer in before and before[customer] != grade:
            yield customer, before[customer], grade


@lru_cache(maxsize=16)
def _writing(dialect: str, rules: Rules, chosen: Select[Any]) -> Any:
    """What is different is found first: PostgreSQL takes a lock for each row that an INSERT … ON CONFLICT meets."""
    new = evaluate(rules, chosen).subquery("counted")
    p, n, f = profiles.c, new.c, _found.c
    values = {name: n[name] for name in _COUNTED} | {name: f[name] for name in HABITS}
    differs = or_(
        p.customer_id.is_(None),
        *[p[name].is_distinct_from(value) for name, value in values.items()],
    )
    question = (
        select(n.customer_id, *values.values(), n[_WHEN])
        .join_from(new, _found, f.customer_id == n.customer_id)
        .join(profiles, p.customer_id == n.customer_id, isouter=True)
        .where(differs)
    )
    of = sqlite if dialect == "sqlite" else postgresql
    made = of.insert(profiles).from_select(["customer_id", *_ALL], question)
    fresh = made.excluded
    # When it was evaluated is said of what stands in orders.
    is_other = or_(*[p[name].is_distinct_from(fresh[name]) for name in _COUNTED])
    new_values = {name: fresh[name] for name in _ALL}
    new_values[_WHEN] = case((is_other, fresh[_WHEN]), else_=p[_WHEN])
    return made.on_conflict_do_update(index_elements=["customer_id"], set_=new_values).returning(
        p.customer_id, p.grade
    )
