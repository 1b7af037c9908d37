"""How much a customer likes a category or brand: points for orders and clicks, and the score, their share of all points
of that kind, in thousandths rounded down."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, func, type_coerce

from engine.store.tables import profiles

ORDER_POINTS, CLICK_POINTS = 5, 1


def points(row: Any) -> ColumnElement[int]:
    """Of one row with `orders` and `clicks`, given its columns."""
    found: ColumnElement[int] = ORDER_POINTS * row.orders + CLICK_POINTS * row.clicks
    return found


def score(kind: str, of_name: ColumnElement[Any]) -> ColumnElement[int]:
    """The share of a name that has so many points in those of the customer whose `profiles` row it stands beside; 0
    where there are none."""
    everything = func.nullif(profiles.c[f"{kind}_points"], 0, type_=BigInteger)
    return func.coalesce(1000 * type_coerce(of_name, BigInteger) // everything, 0)
