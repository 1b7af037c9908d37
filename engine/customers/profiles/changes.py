"""Writing what was computed for many rows of a table: only what is new or different, since on most days most is the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Insert, Select, Table, and_, or_, select
from sqlalchemy.dialects import postgresql, sqlite


def writing(
    dialect: str,
    table: Table,
    key: Sequence[str],
    compared: Sequence[str],
    new: Select[Any],
    *,
    besides: Sequence[str] = (),
) -> Insert:
    """The statement after which the rows of `new`, whose columns are called as the table's, are there as they are.

    `compared`: the columns that make a row different. `besides`: columns that are written with these, and are no reason
    to. The rows that differ are found first: PostgreSQL takes a lock for each that an INSERT … ON CONFLICT meets.
    """
    found = new.subquery("found")
    same = and_(*[table.c[name] == found.c[name] for name in key])
    differs = or_(
        table.c[key[0]].is_(None),
        *[table.c[name].is_distinct_from(found.c[name]) for name in compared],
    )
    changed = select(*[found.c[name] for name in (*key, *compared, *besides)])
    of = sqlite if dialect == "sqlite" else postgresql
    statement = of.insert(table).from_select(
        [*key, *compared, *besides],
        changed.select_from(found.outerjoin(table, same)).where(differs),
    )
    upsert: Insert = statement.on_conflict_do_update(
        index_elements=list(key),
        set_={name: statement.excluded[name] for name in (*compared, *besides)},
    )
    return upsert
