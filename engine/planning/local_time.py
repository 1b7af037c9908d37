"""Local time in SQL: wall clocks by joining the zone table, in whole seconds, the same on both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case, select

from engine.store.tables import zone_offsets

DAY = 86_400


def local_seconds(epoch: ColumnElement[Any], zone: ColumnElement[Any]) -> ColumnElement[int]:
    """Wall-clock seconds (since 1970-01-01 00:00 local) of a UTC epoch in a zone."""
    offset = zone_offsets.alias()
    seconds = (
        select(offset.c.seconds)
        .where(offset.c.zone == zone, offset.c.from_epoch <= epoch, epoch < offset.c.to_epoch)
        .scalar_subquery()
    )
    return epoch + seconds


def utc_epoch(local: ColumnElement[Any], zone: ColumnElement[Any]) -> ColumnElement[int]:
    """The UTC epoch of wall-clock seconds: in a DST gap the first valid moment after it, in an overlap the first.

    The first stretch of constant offset whose local end lies after `local` holds it, or follows the gap it fell in.
    """
    offset = zone_offsets.alias()
    moment = local - offset.c.seconds
    first = case((moment < offset.c.from_epoch, offset.c.from_epoch), else_=moment)
    return (
        select(first)
        .where(offset.c.zone == zone, offset.c.to_epoch + offset.c.seconds > local)
        .order_by(offset.c.from_epoch)
        .limit(1)
        .scalar_subquery()
    )
