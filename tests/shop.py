"""A small shop in the database, for tests of planning and delivery: definitions in force, customers, orders."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, CursorResult, insert, update

from engine.definitions.loader import load
from engine.definitions.version import digest, version_files
from engine.store.catalog import Catalog, CatalogReader
from engine.store.tables import customers, definitions, orders, tags
from engine.tokens import address_hash

ADDRESS_KEY = "test-address"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
EMAIL_TEMPLATE = """<!DOCTYPE html>
<html lang="zh"><head><meta charset="utf-8"><title>信</title></head><body>
<table width="640"><tr><td><p>{{ customer.name or '您好' }}，见信好。这封信写给常来的客人。</p>
<a href="https://shop.example/coffee" data-label="coffee">去看看</a>
<a href="{{ links.unsubscribe }}">退订</a> <a href="{{ links.view }}">在浏览器中打开</a></td></tr></table>
</body></html>
"""
SMS_TEMPLATE = "{{ customer.name or '您好' }}，新豆到了。"
TEMPLATES = {
    "templates/email/hello.html.j2": EMAIL_TEMPLATE,
    "templates/sms/hello.txt.j2": SMS_TEMPLATE,
}


def put_in_force(
    connection: Connection, files: Mapping[str, str], now: datetime = LONG_AGO
) -> Catalog:
    """Make these files the ones in force, as `apply` would, without its care for rows in flight."""
    project = {**TEMPLATES, **files}
    loaded = load(project)
    connection.execute(update(definitions).values(current=False))
    versions: list[tuple[str, str, str, dict[str, str]]] = [
        (one.kind, name, one.position.file, version_files(one, project))
        for name, one in loaded.sendable().items()
    ]
    for kind in ("policy", "membership"):
        path = f"{kind}.yaml"
        if path in project:
            versions.append((kind, kind, path, {path: project[path]}))
    for kind, name, path, own in versions:
        connection.execute(
            insert(definitions).values(
                kind=kind, name=name, path=path, files=own, digest=digest(own), current=True,
                applied_at=now, applied_by="test",
            )
        )  # fmt: skip
    return CatalogReader().read(connection)


def add_customer(connection: Connection, ref: str, **more: Any) -> int:
    """A customer with an address, unless told otherwise. Returns the internal id."""
    email = more.pop("email", f"c{ref}@example.com")
    phone = more.pop("phone", None)
    values = {
        "ref": ref, "name": f"客人{ref}", "email": email, "phone": phone,
        "email_hash": address_hash(ADDRESS_KEY, email) if email else None,
        "email_domain": email.rpartition("@")[2] if email else None,
        "phone_hash": address_hash(ADDRESS_KEY, phone) if phone else None,
        "attributes": {}, "created_at": LONG_AGO, "updated_at": LONG_AGO,
    } | more  # fmt: skip
    return _key(connection.execute(insert(customers).values(**values)))


def mark_malicious(connection: Connection, customer_id: int, *, by_tag: bool) -> None:
    """As an import does it, or as customer service does in a chat."""
    if not by_tag:
        marked = update(customers).where(customers.c.id == customer_id)
        connection.execute(marked.values(malicious=True))
        return
    tag = {"dimension": "malicious", "value": "rude", "tagged_at": LONG_AGO, "tagged_by": "小王"}
    connection.execute(insert(tags).values(customer_id=customer_id, **tag))


def add_order(
    connection: Connection, customer_id: int, ref: str, placed_at: datetime, **more: Any
) -> int:
    """An order that was received when it was placed, unless told otherwise."""
    values = {
        "ref": ref, "customer_id": customer_id, "status": "received", "placed_at": placed_at,
        "received_at": placed_at, "amount": 10_000, "currency": "CNY", "attributes": {},
    } | more  # fmt: skip
    return _key(connection.execute(insert(orders).values(**values)))


def _key(result: CursorResult[Any]) -> int:
    assert result.inserted_primary_key is not None
    return int(result.inserted_primary_key[0])
