"""A few rows of values to join with, whose statement is compiled once for all of that shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, ColumnClause, bindparam, column, select, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class _given(FunctionElement[Any]):
    name = "given"
    inherit_cache = True


def given(name: str, columns: Sequence[ColumnClause[Any]], rows: Sequence[Sequence[Any]]) -> CTE:
    """SQL: `VALUES` with these typed columns; at least one row.

    SQLAlchemy's own `values` is never cached: a statement around it is compiled at each execution, 15 ms of a thousand
    definitions' 20.
    """
    listed = _given(
        *(
            tuple_(
                *(
                    bindparam(None, value, type_=each.type, unique=True)
                    for each, value in zip(columns, row, strict=True)
                )
            )
            for row in rows
        )
    )
    # What both databases call the columns of VALUES.
    places = [column(f"column{place}", each.type) for place, each in enumerate(columns, 1)]
    found = listed.table_valued(*places, name="given")
    named = [
        found.c[place.name].label(each.name) for place, each in zip(places, columns, strict=True)
    ]
    return select(*named).cte(name)


@compiles(_given)
def _compiled(element: Any, compiler: Any, **kw: Any) -> str:
    rows = ", ".join(compiler.process(row, **kw) for row in element.clauses)
    return f"(VALUES {rows})"
