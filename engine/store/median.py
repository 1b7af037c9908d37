"""Exact numbers in SQL, the same on both databases: medians (the middle value, or the mean of the middle two, rounded
down) and sums of whole numbers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, FromClause, Subquery, cast, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


def median_of(values: FromClause, keys: tuple[str, ...], value: str) -> Subquery:
    """One row per `keys` of `values` with the median of its whole, non-negative `value`s. A column `many` of `values`
    says of how many: counting them here would have them sorted twice."""
    by = [values.c[key] for key in keys]
    ranked = select(
        *by,
        values.c[value].label("value"),
        values.c.many,
        func.row_number().over(partition_by=by, order_by=values.c[value]).label("place"),
    ).subquery("ranked")
    middle = ranked.c.place.in_([(ranked.c.many + 1) // 2, ranked.c.many // 2 + 1])
    total = whole(func.sum(ranked.c.value))
    groups = [ranked.c[key] for key in keys]
    return (
        select(*groups, (total // func.count()).label("median"))
        .where(middle)
        .group_by(*groups)
        .subquery("medians")
    )


def whole(number: ColumnElement[Any]) -> ColumnElement[int]:
    """A sum as a whole number: PostgreSQL adds up large integers to decimals."""
    return cast(number, BigInteger)


class total(FunctionElement[int]):
    """SQL: the sum of whole numbers between 0 and 2⁶², as a whole number. An import lets none beyond 10¹⁵ in."""

    type = BigInteger()
    inherit_cache = True
    name = "total"


@compiles(total, "sqlite")
def _total_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"sum({compiler.process(element.clauses, **kw)})"


@compiles(total, "postgresql")
def _total_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    """Large integers are added up as decimals there, which is a third of the work of a grouping; their halves are not."""
    number = compiler.process(element.clauses, **kw)
    high, low = f"CAST({number} >> 31 AS integer)", f"CAST({number} & 2147483647 AS integer)"
    return f"(sum({high}) * 2147483648 + sum({low}))"
