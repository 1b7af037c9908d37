"""What `suppress` does to an address, and how it is written down who did it."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Connection, insert, select

from engine.cli.context import Session
from engine.customers.addresses import normalise_email, normalise_phone
from engine.customers.consent import suppress, unsuppress
from engine.errors import YanshuError
from engine.store.tables import audit, customers, suppressions
from engine.tokens import address_hash

REASON = "operator"


def suppress_address(session: Session, address: str, note: str | None) -> tuple[str, bool]:
    """Suppress it on its channel; the channel, and whether that is new. Raises YanshuError for what is no address."""
    channel, digest = _identify(session, address)
    with session.store.write() as connection:
        is_new = suppress(connection, digest, channel, REASON, at=session.now(), note=note)
        _write_down(connection, session, "suppress", channel, digest)
    return channel, is_new


def release_address(session: Session, address: str) -> tuple[str, bool]:
    """Take it off the list; the channel, and whether it was on it."""
    channel, digest = _identify(session, address)
    with session.store.write() as connection:
        was_there = unsuppress(connection, digest, channel)
        _write_down(connection, session, "unsuppress", channel, digest)
    return channel, was_there


def list_suppressions(session: Session) -> list[dict[str, Any]]:
    """`[{channel, address, customer_id, reason, at, note, address_hash}]`, the newest first; the address and the
    customer are None where no customer has it any more."""
    by_email = customers.alias("by_email")
    by_phone = customers.alias("by_phone")
    is_email = suppressions.c.channel == "email"
    query = (
        select(
            suppressions,
            by_email.c.email,
            by_phone.c.phone,
            by_email.c.ref.label("email_ref"),
            by_phone.c.ref.label("phone_ref"),
        )
        .outerjoin(by_email, is_email & (by_email.c.email_hash == suppressions.c.address_hash))
        .outerjoin(by_phone, ~is_email & (by_phone.c.phone_hash == suppressions.c.address_hash))
        .order_by(suppressions.c.at.desc(), suppressions.c.id.desc())
    )
    with session.store.read() as connection:
        return [_listed(row) for row in connection.execute(query)]


def _listed(row: Any) -> dict[str, Any]:
    return {
        "channel": row.channel,
        "address": row.email or row.phone,
        "customer_id": row.email_ref or row.phone_ref,
        "reason": row.reason,
        "at": row.at,
        "note": row.note,
        "address_hash": row.address_hash,
    }


def _identify(session: Session, address: str) -> tuple[Literal["email", "sms"], str]:
    channel: Literal["email", "sms"] = "email" if "@" in address else "sms"
    if channel == "email" and "*" in address:  # its hash would match nobody
        raise YanshuError(f"{address!r} is masked")
    if channel == "sms" and not any(map(str.isdigit, address)):
        raise YanshuError(f"{address!r} is neither an email address nor a phone number")
    try:
        known = normalise_email(address) if channel == "email" else normalise_phone(address)
    except ValueError as error:
        raise YanshuError(str(error)) from None
    return channel, address_hash(session.settings.hashing_key(), known)


def _write_down(
    connection: Connection, session: Session, action: str, channel: str, digest: str
) -> None:
    """The audit keeps the hash alone: it outlives the person's erasure."""
    connection.execute(
        insert(audit).values(
            at=session.now(), by=session.by, action=action, target=f"{channel}:{digest}", data={}
        )
    )
