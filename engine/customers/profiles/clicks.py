"""Clicks of few customers on links that are labelled with a category: what `affinity` counts for many."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Delete, Select, and_, bindparam, delete, func, select, text

from engine.audience.liking import CLICK_POINTS, is_of
from engine.store.among import among
from engine.store.tables import Engagement, affinities, deliveries, engagements, links, products
from engine.store.types import Moment as StoredMoment
from engine.store.upsert import Upsert

Points = tuple[int | None, int | None]
"""Of all categories and of all brands that a customer likes; None: there are none."""

_UPSERT = Upsert(
    affinities, ("customer_id", "kind", "name"),
    ("customer_id", "kind", "name", "orders", "quantity", "amount", "clicks"),
    kept=("orders", "quantity", "amount"),
)  # fmt: skip
_SOME = text("clicks > 0")  # as the index has it, to the letter


def add_clicks(connection: Connection, now: datetime, points: MutableMapping[int, Points]) -> None:
    """Write the clicks of these customers, as of `now`, into their affinities; their points change with them. The orders are
    written already."""
    people = {"people": list(points)}
    if not points:
        return
    there = {(row[0], row[1]): row[2] for row in connection.execute(_there(), people)}
    clicked = {
        (row[0], row[1]): row[2]
        for row in connection.execute(_clicked(), {**people, "now": now})
    }  # fmt: skip
    known = _categories(connection, {label for _, label in clicked})
    new = {key: count for key, count in clicked.items() if key[1] in known}
    rows = []
    for key in there.keys() | new.keys():
        customer, label = key
        more = new.get(key, 0) - there.get(key, 0)
        if more:
            rows.append((customer, "category", label, 0, 0, 0, new.get(key, 0)))
            categories, brands = points[customer]
            points[customer] = (categories or 0) + CLICK_POINTS * more, brands
    if rows:
        _UPSERT.run(connection, rows)
        connection.execute(_gone(), people)


@cache
def _there() -> Select[Any]:
    a = affinities.c
    found = select(a.customer_id, a.name, a.clicks).where(among(a.customer_id, "people"), _SOME)
    # Left to itself it looks through all names of each customer for those that were clicked.
    return found.with_hint(affinities, "INDEXED BY ix_affinities_clicked", "sqlite")


@cache
def _clicked() -> Select[Any]:
    d, e = deliveries.c, engagements.c
    return (
        select(d.customer_id, links.c.label, func.count(d.id.distinct()))
        .select_from(engagements)
        .join(deliveries, d.id == e.delivery_id)
        .join(links, and_(links.c.digest == d.digest, links.c.number == e.link))
        .where(
            e.kind == Engagement.CLICKED.value,
            e.scanner.is_(None),
            e.at <= bindparam("now", type_=StoredMoment()),
            links.c.label != "",
            among(d.customer_id, "people"),
        )
        .group_by(d.customer_id, links.c.label)
    )


def _categories(connection: Connection, labels: Iterable[str]) -> set[str]:
    """Those of the labels that are categories: a product is of it, or somebody bought of it."""
    wanted = sorted(labels)
    if not wanted:
        return set()
    a = affinities.c
    of_products = select(products.c.category).where(products.c.category.in_(wanted))
    bought = select(a.name).where(is_of("category", a), a.name.in_(wanted), a.orders > 0)
    return set(connection.execute(of_products.union(bought)).scalars())


@cache
def _gone() -> Delete:
    a = affinities.c
    return delete(affinities).where(among(a.customer_id, "people"), a.orders == 0, a.clicks == 0)
