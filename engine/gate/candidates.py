"""What the gate is asked about: planned deliveries joined with their customers, and the catalog it looks rules up in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Select, select

from engine.audience.home import known_zone
from engine.audience.malicious import is_malicious
from engine.definitions.campaign import Campaign, Care, Channel, MessageClass
from engine.definitions.policy import Policy
from engine.definitions.segment import Segment
from engine.store.among import among
from engine.store.tables import customers, deliveries


class Candidate(NamedTuple):
    """One planned delivery with what the gate needs of its customer, column by column of `_CANDIDATES`. `timezone`
    None: the shop's. (A tuple: a thousand are made in every batch.)"""

    id: int
    public_id: str
    definition: str
    step: str
    customer_id: int
    anchor: str
    order_id: int | None
    digest: str
    message_class: MessageClass
    priority: int
    due_at: datetime
    not_after: datetime
    channel_index: int
    email: str | None
    email_hash: str | None
    email_domain: str | None
    phone: str | None
    phone_hash: str | None
    phone_valid_until: datetime | None
    timezone: str | None
    malicious: bool

    def address_hash(self, channel: Channel) -> str | None:
        return self.email_hash if channel == "email" else self.phone_hash

    def address(self, channel: Channel) -> str | None:
        return self.email if channel == "email" else self.phone


class Version(Protocol):
    """The part of an applied version that the gate reads."""

    @property
    def definition(self) -> Campaign | Care: ...

    @property
    def segments(self) -> Mapping[str, Segment]: ...


class Catalog(Protocol):
    """The part of the catalog that the gate reads."""

    @property
    def policy(self) -> Policy: ...

    def version(self, connection: Connection, digest: str) -> Version: ...


_CANDIDATES: Select[Any] = (
    select(
        deliveries.c.id,
        deliveries.c.public_id,
        deliveries.c.definition,
        deliveries.c.step,
        deliveries.c.customer_id,
        deliveries.c.anchor,
        deliveries.c.order_id,
        deliveries.c.digest,
        deliveries.c["class"],
        deliveries.c.priority,
        deliveries.c.due_at,
        deliveries.c.not_after,
        deliveries.c.channel_index,
        customers.c.email,
        customers.c.email_hash,
        customers.c.email_domain,
        customers.c.phone,
        customers.c.phone_hash,
        customers.c.phone_valid_until,
        known_zone().label("timezone"),
        is_malicious(),
    )
    .where(
        customers.c.id == deliveries.c.customer_id,
        deliveries.c.state == "planned",
        among(deliveries.c.id, "ids"),
    )
    .order_by(deliveries.c.priority.desc(), deliveries.c.next_at, deliveries.c.id)
)


def load_candidates(connection: Connection, ids: Iterable[int]) -> list[Candidate]:
    """Those of these deliveries that are still planned, in the gate's order: priority, then who has waited longest."""
    return list(map(Candidate._make, connection.execute(_CANDIDATES, {"ids": ids}).all()))
