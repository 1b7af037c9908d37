"""What orders say of their buyers: read from a mapped row, and folded to what holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engine.clock import zone_names
from engine.customers.addresses import email_domain, normalise_email, normalise_phone
from engine.customers.importing import cells
from engine.customers.importing.job import CellError, Job, Values
from engine.customers.importing.order_rows import COLUMNS as ORDER_COLUMNS
from engine.customers.importing.records import Record
from engine.definitions.mapping import Expiry

GROUPS: tuple[tuple[str, ...], ...] = (
    ("name",),
    ("email", "email_hash", "email_domain"),
    ("phone", "phone_hash", "phone_valid_until"),
    ("gender",),
    ("timezone",),
    ("language",),
    ("province", "city", "address"),
)
"""Columns of a customer that are known together, or not at all."""
PHONE, REGION = 2, 6
"""Places among the groups."""
_ORDER_PLACES = {name: place for place, name in enumerate(ORDER_COLUMNS.known)}
_WITH_EXTENSION = re.compile(r"\d{11}\s*(?:[-,，]|转|ext\.?)\s*\d{1,6}", re.ASCII | re.IGNORECASE)
_MASKS = {
    "name": ("*", "names"),
    "email": ("*", "e-mail addresses"),
    "phone": ("*", "phone numbers"),
    "address": ("**", "postal addresses"),  # a lone star may well stand in one
}
_PLAIN = ("gender", "language", "province", "city", "address", "name")

Group = tuple[Any, ...]
"""Values of one of GROUPS; all None where nothing is known."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who placed an order, as it says. `placed`: when, as the database takes it. `consents`: of email and phone."""

    ref: str
    placed: Any
    groups: tuple[Group, ...]
    consents: tuple[bool | None, bool | None]

    @property
    def email_hash(self) -> str | None:
        return self.groups[1][1]  # type: ignore[no-any-return]

    @property
    def phone_hash(self) -> str | None:
        return self.groups[PHONE][1]  # type: ignore[no-any-return]


class BuyerReader:
    """Reads buyers. An address that cannot be one is left out, with a warning: the order is no worse for it."""

    def __init__(self, job: Job, expiry: Expiry | None) -> None:
        self._job, self._expiry = job, expiry

    def read(self, record: Record, order: Values) -> Buyer:
        """`record`: the columns of BUYER. `order`: what the order's cells mean. Raises CellError."""
        said = dict(zip(record.shape.names, record.cells, strict=True))
        for name, (mask, called) in _MASKS.items():
            if mask in said.get(name, ""):
                self._note(f"{called} of buyers are masked: what is known stays", record)
                said[name] = ""
        plain = {name: cells.text(said.get(name, "")) for name in _PLAIN}
        return Buyer(
            ref=order[_ORDER_PLACES["customer_id"]],
            placed=order[_ORDER_PLACES["placed_at"]],
            groups=(
                (plain["name"],),
                self._email(said.get("email", ""), record),
                self._phone(said, record, order),
                (plain["gender"],),
                (self._zone(said.get("timezone", ""), record),),
                (plain["language"],),
                (plain["province"], plain["city"], plain["address"]),
            ),
            consents=(_consent("email_consent", said), _consent("sms_consent", said)),
        )

    def _email(self, cell: str, record: Record) -> Group:
        if not cell:
            return (None, None, None)
        try:
            email = normalise_email(cell)
        except ValueError:
            self._note("e-mail addresses of buyers cannot be one and were left out", record)
            return (None, None, None)
        return (email, self._job.hash_of(email), email_domain(email))

    def _phone(self, said: Mapping[str, str], record: Record, order: Values) -> Group:
        cell = said.get("phone", "")
        if not cell:
            return (None, None, None)
        try:
            phone = normalise_phone(cell)
        except ValueError:
            what = "cannot be one and were left out"
            if _WITH_EXTENSION.fullmatch(cell):
                what = "have an extension, which no text message reaches, and were left out"
            self._note(f"phone numbers of buyers {what}", record)
            return (None, None, None)
        return (phone, self._job.hash_of(phone), self._valid_until(phone, said, order))

    def _valid_until(self, phone: str, said: Mapping[str, str], order: Values) -> Any:
        if self._expiry is None:
            written = said.get("phone_valid_until", "")
            try:
                return self._job.moment(written) if written else None
            except ValueError as error:
                raise CellError(f"phone_valid_until: {error}") from None
        national = phone.removeprefix("+86")
        if self._expiry.prefixes and not national.startswith(self._expiry.prefixes):
            return None
        moments = (order[_ORDER_PLACES[name]] for name in self._expiry.after)
        known = next((moment for moment in moments if moment is not None), None)
        return None if known is None else _later(known, self._expiry.wait.delta)

    def _zone(self, cell: str, record: Record) -> str | None:
        if cell and cell not in zone_names():
            self._note("buyers' time zones are unknown: what is known stays", record)
            return None
        return cell or None

    def _note(self, what: str, record: Record) -> None:
        self._job.notes.add(what, f"line {record.line}")


def fold(buyers: Iterable[Buyer]) -> tuple[Group, ...]:
    """What these say together, the first first: of each group the first that is known. A number that does not die
    comes before one that does."""
    rows = [buyer.groups for buyer in buyers]
    folded = [_first(column) for column in zip(*rows, strict=True)]
    lasting = [row[PHONE] for row in rows if row[PHONE][0] is not None and row[PHONE][2] is None]
    if lasting:
        folded[PHONE] = lasting[0]
    return tuple(folded)


def _first(groups: Sequence[Group]) -> Group:
    known = (group for group in groups if any(value is not None for value in group))
    return next(known, groups[0])


def _consent(name: str, said: Mapping[str, str]) -> bool | None:
    try:
        return cells.yes_or_no(said.get(name, ""))
    except ValueError as error:
        raise CellError(f"{name}: {error}") from None


def _later(moment: Any, wait: timedelta) -> Any:
    """`moment` as the database takes it, and so the answer: microseconds, or ISO 8601."""
    if isinstance(moment, int):
        return moment + wait // timedelta(microseconds=1)
    return (datetime.fromisoformat(moment) + wait).isoformat()
