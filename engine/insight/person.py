"""Who a customer is to the sender: what is known of them, and whether each channel may reach them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, case, select

from engine.audience.asking import PEOPLE
from engine.audience.malicious import class_of_customer, is_malicious, malicious_tag
from engine.customers.addresses import normalise_email, normalise_phone
from engine.errors import YanshuError
from engine.pages.terminal import local, plain
from engine.settings import Settings
from engine.store.tables import consents, customers, profiles, suppressions
from engine.tokens import address_hash

CLASSES = ("marketing", "care", "transactional")
_ADDRESSES = {"email": ("email", "email_hash"), "sms": ("phone", "phone_hash")}


@dataclass(frozen=True, slots=True)
class Reach:
    """One channel of a person. `consents`: class → its newest ledger row, None where nothing is known."""

    channel: str
    address: str | None
    consents: Mapping[str, Mapping[str, Any] | None]
    suppressed: Mapping[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        return {
            "channel": self.channel,
            "address": self.address,
            "consents": dict(self.consents),
            "suppressed": self.suppressed,
        }

    def as_text(self, zone: str) -> str:
        """`email a@example.com: marketing yes (import, …), care unknown; suppressed: …`."""
        if self.address is None:
            return f"{self.channel}: no address"
        known = ", ".join(_consent_text(name, row, zone) for name, row in self.consents.items())
        text = f"{self.channel} {plain(self.address)}: {known}"
        if self.suppressed:
            since = local(self.suppressed["at"], zone)
            return f"{text}; SUPPRESSED since {since}: {plain(self.suppressed['reason'])}"
        return text


@dataclass(frozen=True, slots=True)
class Person:
    """A customer as an operator is shown one; `id` is internal and stays inside."""

    id: int
    known: Mapping[str, Any]
    reach: tuple[Reach, ...]

    @property
    def ref(self) -> str:
        return str(self.known["id"])

    def as_json(self) -> dict[str, Any]:
        return {**self.known, "channels": [reach.as_json() for reach in self.reach]}

    def as_text(self, zone: str) -> str:
        known = self.known
        head = f"customer {plain(self.ref)}  {plain(known['name'])}".rstrip()
        facts = [
            f"class {known['class'] or 'not evaluated yet'}",
            f"grade {known['grade'] or 'none'}",
        ]
        facts.append(f"{known['orders'] or 0} orders")
        if known["last_order_at"]:
            facts.append(f"the last {local(known['last_order_at'], zone)}")
        facts.append(f"zone {plain(known['timezone']) or 'as the shop'}")
        if known["malicious"]:
            tag = known["malicious_tag"]
            why = f" (malicious={plain(tag)})" if tag else ""
            facts.append(f"MALICIOUS: never messaged{why}")
        lines = [head, ", ".join(facts), *(reach.as_text(zone) for reach in self.reach)]
        return "\n  ".join(lines)


def find_people(
    connection: Connection,
    settings: Settings,
    *,
    ref: str | None = None,
    email: str | None = None,
    phone: str | None = None,
) -> list[Person]:
    """Whom the shop's id, an email address or a phone number means (families share an address).

    Raises YanshuError where it means nobody.
    """
    if ref is not None:
        rows = _rows(connection, customers.c.ref == ref)
        missing = f"no customer {ref!r}"
    else:
        channel, digest = _digest(settings, email, phone)
        column = customers.c[_ADDRESSES[channel][1]]
        rows = _rows(connection, column == digest)
        missing = f"no customer has this address{_what_is_left(connection, channel, digest)}"
    if not rows:
        raise YanshuError(missing)
    return _people(connection, rows)


def people_by_id(connection: Connection, ids: Iterable[int]) -> list[Person]:
    """The persons with these internal ids, in the order of their ids."""
    return _people(connection, _rows(connection, customers.c.id.in_(list(ids))))


def _digest(settings: Settings, email: str | None, phone: str | None) -> tuple[str, str]:
    try:
        if email is not None:
            channel, address = "email", normalise_email(email)
        else:
            channel, address = "sms", normalise_phone(phone or "")
    except ValueError as error:
        raise YanshuError(str(error)) from None
    return channel, address_hash(settings.hashing_key(), address)


def _what_is_left(connection: Connection, channel: str, digest: str) -> str:
    """An erased person's address is no longer here, but what was decided about it is."""
    row = _suppressions(connection, {digest}).get((digest, channel))
    return f"; it is suppressed: {row['reason']}" if row else ""


def _rows(connection: Connection, wanted: Any) -> list[Row[Any]]:
    computed = (
        profiles.c.orders, profiles.c.last_order_at, profiles.c.grade,
        case((profiles.c["class"].is_not(None), class_of_customer())).label("class"),
        profiles.c.r, profiles.c.f, profiles.c.m, profiles.c.value,
        is_malicious().label("is_malicious"), malicious_tag().label("malicious_tag"),
    )  # fmt: skip
    query = select(customers, *computed).select_from(PEOPLE).where(wanted).order_by(customers.c.id)
    return list(connection.execute(query))


def _people(connection: Connection, rows: list[Row[Any]]) -> list[Person]:
    hashes = {h for row in rows for h in (row.email_hash, row.phone_hash) if h}
    ledger = _ledger(connection, hashes)
    blocked = _suppressions(connection, hashes)
    return [
        Person(
            row.id,
            _known(row),
            tuple(_reach(row, channel, ledger, blocked) for channel in _ADDRESSES),
        )
        for row in rows
    ]


def _known(row: Row[Any]) -> dict[str, Any]:
    fields = row._mapping
    names = (
        "name", "timezone", "language", "province", "city", "joined_at", "phone_valid_until",
        "malicious_tag", "orders", "last_order_at", "class", "grade", "r", "f", "m", "value",
    )  # fmt: skip
    known = {name: fields[name] for name in names}
    return {"id": row.ref, **known, "malicious": fields["is_malicious"]}


def _reach(
    row: Row[Any],
    channel: str,
    ledger: Mapping[tuple[str, str, str], Mapping[str, Any]],
    blocked: Mapping[tuple[str, str], Mapping[str, Any]],
) -> Reach:
    address, digest = (row._mapping[name] for name in _ADDRESSES[channel])
    return Reach(
        channel,
        address,
        {name: ledger.get((digest, channel, name)) for name in CLASSES},
        blocked.get((digest, channel)),
    )


def _ledger(
    connection: Connection, hashes: Iterable[str]
) -> dict[tuple[str, str, str], dict[str, Any]]:
    rows = connection.execute(
        select(consents).where(consents.c.address_hash.in_(list(hashes))).order_by(consents.c.id)
    )
    return {
        (row.address_hash, row.channel, row._mapping["class"]): {
            "granted": row.granted,
            "at": row.at,
            "source": row.source,
        }
        for row in rows  # the newest row comes last and holds
    }


def _suppressions(
    connection: Connection, hashes: Iterable[str]
) -> dict[tuple[str, str], dict[str, Any]]:
    rows = connection.execute(
        select(suppressions).where(suppressions.c.address_hash.in_(list(hashes)))
    )
    return {
        (row.address_hash, row.channel): {"reason": row.reason, "at": row.at, "note": row.note}
        for row in rows
    }


def _consent_text(name: str, row: Mapping[str, Any] | None, zone: str) -> str:
    if row is None:
        return f"{name} unknown"
    word = "yes" if row["granted"] else "no"
    return f"{name} {word} ({plain(row['source'])}, {local(row['at'], zone)})"
