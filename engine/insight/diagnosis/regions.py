"""Where the customers live: provinces and cities with their orders."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from engine.insight.diagnosis.figures import Region, Regions
from engine.store.tables import customers, profiles

MOST = 30


def regions(connection: Connection) -> Regions:
    """Provinces and cities by customers, at most MOST of each and those not known; the profiles must be fresh.

    The profile's region counts, which may be read from an address; else the one that was given.
    """
    provinces = _counted(connection, func.coalesce(profiles.c.province, customers.c.province))
    cities = _counted(connection, func.coalesce(profiles.c.city, customers.c.city))
    return Regions(
        provinces_known=_known(provinces),
        cities_known=_known(cities),
        provinces=_first(provinces),
        cities=_first(cities),
    )


def _counted(connection: Connection, place: ColumnElement[Any]) -> list[Region]:
    question = (
        select(
            place.label("name"),
            func.count().label("customers"),
            func.coalesce(func.sum(profiles.c.orders), 0).label("orders"),
            func.coalesce(func.sum(profiles.c.amount), 0).label("amount"),
        )
        .select_from(customers.outerjoin(profiles, profiles.c.customer_id == customers.c.id))
        .group_by(place)
    )
    rows = [
        Region(
            name=row.name, customers=row.customers, orders=int(row.orders), amount=int(row.amount)
        )
        for row in connection.execute(question)
    ]
    return sorted(rows, key=lambda one: (-one.customers, one.name or ""))


def _first(rows: list[Region]) -> tuple[Region, ...]:
    named = [one for one in rows if one.name is not None][:MOST]
    return (*named, *(one for one in rows if one.name is None))


def _known(rows: list[Region]) -> int:
    return sum(one.customers for one in rows if one.name is not None)
