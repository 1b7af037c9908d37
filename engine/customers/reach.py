"""How many customers can be reached: by which channel, with which class of message."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    FromClause,
    Select,
    Subquery,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)

from engine.audience.malicious import is_malicious
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.policy import Policy
from engine.store.tables import consents, customers, suppressions

CHANNELS: tuple[Channel, ...] = ("email", "sms")
CLASSES: tuple[MessageClass, ...] = ("marketing", "care")


def reach(
    connection: Connection, policy: Policy, now: datetime
) -> Mapping[tuple[Channel, MessageClass], int]:
    """Customers with an address that is valid, not suppressed, and allowed by consent; malicious ones do not count."""
    found: dict[tuple[Channel, MessageClass], int] = {}
    for channel in CHANNELS:
        numbers = connection.execute(_question(channel, policy, now)).one()
        found.update({(channel, name): numbers[place] for place, name in enumerate(CLASSES)})
    return found


def _question(channel: Channel, policy: Policy, now: datetime) -> Select[*tuple[Any, ...]]:
    address = customers.c.email_hash if channel == "email" else customers.c.phone_hash
    people: FromClause = customers
    counts = []
    for name in CLASSES:
        latest = _latest(channel, name)
        people = people.outerjoin(latest, latest.c.address_hash == address)
        unknown = literal(policy.unknown_consent[channel, name])
        counts.append(func.count(case((func.coalesce(latest.c.granted, unknown), 1))))
    suppressed = exists().where(
        suppressions.c.address_hash == address, suppressions.c.channel == channel
    )
    question = select(*counts).select_from(people)
    question = question.where(address.is_not(None), ~is_malicious(), ~suppressed)
    if channel == "sms":
        until = customers.c.phone_valid_until
        question = question.where(or_(until.is_(None), until >= now))
    return question


def _latest(channel: Channel, name: MessageClass) -> Subquery:
    """The row of the ledger that holds, per address."""
    newest = (
        select(func.max(consents.c.id))
        .where(consents.c.channel == channel, consents.c["class"] == name)
        .group_by(consents.c.address_hash)
    )
    columns = (consents.c.address_hash, consents.c.granted)
    return select(*columns).where(consents.c.id.in_(newest)).subquery(f"latest_{name}")
