"""How much a customer likes a category or brand: points for orders and clicks, and the score, their share of all points
of that kind, in thousandths rounded down."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Text, func, literal_column, type_coerce

from engine.store.tables import profiles

LikedKind = Literal["category", "brand"]
ORDER_POINTS, CLICK_POINTS = 5, 1


def points(row: Any) -> ColumnElement[int]:
    """Of one row with `orders` and `clicks`, given its columns."""
    found: ColumnElement[int] = ORDER_POINTS * row.orders + CLICK_POINTS * row.clicks
    return found


def is_of(kind: LikedKind, row: Any) -> ColumnElement[bool]:
    """Whether a row of affinities (its columns) is of this kind, spelt as the indexes of each kind spell it: a parameter
    would keep them out."""
    found: ColumnElement[bool] = row.kind == literal_column(f"'{kind}'", Text)
    return found


def score(kind: str, of_name: ColumnElement[Any]) -> ColumnElement[int]:
    """The share of a name that has so many points in those of the customer whose `profiles` row it stands beside; 0
    where there are none."""
    everything = func.nullif(profiles.c[f"{kind}_points"], 0, type_=BigInteger)
    return func.coalesce(1000 * type_coerce(of_name, BigInteger) // everything, 0)
