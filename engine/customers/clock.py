"""The shop's wall clock in SQL. Its zone is the same for every row, so its offsets are spelt out: nothing is looked up."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Integer, case, literal

from engine.store.types import epoch_seconds
from engine.store.zones import zone_rows

DAY = 86_400


def shop_seconds(moment: ColumnElement[Any], shop: str) -> ColumnElement[int]:
    """Whole seconds since midnight on the shop's clock."""
    epoch = epoch_seconds(moment)
    return (epoch + shop_offset(epoch, shop)) % DAY


def shop_offset(epoch: ColumnElement[Any], shop: str) -> ColumnElement[int]:
    """How many seconds the shop's clock was ahead of UTC."""
    rows = zone_rows(shop)
    whens = [(epoch < row["to_epoch"], row["seconds"]) for row in rows[:-1]]
    last = literal(rows[-1]["seconds"], Integer)
    return case(*whens, else_=last) if whens else last
