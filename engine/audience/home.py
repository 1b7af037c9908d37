"""Whose clock a customer lives by: their own zone as given, else that of their province, else the shop's."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Text, case, func, literal, select

from engine.definitions.regions import provinces
from engine.store.tables import customers, profiles


def zone_of_province(province: ColumnElement[Any]) -> ColumnElement[str | None]:
    """The zone of a Chinese province by its short name; NULL for any other."""
    by_zone = sorted(provinces().values(), key=attrgetter("zone"))
    return case(
        *[
            (province.in_([one.name for one in several]), literal(zone, Text))
            for zone, several in groupby(by_zone, key=attrgetter("zone"))
        ]
    )


def known_zone() -> ColumnElement[str | None]:
    """The zone of a row of `customers` as far as it is known; NULL: the shop's. Reads the profile only where the
    customer has no zone of their own."""
    of_region = (
        select(zone_of_province(profiles.c.province))
        .where(profiles.c.customer_id == customers.c.id)
        .correlate(customers)
        .scalar_subquery()
    )
    return func.coalesce(customers.c.timezone, of_region)
