"""Leaving the list: who an unsubscribe token speaks for, and withdrawing their consent.

RFC 8058: the token alone identifies recipient and list, so what counts is the address that the message went to,
not what the customer's record says today. A withdrawal goes into the consent ledger, where the gate sees it with
its next look; the delivery itself gets one `unsubscribed` event however often the button is pressed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, Row, func, select

from engine.customers.consent import withdraw
from engine.definitions.campaign import Channel, MessageClass
from engine.store.session import insert_ignoring
from engine.store.tables import Engagement, consents, customers, deliveries, engagements

WITHDRAWABLE: tuple[MessageClass, ...] = ("marketing", "care")
"""What an unsubscription covers. Transactional messages are part of an order and stay."""

_ONCE = "once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """The address behind an unsubscribe token.

    `address` is masked, and None where it is not known any more (the customer has another one by now);
    `withdrawn` are the classes that this address has refused already.
    """

    delivery_id: int
    address_hash: str
    channel: Channel
    language: str | None
    address: str | None
    withdrawn: frozenset[str]

    @property
    def is_out(self) -> bool:
        """Whether there is nothing left to withdraw."""
        return self.withdrawn.issuperset(WITHDRAWABLE)


def find_subscriber(connection: Connection, delivery: str) -> Subscriber | None:
    """Who the delivery with this public id went to; None where it, or its address, is no longer known."""
    columns = (
        deliveries.c.id, deliveries.c.channel, deliveries.c.address_hash,
        customers.c.email, customers.c.email_hash, customers.c.phone, customers.c.phone_hash,
        customers.c.language,
    )  # fmt: skip
    row = connection.execute(
        select(*columns)
        .join(customers, customers.c.id == deliveries.c.customer_id)
        .where(deliveries.c.public_id == delivery)
    ).first()
    if row is None:
        return None
    # A retried delivery has lost its channel until it is admitted again; its first copy may be out all the same.
    channel = cast("Channel", row.channel or ("email" if row.email_hash else "sms"))
    own_hash = row.email_hash if channel == "email" else row.phone_hash
    address_hash = row.address_hash or own_hash
    if address_hash is None:
        return None
    return Subscriber(
        delivery_id=row.id,
        address_hash=address_hash,
        channel=channel,
        language=row.language,
        address=_masked(row, channel) if own_hash == address_hash else None,
        withdrawn=_withdrawn(connection, address_hash, channel),
    )


def unsubscribe(
    connection: Connection,
    subscriber: Subscriber,
    classes: Collection[MessageClass],
    *,
    at: datetime,
    wording: str,
) -> frozenset[str]:
    """Withdraw these classes (never transactional) for the subscriber's address and channel; pressing again changes
    nothing. Returns all classes that are withdrawn now. `wording`: what the person was shown."""
    wanted: list[MessageClass] = [name for name in WITHDRAWABLE if name in classes]
    # Also where an import said no already: only the person's own word stands against a later imported yes.
    withdraw(
        connection, subscriber.address_hash, subscriber.channel, wanted,
        at=at, source="person", wording=wording,
    )  # fmt: skip
    _record_once(connection, subscriber.delivery_id, at, wanted)
    return subscriber.withdrawn.union(wanted)


def _withdrawn(connection: Connection, address_hash: str, channel: str) -> frozenset[str]:
    newest = (
        select(func.max(consents.c.id))
        .where(consents.c.address_hash == address_hash, consents.c.channel == channel)
        .group_by(consents.c["class"])
    )
    rows = connection.execute(
        select(consents.c["class"]).where(consents.c.id.in_(newest), ~consents.c.granted)
    )
    return frozenset(rows.scalars())


def _record_once(
    connection: Connection, delivery_id: int, at: datetime, classes: list[MessageClass]
) -> None:
    connection.execute(
        insert_ignoring(connection, engagements, ("delivery_id", "kind", "dedupe")).values(
            delivery_id=delivery_id,
            kind=Engagement.UNSUBSCRIBED.value,
            at=at,
            dedupe=_ONCE,
            data={"classes": classes},
        )
    )


def _masked(row: Row[*tuple[Any, ...]], channel: Channel) -> str | None:
    return mask_email(row.email) if channel == "email" else mask_phone(row.phone)


def mask_email(email: str | None) -> str | None:
    """
    >>> mask_email("zhang.wei@qq.com")
    'z•••@qq.com'
    """
    if not email or "@" not in email:
        return None
    name, _, domain = email.rpartition("@")
    return f"{name[:1]}•••@{domain}"


def mask_phone(phone: str | None) -> str | None:
    """
    >>> mask_phone("+8613812345678")
    '+86•••5678'
    """
    return f"{phone[:3]}•••{phone[-4:]}" if phone and len(phone) >= 8 else None
