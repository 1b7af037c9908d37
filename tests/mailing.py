"""A shop that has sent something: rows as the senders leave them, for tests of what comes after the sending."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from engine.definitions.loader import load_one
from engine.rendering.email import EmailCompiler
from engine.settings import Settings, ShopSettings
from engine.store.tables import customers, definitions, deliveries, links, runs
from engine.tokens import Signer, address_hash, new_public_id

NOW = datetime(2026, 11, 10, 4, 0, tzinfo=UTC)
SENT = NOW - timedelta(minutes=10)
SETTINGS = Settings(
    secret_key="test-secret",
    address_key="test-address",
    public_url="http://127.0.0.1:8025",
    shop=ShopSettings(name="雁南飞童装", url="https://shop.example"),
)
SIGNER = Signer(SETTINGS.signing_keys())

FILES = {
    "campaigns/double11.yaml": """\
kind: campaign
class: marketing
schedule: {at: "2026-11-09T10:00"}
audience: {all: []}
steps: [{id: mail, email: {subject: "{{ customer.name }}，双十一", template: hello}}]
""",
    "templates/email/hello.html.j2": """\
<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>{{ subject }}</title></head>
<body style="font-family:sans-serif">
<h1>{{ customer.name }}，您好</h1>
<p><a href="https://shop.example/coats" data-label="coats">大衣</a>
<a href="{{ customer.attributes.page }}">您的专页</a></p>
<p><a href="{{ links.view }}">在浏览器中打开</a> <a href="{{ links.unsubscribe }}">退订</a></p>
</body></html>
""",
}
"""The files of a version that can really be rendered."""


def add_run(
    connection: Connection,
    definition: str = "double11",
    digest: str = "d1",
    files: Mapping[str, str] | None = None,
) -> int:
    """A run and the applied version that it belongs to."""
    connection.execute(
        insert(definitions).values(
            kind="campaign", name=definition, digest=digest, path=f"campaigns/{definition}.yaml",
            files=dict(files or {}), current=True, applied_at=SENT, applied_by="test",
        )
    )  # fmt: skip
    run = connection.execute(
        insert(runs).values(
            definition=definition, occurrence=f"at:{digest}", digest=digest, priority=50,
            state="open", created_at=SENT,
        )
    )  # fmt: skip
    key = run.inserted_primary_key
    assert key is not None
    return int(key[0])


def add_link(connection: Connection, number: int, url: str, **more: Any) -> None:
    values = {"digest": "d1", "label": None, "personal": False} | more
    connection.execute(insert(links).values(number=number, url=url, **values))


def add_customer(connection: Connection, ref: str = "1", **more: Any) -> int:
    email = f"mei{ref}@example.com"
    values = {
        "name": f"李梅{ref}", "email": email, "email_domain": "example.com",
        "email_hash": address_hash(SETTINGS.hashing_key(), email), "language": "zh",
        "attributes": {}, "created_at": SENT, "updated_at": SENT,
    } | more  # fmt: skip
    row = connection.execute(insert(customers).values(ref=ref, **values))
    key = row.inserted_primary_key
    assert key is not None
    return int(key[0])


def add_delivery(connection: Connection, run: int, customer: int, **more: Any) -> str:
    """A delivery that was sent by email at SENT, unless told otherwise; its public id."""
    values = {
        "public_id": new_public_id(), "definition": "double11", "step": "mail", "anchor": "at:x",
        "digest": "d1", "class": "marketing", "priority": 50, "state": "sent", "due_at": SENT,
        "next_at": SENT, "not_after": SENT + timedelta(days=3), "deferrals": 0, "channel": "email",
        "channel_index": 0, "attempts": 1, "sent_at": SENT, "created_at": SENT,
    } | more  # fmt: skip
    connection.execute(insert(deliveries).values(run_id=run, customer_id=customer, **values))
    return str(values["public_id"])


def sent_message(connection: Connection, **customer: Any) -> str:
    """One customer, one message with two links, sent; the delivery's public id."""
    run = add_run(connection)
    add_link(connection, 1, "https://shop.example/coats?from=mail", label="coats")
    add_link(connection, 2, "https://shop.example/shoes")
    add_link(connection, 3, "{{ customer.attributes.page }}", personal=True)
    return add_delivery(connection, run, add_customer(connection, **customer))


def rendered_message(connection: Connection, page: str = "https://shop.example/mine") -> str:
    """One message of a version that can be rendered, its links registered as on applying; its public id."""
    run = add_run(connection, files=FILES)
    definition, _ = load_one("campaign", "double11", FILES)
    for link in EmailCompiler(SETTINGS, SIGNER, FILES, definition).links:
        add_link(connection, link.number, link.url, label=link.label, personal=link.personal)
    customer = add_customer(connection, attributes={"page": page})
    return add_delivery(connection, run, customer)
