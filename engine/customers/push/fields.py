"""The fields that each kind of push knows. One table: rows are checked by it, and the OpenAPI description is made of it.

The names, what is required and which words a field may hold come from `engine/definitions/import_columns`: a push
knows what an import knows. What an import takes from any other column stands here in `attributes`, so that a misspelt
name is told instead of becoming one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from engine.definitions.import_columns import AMOUNTS, BY_KIND, MOMENTS, WORDS

PushKind = Literal["customers", "orders", "products", "tags", "events"]
Holds = Literal[
    "id", "text", "moment", "amount", "count", "word", "flag", "attributes", "data", "items"
]
"""What a field means, and with it which JSON may stand there."""

PUSH_KINDS: tuple[PushKind, ...] = get_args(PushKind)
JSON_TYPES: Mapping[Holds, tuple[str, ...]] = {
    "id": ("string", "integer"),
    "text": ("string",),
    "moment": ("string",),
    "amount": ("string", "number", "integer"),
    "count": ("integer", "string"),
    "word": ("string",),
    "flag": ("boolean", "string"),
    "attributes": ("object",),
    "data": ("object",),
    "items": ("array",),
}
"""The types that may stand in a field, `null` aside, in the words of JSON Schema."""

_IDS = frozenset({"id", "customer_id", "sku", "dimension", "value", "kind"})
INDEXED = frozenset({"category", "brand"})
"""Text that is not longer than an id."""
_FLAGS = frozenset({"malicious", "email_consent", "sms_consent"})
_WITH_ATTRIBUTES = frozenset({"customers", "orders", "products"})


@dataclass(frozen=True, slots=True)
class Field:
    """`says`: a sentence for the sender. `words`: all that it may hold, in lower case."""

    name: str
    holds: Holds
    required: bool
    says: str
    example: Any
    words: tuple[str, ...] = ()

    @property
    def types(self) -> tuple[str, ...]:
        """The JSON types that it takes. What is not required may be null, which empties it as a blank cell does."""
        types = JSON_TYPES[self.holds]
        return types if self.required else (*types, "null")


_SAYS: Mapping[str, tuple[str, Any]] = {
    "customers.id": ("The shop's own id of the customer.", "C1001"),
    "name": ("Masked names leave what is known.", "李梅"),
    "email": ("Trimmed and lower-cased.", "mei.li@example.com"),
    "phone": ("Without a country code a Chinese number.", "13800138000"),
    "phone_valid_until": ("From then on the number is no address.", "2026-12-31T00:00+08:00"),
    "gender": ("Free text.", "female"),
    "birthday": ("`1990-02-28`, or `--02-28` without the year.", "1990-02-28"),
    "birthday_calendar": ("Null means solar.", "solar"),
    "timezone": ("A zone of the IANA database.", "Asia/Shanghai"),
    "language": ("Chooses the language of templates.", "zh"),
    "province": ("As given; else it is read from the address.", "广东"),
    "city": ("As given; else it is read from the address.", "广州"),
    "address": ("The postal address.", "天河区体育西路 1 号"),
    "joined_at": ("When the customer joined.", "2025-01-02T03:04:05+08:00"),
    "malicious": ("True: never written to.", False),
    "email_consent": ("For marketing and care; null is unknown.", True),
    "sms_consent": ("For marketing and care; null is unknown.", "yes"),
    "orders.id": ("The shop's own id of the order.", "A1001"),
    "customer_id": ("The id of a customer who is there.", "C1001"),
    "status": ("Null, and an order whose status was never told, is `received`.", "paid"),
    "placed_at": ("When it was placed. Without an offset in the shop's zone.", "2026-11-10T10:00:00+08:00"),
    "paid_at": ("When it was paid.", "2026-11-10T10:05:00+08:00"),
    "shipped_at": ("When it was shipped.", "2026-11-10T18:00:00+08:00"),
    "arrived_at": ("When it came to the customer's city.", "2026-11-12T09:00:00+08:00"),
    "received_at": ("When the customer signed for it.", "2026-11-12T15:00:00+08:00"),
    "refunded_at": ("When it was refunded.", "2026-11-15T15:00:00+08:00"),
    "refunded_amount": ("What was refunded.", "20.00"),
    "amount": ("What was paid, in the shop's currency.", "199.50"),
    "currency": ("The shop's: another one is refused.", "CNY"),
    "orders.quantity": ("How many pieces.", 2),
    "coupon": ("The coupon that was used.", "double11-20"),
    "source": ("Where the order came from.", "app"),
    "sku": ("The shop's own id of the product.", "TEA-100"),
    "title": ("What it is called.", "明前龙井 100g"),
    "category": ("At most 255 characters.", "green-tea"),
    "brand": ("At most 255 characters.", "龙井村"),
    "size": ("As the shop calls its sizes.", "100g"),
    "items.quantity": ("How many of it; null counts as one.", 1),
    "price": ("Of one piece, in the shop's currency.", "199.50"),
    "url": ("The page of the product.", "https://shop.example/tea-100"),
    "image": ("A picture of the product.", "https://shop.example/tea-100.jpg"),
    "dimension": ("The kind of tag.", "temper"),
    "value": ("The tag.", "picky"),
    "tagged_at": ("Null: now. A tag that is there keeps its time.", "2026-11-10T11:00:00+08:00"),
    "by": ("Who put it.", "小王"),
    "events.id": ("The event's own id; without one it is known by the digest of all the rest.", "E1001"),
    "kind": ("What happened, in the shop's words.", "review"),
    "at": ("When it happened.", "2026-11-10T12:00:00+08:00"),
    "data": ("Anything more; its numbers stay numbers.", {"score": 5, "words": 120}),
}  # fmt: skip
_MORE: Mapping[str, tuple[str, Any]] = {
    "attributes": ("Further facts by name, kept as text; names that do not come stay.", {"level": "gold"}),
    "items": ("What was ordered. It replaces the items that are known; without it they stay.", [{"sku": "TEA-100", "quantity": 1}]),
}  # fmt: skip


def _field(kind: str, name: str) -> Field:
    says, example = _SAYS.get(f"{kind}.{name}") or _SAYS[name]
    required = name in BY_KIND[kind].required
    return Field(name, _holds(name), required, says, example, WORDS.get(name, ()))


def _holds(name: str) -> Holds:
    if name in _FLAGS:
        return "flag"
    if name in WORDS:
        return "word"
    if name in MOMENTS:
        return "moment"
    if name in AMOUNTS:
        return "amount"
    if name in _IDS:
        return "id"
    return "count" if name == "quantity" else "data" if name == "data" else "text"


def _more(name: Literal["attributes", "items"]) -> Field:
    says, example = _MORE[name]
    return Field(name, name, False, says, example)


def _fields(kind: str) -> dict[str, Field]:
    fields = {name: _field(kind, name) for name in BY_KIND[kind].known}
    if kind == "orders":
        fields["items"] = _more("items")
    if kind in _WITH_ATTRIBUTES:
        fields["attributes"] = _more("attributes")
    return fields


def _item_fields() -> dict[str, Field]:
    """An item stands in its order, so it names none. Its sku may be unknown."""
    names = [name for name in BY_KIND["items"].known if name != "order_id"]
    return {name: _field("items", name) for name in names}


FIELDS: Mapping[PushKind, Mapping[str, Field]] = {kind: _fields(kind) for kind in PUSH_KINDS}
ITEM_FIELDS: Mapping[str, Field] = _item_fields()
