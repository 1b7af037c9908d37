"""Made-up messages on which templates are tried when they are compiled or linted. Nobody gets them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from engine.rendering.context import (
    MessageData,
    customer_context,
    item_context,
    order_context,
)

_NOW = datetime(2026, 11, 9, 2, 0, tzinfo=UTC)
_CUSTOMER = {
    "ref": "10086", "name": "林小雁", "email": "lin@mail.example", "phone": "+8613800138000",
    "gender": "female", "birthday": "1990-02-28", "birthday_calendar": "solar",
    "timezone": "Asia/Shanghai", "language": "zh", "province": "浙江", "city": "杭州",
    "address": "西湖区龙井路 1 号", "joined_at": _NOW - timedelta(days=400),
}  # fmt: skip
_ORDER = {
    "ref": "20261101-0042", "status": "received", "placed_at": _NOW - timedelta(days=8),
    "paid_at": _NOW - timedelta(days=8), "shipped_at": _NOW - timedelta(days=7),
    "arrived_at": _NOW - timedelta(days=5), "received_at": _NOW - timedelta(days=5),
    "refunded_at": _NOW - timedelta(days=2), "refunded_amount": 8800, "amount": 25600,
    "currency": "CNY", "quantity": 3, "coupon": "", "source": "shop",
}  # fmt: skip
_ITEMS = (
    {"sku": "T-01", "title": "明前龙井 50g", "category": "tea", "brand": "山海", "size": "50g",
     "quantity": 1, "price": 16800},
    {"sku": "C-07", "title": "云南日晒咖啡豆", "category": "coffee", "brand": "山海", "size": "227g",
     "quantity": 2, "price": 4400},
)  # fmt: skip


def samples(*, tracked: bool = True) -> tuple[MessageData, ...]:
    """An order with items; one whose items are unknown, to a customer hardly known; that customer and the first one
    without an order."""
    known, order = customer_context(_CUSTOMER), order_context(_ORDER)
    bare = customer_context({"ref": "1", "email": "a@mail.example", "phone": "+8613800138000"})
    items = [item_context(item) for item in _ITEMS]
    return tuple(
        MessageData(
            f"{number:020x}", "<sample@mail.example>", customer, placed, rows, _NOW, tracked
        )
        for number, (customer, placed, rows) in enumerate(
            [(known, order, items), (bare, order, []), (bare, None, []), (known, None, [])]
        )
    )
