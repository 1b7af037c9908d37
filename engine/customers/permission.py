"""May this address be written to now? What the suppression list and the consent ledger say, asked in sets.

A suppression beats everything; then the newest row of the ledger for (address, channel, class); then the policy. Each
address is looked up by index: what is asked of is a batch, the ledger holds every customer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    bindparam,
    func,
    or_,
    select,
    true,
)

from engine.audience.malicious import is_malicious
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.policy import Policy
from engine.store.among import among, listed
from engine.store.tables import State, consents, customers, deliveries, suppressions

Wanted = tuple[str, Channel, MessageClass]
"""Hash of the address, channel, class."""

_CHUNK = 10_000


class Permission(NamedTuple):
    """May this class go to this address? `reason`: `consent`, `no consent`, `unknown consent`, `suppressed: WHY`."""

    allowed: bool
    reason: str


_CONSENT = Permission(True, "consent")
_NO_CONSENT = Permission(False, "no consent")


def permissions(
    connection: Connection, policy: Policy, wanted: Iterable[Wanted]
) -> dict[Wanted, Permission]:
    """The answer for each wanted key, in one query per channel, class and 10,000 addresses. Expects normalised
    addresses' hashes."""
    found = dict.fromkeys(wanted, _CONSENT)
    hashes: defaultdict[tuple[Channel, MessageClass], list[str]] = defaultdict(list)
    for address_hash, channel, message_class in found:
        hashes[channel, message_class].append(address_hash)
    for (channel, message_class), asked in hashes.items():
        for chunk in _chunks(asked):
            parameters = {"hashes": chunk, "channel": channel, "class": message_class}
            for address_hash, suppressed, granted in connection.execute(
                _NOT_GRANTED, parameters
            ).all():
                key = (address_hash, channel, message_class)
                found[key] = _permission(policy, channel, message_class, suppressed, granted)
    return found


def newly_refused(connection: Connection, policy: Policy, batch: str) -> dict[int, str]:
    """Whom of a batch's queued deliveries nothing may be sent to (any more): delivery id → reason.

    What `permissions` would answer for each row's address, channel and class, and whether the customer is malicious; only the
    refusals leave the database.
    """
    known = [f"{channel} {name}" for (channel, name), may in policy.unknown_consent.items() if may]
    rows = connection.execute(_REFUSED, {"of_batch": batch, "unknown_allowed": known}).all()
    return {
        row_id: "malicious"
        if malicious
        else _permission(policy, channel, message_class, suppressed, granted).reason
        for row_id, channel, message_class, suppressed, granted, malicious in rows
    }


def _permission(
    policy: Policy,
    channel: Channel,
    message_class: MessageClass,
    suppressed: str | None,
    granted: bool | None,
) -> Permission:
    """`suppressed`: why, if it is; `granted`: what the ledger's newest row says, if there is one."""
    if suppressed is not None:
        return Permission(False, f"suppressed: {suppressed}")
    if granted is None:
        return Permission(policy.unknown_consent[channel, message_class], "unknown consent")
    return _CONSENT if granted else _NO_CONSENT


def _chunks(hashes: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(hashes)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _suppressed(address_hash: ColumnElement[Any], channel: ColumnElement[Any]) -> ScalarSelect[str]:
    """SQL: why the address is suppressed, or NULL. (A subquery and not a join: always by index, also on a PostgreSQL
    that has no statistics of the table yet.)"""
    return (
        select(suppressions.c.reason)
        .where(suppressions.c.address_hash == address_hash, suppressions.c.channel == channel)
        .scalar_subquery()
    )


def _granted(
    address_hash: ColumnElement[Any],
    channel: ColumnElement[Any],
    message_class: ColumnElement[Any],
) -> ScalarSelect[bool]:
    """SQL: what the newest row of the ledger says, or NULL."""
    return (
        select(consents.c.granted)
        .where(
            consents.c.address_hash == address_hash,
            consents.c.channel == channel,
            consents.c["class"] == message_class,
        )
        .order_by(consents.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _not_granted() -> Select[Any]:
    """Those of the hashes that are suppressed, or whose newest word is not a yes."""
    address = listed("hashes").c.value
    channel: ColumnElement[Any] = bindparam("channel")
    suppressed = _suppressed(address, channel)
    granted = _granted(address, channel, bindparam("class"))
    return select(address, suppressed, granted).where(
        or_(suppressed.is_not(None), granted.is_not(true()))
    )


def _refused() -> Select[Any]:
    row = deliveries.c
    suppressed = _suppressed(row.address_hash, row.channel)
    granted = _granted(row.address_hash, row.channel, row["class"])
    where_unknown = among(row.channel + " " + row["class"], "unknown_allowed")
    malicious = is_malicious()
    return select(row.id, row.channel, row["class"], suppressed, granted, malicious).where(
        row.batch == bindparam("of_batch"),
        row.state == State.QUEUED,
        customers.c.id == row.customer_id,
        or_(
            malicious, suppressed.is_not(None), func.coalesce(granted, where_unknown).is_not(true())
        ),
    )


_NOT_GRANTED, _REFUSED = _not_granted(), _refused()
