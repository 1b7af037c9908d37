"""The exact median in SQL, the same on both databases: the middle value, or the mean of the middle two, rounded down."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, FromClause, Subquery, cast, func, select


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
