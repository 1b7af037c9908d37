"""Delivery reports of gateways: the far end has it. A report that comes twice lands once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from engine.store.session import insert_ignoring
from engine.store.tables import Engagement, deliveries, engagements

_ONCE = "once"


def record_delivered(connection: Connection, reference: str, at: datetime) -> bool:
    """Record that a message arrived. `reference` is what the gateway was given: the delivery's public id, a dash and
    the number of the attempt. False where no such message was ever sent."""
    public_id, _, attempt = reference.rpartition("-")
    row = connection.execute(
        select(deliveries.c.id, deliveries.c.attempts).where(deliveries.c.public_id == public_id)
    ).first()
    if row is None or not attempt.isdecimal() or int(attempt) > row.attempts:
        return False
    connection.execute(
        insert_ignoring(connection, engagements, ("delivery_id", "kind", "dedupe")).values(
            delivery_id=row.id, kind=Engagement.DELIVERED, at=at, dedupe=_ONCE, data={}
        )
    )
    return True
