"""Who may be written to: the consent ledger and the suppression list, both keyed by the hash of an address.

The ledger only grows; the newest row of an (address, channel, class) holds. A suppression beats it for every class.
Here they are written; `permission` asks them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Literal

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from engine.customers.addresses import normalise_email, normalise_phone
from engine.customers.permission import Permission, Wanted, newly_refused, permissions
from engine.definitions.campaign import Channel, MessageClass
from engine.store.tables import consents, suppressions

__all__ = [
    "Permission", "grant", "newly_refused", "normalise_email", "normalise_phone", "permissions",
    "record_imported", "suppress", "unsuppress", "withdraw",
]  # fmt: skip

Source = Literal["import", "person", "operator"]
IMPORTED_CLASSES: tuple[MessageClass, ...] = ("marketing", "care")
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the ledger says of one key: the row that holds, and whether the person's own no is still in force."""

    granted: bool
    source: str
    refused_by_person: bool


def withdraw(
    connection: Connection,
    address_hash: str,
    channel: Channel,
    classes: Collection[MessageClass],
    *,
    at: datetime,
    source: Source,
    wording: str | None = None,
) -> int:
    """Take consent back for these classes. Returns how many rows the ledger grew by: saying it twice adds none."""
    keys = [(address_hash, channel, name) for name in sorted(set(classes))]
    return _enter(connection, keys, False, at=at, source=source, wording=wording)


def grant(
    connection: Connection,
    address_hash: str,
    channel: Channel,
    classes: Collection[MessageClass],
    *,
    at: datetime,
    source: Source,
    wording: str | None = None,
) -> int:
    """Give consent for these classes; `wording` is what the person agreed to. Returns how many rows were added."""
    keys = [(address_hash, channel, name) for name in sorted(set(classes))]
    return _enter(connection, keys, True, at=at, source=source, wording=wording)


def _enter(
    connection: Connection,
    keys: Sequence[Wanted],
    granted: bool,
    *,
    at: datetime,
    source: Source,
    wording: str | None,
) -> int:
    ledger = _ledger(connection, sorted({key[0] for key in keys}))
    rows = []
    for key in keys:
        now = ledger.get(key)
        # The same word of another source is entered too: a person's own no weighs more than an imported one.
        if now is None or now.granted is not granted or now.source != source:
            rows.append(_row(key, granted, at, source, wording))
    if rows:
        connection.execute(insert(consents), rows)
    return len(rows)


def record_imported(
    connection: Connection, said: Mapping[tuple[str, Channel], bool], *, at: datetime
) -> int:
    """Enter what an import says of (address hash, channel), for marketing and care, where it changes what holds.

    A person's own withdrawal stands against an imported yes. Returns how many rows the ledger grew by.
    """
    ledger = _ledger(connection, sorted({address_hash for address_hash, _ in said}))
    rows = []
    for (address_hash, channel), granted in said.items():
        for name in IMPORTED_CLASSES:
            standing = ledger.get((address_hash, channel, name))
            if standing is not None and (standing.granted is granted or standing.refused_by_person):
                continue
            rows.append(_row((address_hash, channel, name), granted, at, "import", None))
    if rows:
        connection.execute(insert(consents), rows)
    return len(rows)


def suppress(
    connection: Connection,
    address_hash: str,
    channel: Channel,
    reason: str,
    *,
    at: datetime,
    note: str | None = None,
) -> bool:
    """Nothing goes to this address on this channel any more. False where it was suppressed already (that reason stays)."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    entered = connection.execute(
        dialect.insert(suppressions)
        .values(address_hash=address_hash, channel=channel, reason=reason, at=at, note=note)
        .on_conflict_do_nothing()
        .returning(suppressions.c.id)
    )
    return entered.first() is not None


def unsuppress(connection: Connection, address_hash: str, channel: Channel) -> bool:
    """Lift a suppression; what the ledger says holds again. False where there was none."""
    removed = connection.execute(
        delete(suppressions).where(
            suppressions.c.address_hash == address_hash, suppressions.c.channel == channel
        )
    )
    return removed.rowcount == 1


def _ledger(connection: Connection, hashes: Sequence[str]) -> dict[tuple[str, str, str], _Standing]:
    """The ledger of these addresses, folded up from the oldest row to the newest."""
    columns = (
        consents.c.address_hash, consents.c.channel, consents.c["class"],
        consents.c.granted, consents.c.source,
    )  # fmt: skip
    found: dict[tuple[str, str, str], _Standing] = {}
    for chunk in _chunks(hashes):
        query = select(*columns).where(consents.c.address_hash.in_(chunk)).order_by(consents.c.id)
        for address_hash, channel, name, granted, source in connection.execute(query):
            key = (address_hash, channel, name)
            found[key] = _Standing(granted, source, _is_refused(found.get(key), granted, source))
    return found


def _is_refused(before: _Standing | None, granted: bool, source: str) -> bool:
    if granted and source != "import":
        return False
    if source == "person":
        return True
    return before is not None and before.refused_by_person


def _row(
    key: Wanted, granted: bool, at: datetime, source: Source, wording: str | None
) -> dict[str, object]:
    address_hash, channel, message_class = key
    return {
        "address_hash": address_hash,
        "channel": channel,
        "class": message_class,
        "granted": granted,
        "at": at,
        "source": source,
        "wording": wording,
    }


def _chunks(hashes: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(hashes)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
