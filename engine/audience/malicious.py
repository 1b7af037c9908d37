"""Who is malicious: whom an import or a push marked, or who has a tag of the dimension `malicious`, by hand or by a rule."""

from __future__ import annotations

from sqlalchemy import ColumnElement, ScalarSelect, case, exists, func, or_, select

from engine.definitions.tagging import CLEARED, MALICIOUS
from engine.store.tables import customers, profiles, tags

_TAG = (
    tags.c.customer_id == customers.c.id,
    tags.c.dimension == MALICIOUS,
    tags.c.value != CLEARED,
)


def is_malicious() -> ColumnElement[bool]:
    """Of a row of `customers`. By index: it is asked of every message before it goes out."""
    return or_(customers.c.malicious, exists().where(*_TAG).correlate(customers))


def malicious_tag() -> ScalarSelect[str]:
    """Which value of the dimension says so of a row of `customers`; NULL where none does."""
    return select(func.min(tags.c.value)).where(*_TAG).correlate(customers).scalar_subquery()


def class_of_customer() -> ColumnElement[str]:
    """Of a row of `customers` beside its profile; before there is one a customer is a prospect."""
    by_orders = func.coalesce(profiles.c["class"], "prospect")
    return case((is_malicious(), "malicious"), else_=by_orders)
