"""From claimed rows to what goes on the wire: loads a batch with its customers and orders, renders one at a time.

Templates are compiled once per version and language and kept for as long as the process lives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from email.utils import parseaddr
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from engine.channels.base import Envelope
from engine.definitions.campaign import Channel, Step
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


class Row(NamedTuple):
    """What the sending needs of a delivery's row."""

    id: int
    public_id: str
    run_id: int
    customer_id: int
    order_id: int | None
    digest: str
    channel: Channel
    channel_index: int
    address_hash: str | None
    attempts: int
    not_after: datetime
    send_at: datetime
    step: str
    variant: str | None


_WIDTH = len(Row._fields)
_QUERY = (
    select(
        *(deliveries.c[name] for name in Row._fields),
        *(customers.c[name] for name in CUSTOMER_COLUMNS),
    )
    .join(customers, customers.c.id == deliveries.c.customer_id)
    .order_by(deliveries.c.send_at, deliveries.c.id)
)


class Letter(NamedTuple):
    """One claimed delivery, not rendered yet. `customer`, `order` and `items` are what a template sees of them."""

    row: Row
    version: Version
    customer: Mapping[str, Any]
    order: Mapping[str, Any] | None
    items: Sequence[Mapping[str, Any]]

    @property
    def step(self) -> Step:
        """The step, in the wording that the row was admitted with."""
        step = self.version.definition.step(self.row.step)
        assert step is not None, "the gate admits no step that the version does not have"
        return step if step.is_plain else step.worded(self.row.channel, self.row.variant)


class Rendered(NamedTuple):
    envelope: Envelope
    parts: int | None  # SMS parts


def load_letters(
    connection: Connection, batch: str, worker: str, version_of: Mapping[str, Version]
) -> list[Letter]:
    """The rows of a batch that this worker claimed, in the order in which they may go. `version_of` is by digest."""
    found = connection.execute(
        _QUERY.where(
            deliveries.c.batch == batch,
            deliveries.c.worker == worker,
            deliveries.c.state == "queued",
        )
    ).all()
    rows = [Row._make(values[:_WIDTH]) for values in found]
    people = [
        customer_context(dict(zip(CUSTOMER_COLUMNS, values[_WIDTH:], strict=True)))
        for values in found
    ]
    bought = _orders(connection, {row.order_id for row in rows if row.order_id is not None})
    contents = _items(connection, bought)
    return [
        Letter(
            row,
            version_of[row.digest],
            customer,
            bought.get(row.order_id),
            contents.get(row.order_id, ()),
        )
        for row, customer in zip(rows, people, strict=True)
    ]


def _orders(connection: Connection, ids: Iterable[int]) -> Mapping[int | None, Mapping[str, Any]]:
    wanted = list(ids)
    if not wanted:
        return {}
    rows = connection.execute(select(orders).where(orders.c.id.in_(wanted)))
    return {row.id: order_context(row._asdict()) for row in rows}


def _items(
    connection: Connection, ids: Iterable[int | None]
) -> Mapping[int | None, Sequence[Mapping[str, Any]]]:
    wanted = list(ids)
    found: dict[int | None, list[Mapping[str, Any]]] = defaultdict(list)
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
        public_id = letter.row.public_id
        data = MessageData(
            public_id,
            f"<{public_id}@{self._host}>",
            letter.customer,
            letter.order,
            letter.items,
            now,
        )
        if letter.row.channel == "sms":
            return self._render_sms(letter, data)
        return self._render_email(letter, data)

    def _render_email(self, letter: Letter, data: MessageData) -> Rendered:
        compiler = self._email.get(letter.row.digest)
        if compiler is None:
            compiler = self._email[letter.row.digest] = self._email_compiler(letter.version)
        customer = letter.customer
        email = compiler.compile(letter.step, customer["language"])
        address, body = customer["email"], email.compose(data)
        return Rendered(Envelope(data.delivery, email.sender, address, body, email.is_plain), None)

    def _email_compiler(self, version: Version) -> EmailCompiler:
        files, definition = version.files, version.definition
        return EmailCompiler(
            self._settings, self._signer, files, definition, timezone=self._timezone
        )

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
    return parseaddr(settings.smtp.sender)[1].rpartition("@")[2] or "localhost"
