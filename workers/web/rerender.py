"""The mail once more, for the browser: read what it was made of, render it again from the version that was sent.

Nothing that was sent is kept as text; a version and the rows it names give it back. The open pixel is taken out: who
looks at the page is recorded as a view, and an open on top of it would count the same look twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, select

from engine.rendering.context import MessageData, customer_context, item_context, order_context
from engine.rendering.email import EmailCompiler
from engine.settings import Settings
from engine.store.catalog import CatalogReader, Version
from engine.store.tables import customers, deliveries, order_items, orders
from engine.tokens import Purpose, Signer

_MOST_COMPILERS = 32


@dataclass(frozen=True, slots=True)
class Sent:
    """One delivered email: its version, its step, and the data that goes into it."""

    version: Version
    timezone: str
    step: str
    variant: str | None
    language: str | None
    data: MessageData


class Viewer:
    """Renders sent mails. One per web process, used from its threads: the worst of a race is compiling twice."""

    def __init__(self, settings: Settings, signer: Signer) -> None:
        self._settings, self._signer = settings, signer
        self._catalog = CatalogReader()
        self._compilers: dict[tuple[str, str], EmailCompiler] = {}

    def find(self, connection: Connection, delivery: str, now: datetime) -> Sent | None:
        """What is behind a delivery's public id; None where it is not there any more, or was no email.

        Raises StoreError where its version is gone.
        """
        row = connection.execute(
            select(deliveries).where(deliveries.c.public_id == delivery)
        ).first()
        if row is None or row.channel == "sms":
            return None
        catalog = self._catalog.read(connection)
        customer = _row(connection, customers, row.customer_id)
        order = _row(connection, orders, row.order_id) if row.order_id is not None else None
        data = MessageData(
            delivery=delivery,
            message_id="",  # in a header, and this is a page
            customer=customer_context(customer or {}),
            order=order_context(order) if order is not None else None,
            items=_items(connection, row.order_id),
            now=row.sent_at or now,
        )
        return Sent(
            catalog.version(connection, row.digest), catalog.policy.timezone, row.step, row.variant,
            customer["language"] if customer else None, data,
        )  # fmt: skip

    def html(self, sent: Sent) -> str | None:
        """The page; None where the step has no email. Raises RenderingError where the data of today do not fit."""
        definition = sent.version.definition
        step = definition.step(sent.step)
        if step is None or step.email is None:
            return None
        if not step.is_plain:
            step = step.worded("email", sent.variant)
        compiled = self._compiler(sent).compile(step, sent.language)
        pixel = self._signer.sign(Purpose.TRACK, sent.data.delivery)
        return without_pixel(compiled.render(sent.data).html, pixel)

    def _compiler(self, sent: Sent) -> EmailCompiler:
        key = (sent.version.digest, sent.timezone)
        compiler = self._compilers.get(key)
        if compiler is None:
            if len(self._compilers) >= _MOST_COMPILERS:
                self._compilers.clear()
            version = sent.version
            compiler = self._compilers[key] = EmailCompiler(
                self._settings, self._signer, version.files, version.definition,
                timezone=sent.timezone,
            )  # fmt: skip
        return compiler


def without_pixel(html: str, token: str) -> str:
    """The mail without the image that reports an open of this token.

    >>> without_pixel('<p>Hi</p><img src="http://m/o/TOKEN.gif" width="1">', "TOKEN")
    '<p>Hi</p>'
    """
    return re.sub(rf'<img\b[^>]*/o/{re.escape(token)}\.gif"[^>]*>', "", html)


def _row(connection: Connection, table: Any, key: int) -> Mapping[str, Any] | None:
    found = connection.execute(select(table).where(table.c.id == key)).mappings().first()
    return cast("Mapping[str, Any] | None", found)


def _items(connection: Connection, order_id: int | None) -> list[dict[str, Any]]:
    if order_id is None:
        return []
    query = select(order_items).where(order_items.c.order_id == order_id)
    rows = connection.execute(query.order_by(order_items.c.position)).mappings()
    return [item_context(cast("Mapping[str, Any]", row)) for row in rows]
