"""What a template sees: plain dicts with every key always there, so that a misspelt name is an error and nothing else is.

Text that is unknown is `""`, so `{{ customer.name or '您好' }}` reads naturally; unknown times and numbers are None and
print as nothing. The internal key of a row never gets in: `id` is the shop's own id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from engine.settings import Settings

_CUSTOMER_TEXTS = (
    "name", "email", "phone", "gender", "birthday", "birthday_calendar", "timezone", "language",
    "province", "city", "address",
)  # fmt: skip
_ORDER_TEXTS = ("status", "currency", "coupon", "source")
_ORDER_VALUES = (
    "placed_at", "paid_at", "shipped_at", "arrived_at", "received_at", "refunded_at",
    "refunded_amount", "amount", "quantity",
)  # fmt: skip
_ITEM_TEXTS = ("sku", "title", "category", "brand", "size")
_ITEM_VALUES = ("quantity", "price")
_UNKNOWN = dict.fromkeys(
    (
        *("ref", "joined_at", "attributes", *_CUSTOMER_TEXTS),
        *(*_ORDER_TEXTS, *_ORDER_VALUES, *_ITEM_TEXTS, *_ITEM_VALUES),
    )
)
"""Every column that a context reads."""

CUSTOMER_COLUMNS = ("ref", *_CUSTOMER_TEXTS, "joined_at", "attributes")
"""What `customer_context` reads of a row of `customers`."""
CUSTOMER_KEYS = frozenset({"id", *_CUSTOMER_TEXTS, "joined_at", "attributes"})
ORDER_KEYS = frozenset({"id", *_ORDER_TEXTS, *_ORDER_VALUES, "attributes"})
ITEM_KEYS = frozenset({*_ITEM_TEXTS, *_ITEM_VALUES})
SHOP_KEYS = frozenset({"name", "url", "address", "language", "timezone"})
LINK_KEYS = frozenset({"unsubscribe", "view"})
KEYS = {
    "customer": CUSTOMER_KEYS,
    "order": ORDER_KEYS,
    "shop": SHOP_KEYS,
    "links": LINK_KEYS,
}
"""The keys of each dict that a template may name; `items` is a list of dicts with ITEM_KEYS."""

SMS_NAMES = frozenset({"customer", "order", "items", "shop", "now"})
EMAIL_NAMES = SMS_NAMES | {"links", "subject", "preheader"}
NOT_YET = frozenset({"coupon"})
"""Names that the design promises and this version does not fill."""


class MessageData(NamedTuple):
    """Everything that varies between two messages of one compiled template.

    `delivery` is the public id, `message_id` stands in the header as given (with or without angle brackets), `now` is
    aware UTC. `tracked` False (preview, send-test): links go straight to their targets and there is no pixel.
    """

    delivery: str
    message_id: str
    customer: Mapping[str, Any]
    order: Mapping[str, Any] | None
    items: Sequence[Mapping[str, Any]]
    now: datetime
    tracked: bool = True


def customer_context(row: Mapping[str, Any]) -> dict[str, Any]:
    """`customer` of a template, from a row of `customers` (columns that the row lacks count as unknown)."""
    return _known(_customer, row)


def order_context(row: Mapping[str, Any]) -> dict[str, Any]:
    """`order` of a template, from a row of `orders`; amounts are whole numbers of the smallest unit (filter `money`)."""
    return _known(_order, row)


def item_context(row: Mapping[str, Any]) -> dict[str, Any]:
    """One of `items`, from a row of `order_items`."""
    return _known(_item, row)


def _known(
    context: Callable[[Mapping[str, Any]], dict[str, Any]], row: Mapping[str, Any]
) -> dict[str, Any]:
    """The context of a row, whether or not it has all columns.

    Rows from the database have them, and SQLAlchemy answers `row[key]` four times as fast as `row.get(key)`.
    """
    try:
        return context(row)
    except KeyError:
        return context({**_UNKNOWN, **row})


def _customer(row: Mapping[str, Any]) -> dict[str, Any]:
    context = {key: row[key] or "" for key in _CUSTOMER_TEXTS}
    context["id"] = row["ref"] or ""
    context["joined_at"] = row["joined_at"]
    context["attributes"] = row["attributes"] or {}
    return context


def _order(row: Mapping[str, Any]) -> dict[str, Any]:
    context = {key: row[key] or "" for key in _ORDER_TEXTS}
    context.update((key, row[key]) for key in _ORDER_VALUES)
    context["id"] = row["ref"] or ""
    context["attributes"] = row["attributes"] or {}
    return context


def _item(row: Mapping[str, Any]) -> dict[str, Any]:
    context = {key: row[key] or "" for key in _ITEM_TEXTS}
    context.update((key, row[key]) for key in _ITEM_VALUES)
    return context


def shop_context(settings: Settings, timezone: str) -> dict[str, Any]:
    """`shop` of a template: how the shop calls itself, and its zone (in which dates are shown by default).

    Without an address of its own the shop is where its links arrive, so that no link leads nowhere.
    """
    shop = settings.shop
    return {
        "name": shop.name,
        "url": shop.url or settings.web_url,
        "address": shop.address,
        "language": shop.language,
        "timezone": timezone,
    }


def message_context(data: MessageData, shop: Mapping[str, Any]) -> dict[str, Any]:
    """The names of one message that email and SMS share. Without an order `order` is None."""
    return {
        "customer": data.customer,
        "order": data.order,
        "items": data.items,
        "shop": shop,
        "now": data.now,
    }
