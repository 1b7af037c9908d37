"""From claimed rows to what goes on the wire: loads a batch with its customers and orders, renders one at a time.

Templates are compiled once per version and language and kept for as long as the process lives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from email.utils import parseaddr
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from engine.channels.base import Envelope
from engine.definitions.campaign import Step
from engine.errors import ConfigurationError
from engine.rendering.context import (
    CUSTOMER_COLUMNS,
    MessageData,
    customer_context,
    item_context,
    order_context,
)
from engine.rendering.email import EmailCompiler
from engine.rendering.sms import SmsCompiler
from engine.settings import Settings
from engine.store.catalog import Version
from engine.store.tables import customers, deliveries, order_items, orders
from engine.tokens import Signer

_ROW = (
    deliveries.c.id, deliveries.c.public_id, deliveries.c.run_id, deliveries.c.customer_id,
    deliveries.c.order_id, deliveries.c.digest, deliveries.c.channel, deliveries.c.channel_index,
    deliveries.c.address_hash, deliveries.c.attempts, deliveries.c.not_after, deliveries.c.send_at,
)  # fmt: skip
_CUSTOMER = tuple(customers.c[name] for name in ("id", *CUSTOMER_COLUMNS))


class Letter(NamedTuple):
    """One claimed delivery, not rendered yet. `row` holds what the sending needs of the delivery's row."""

    row: Any
    version: Version
    customer: Mapping[str, Any]
    order: Mapping[str, Any] | None
    items: Sequence[Mapping[str, Any]]

    @property
    def step(self) -> Step:
        return self.version.definition.steps[0]


class Rendered(NamedTuple):
    envelope: Envelope
    parts: int | None  # SMS parts


def load_letters(
    connection: Connection, batch: str, worker: str, version_of: Mapping[str, Version]
) -> list[Letter]:
    """The rows of a batch that this worker claimed, in the order in which they may go. `version_of` is by digest."""
    rows = connection.execute(
        select(*_ROW)
        .where(
            deliveries.c.batch == batch,
            deliveries.c.worker == worker,
            deliveries.c.state == "queued",
        )
        .order_by(deliveries.c.send_at, deliveries.c.id)
    ).all()
    people = _customers(connection, batch)
    bought = _orders(connection, {row.order_id for row in rows if row.order_id is not None})
    contents = _items(connection, bought)
    return [
        Letter(
            row,
            version_of[row.digest],
            people[row.customer_id],
            bought.get(row.order_id),
            contents.get(row.order_id, ()),
        )
        for row in rows
    ]


def _customers(connection: Connection, batch: str) -> Mapping[int, Mapping[str, Any]]:
    rows = connection.execute(
        select(*_CUSTOMER)
        .join(deliveries, deliveries.c.customer_id == customers.c.id)
        .where(deliveries.c.batch == batch)
    )
    return {row.id: row._asdict() for row in rows}


def _orders(connection: Connection, ids: Iterable[int]) -> Mapping[int, Mapping[str, Any]]:
    wanted = list(ids)
    if not wanted:
        return {}
    rows = connection.execute(select(orders).where(orders.c.id.in_(wanted)))
    return {row.id: row._asdict() for row in rows}


def _items(connection: Connection, ids: Iterable[int]) -> Mapping[int, Sequence[Mapping[str, Any]]]:
    wanted = list(ids)
    found: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    if wanted:
        query = select(order_items).where(order_items.c.order_id.in_(wanted))
        for row in connection.execute(query.order_by(order_items.c.position)):
            found[row.order_id].append(item_context(row._asdict()))
    return found


class Writer:
    """Renders letters. One per worker process."""

    def __init__(self, settings: Settings, signer: Signer, timezone: str) -> None:
        self._settings, self._signer, self._timezone = settings, signer, timezone
        self._host = message_host(settings)
        self._email: dict[str, EmailCompiler] = {}
        self._sms: dict[str, SmsCompiler] = {}

    def render(self, letter: Letter, now: datetime) -> Rendered:
        """The envelope for the wire. Raises RenderingError on the customer's data or a broken template."""
        data = MessageData(
            delivery=letter.row.public_id,
            message_id=f"<{letter.row.public_id}@{self._host}>",
            customer=customer_context(letter.customer),
            order=order_context(letter.order) if letter.order is not None else None,
            items=letter.items,
            now=now,
        )
        if letter.row.channel == "sms":
            return self._render_sms(letter, data)
        return self._render_email(letter, data)

    def _render_email(self, letter: Letter, data: MessageData) -> Rendered:
        compiler = self._email.get(letter.row.digest)
        if compiler is None:
            version = letter.version
            compiler = self._email[letter.row.digest] = EmailCompiler(
                self._settings,
                self._signer,
                version.files,
                version.definition,
                timezone=self._timezone,
            )
        compiled = compiler.compile(letter.step, letter.customer["language"])
        body = compiled.compose(data)
        envelope = Envelope(
            letter.row.public_id,
            envelope_sender(self._settings, letter.step),
            letter.customer["email"],
            body,
        )
        return Rendered(envelope, None)

    def _render_sms(self, letter: Letter, data: MessageData) -> Rendered:
        compiler = self._sms.get(letter.row.digest)
        if compiler is None:
            version = letter.version
            compiler = self._sms[letter.row.digest] = SmsCompiler(
                self._settings, version.files, version.definition, timezone=self._timezone
            )
        sms = compiler.compile(letter.step, letter.customer["language"]).render(data)
        envelope = Envelope(
            f"{letter.row.public_id}-{letter.row.attempts + 1}",
            sms.sms_type,
            letter.customer["phone"],
            sms.text.encode(),
        )
        return Rendered(envelope, sms.parts)


def message_host(settings: Settings) -> str:
    """The right side of Message-IDs: the sender's domain, which the shop owns."""
    address = _address(settings.smtp.sender)
    return address.rpartition("@")[2] or "localhost"


def envelope_sender(settings: Settings, step: Step) -> str:
    """MAIL FROM: the step's own sender, else the project's. Raises ConfigurationError where there is none."""
    address = _address((step.email.sender if step.email else "") or settings.smtp.sender)
    if not address:
        raise ConfigurationError("no sender: set smtp.sender in yanshu.toml, or `from` in the step")
    return address


@lru_cache(maxsize=256)
def _address(mailbox: str) -> str:
    """The address of `店铺 <hi@shop.example>`."""
    return parseaddr(mailbox)[1]
