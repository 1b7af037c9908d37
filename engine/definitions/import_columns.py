"""The columns that each kind of import knows: what a mapping may fill. `engine/customers` reads what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.conditions import STATUSES


@dataclass(frozen=True, slots=True)
class ImportColumns:
    """`required`: each row has these. `any_of`: it has one of these."""

    known: tuple[str, ...]
    required: tuple[str, ...]
    any_of: tuple[str, ...] = ()


CUSTOMERS = ImportColumns(
    known=(
        "id", "name", "email", "phone", "phone_valid_until", "gender", "birthday",
        "birthday_calendar", "timezone", "language", "province", "city", "address", "joined_at",
        "malicious", "email_consent", "sms_consent",
    ),
    required=("id",),
)  # fmt: skip
ORDERS = ImportColumns(
    known=(
        "id", "customer_id", "status", "placed_at", "paid_at", "shipped_at", "arrived_at",
        "received_at", "refunded_at", "refunded_amount", "amount", "currency", "quantity",
        "coupon", "source",
    ),
    required=("id", "customer_id", "placed_at", "amount"),
)  # fmt: skip
ITEMS = ImportColumns(
    known=("order_id", "sku", "title", "category", "brand", "size", "quantity", "price"),
    required=("order_id",),
)
PRODUCTS = ImportColumns(
    known=("sku", "title", "category", "brand", "url", "image", "price"),
    required=("sku",),
)
TAGS = ImportColumns(
    known=("customer_id", "dimension", "value", "tagged_at", "by"),
    required=("customer_id", "dimension", "value"),
)
EVENTS = ImportColumns(
    known=("id", "customer_id", "kind", "at", "data"),
    required=("customer_id", "kind", "at"),
)
CONTACTS = ImportColumns(
    known=("customer_id", "channel", "class", "at"),
    required=("customer_id", "channel", "class", "at"),
)
SUPPRESSIONS = ImportColumns(
    known=("address", "email", "phone", "channel", "reason", "at", "note"),
    required=(),
    any_of=("address", "email", "phone"),
)

BY_KIND: Mapping[str, ImportColumns] = {
    "customers": CUSTOMERS,
    "orders": ORDERS,
    "items": ITEMS,
    "products": PRODUCTS,
    "tags": TAGS,
    "events": EVENTS,
    "contacts": CONTACTS,
    "suppressions": SUPPRESSIONS,
}
BUYER = (
    "name", "email", "phone", "phone_valid_until", "gender", "timezone", "language", "province",
    "city", "address", "email_consent", "sms_consent",
)  # fmt: skip
"""What an order may say of the customer that it makes."""

MOMENTS = frozenset((
    "phone_valid_until", "joined_at", "placed_at", "paid_at", "shipped_at", "arrived_at",
    "received_at", "refunded_at", "tagged_at", "at",
))  # fmt: skip
AMOUNTS = frozenset(("amount", "refunded_amount", "price"))
_YES_NO = ("yes", "no")
WORDS: Mapping[str, tuple[str, ...]] = {
    "status": STATUSES,
    "birthday_calendar": ("solar", "lunar"),
    "malicious": _YES_NO,
    "email_consent": _YES_NO,
    "sms_consent": _YES_NO,
    "channel": get_args(Channel),
    "class": get_args(MessageClass),
    "reason": ("hard_bounce", "complaint", "operator", "import"),
}
"""Columns that hold one of these words."""
