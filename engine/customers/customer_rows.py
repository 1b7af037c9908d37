"""Customers from an import: read, checked, and written in sets, with what the file says of their consent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from engine.clock import zone_names
from engine.customers import cells
from engine.customers.addresses import email_domain, normalise_email, normalise_phone
from engine.customers.consent import record_imported
from engine.customers.job import CellError, Job, RowReader, Values
from engine.customers.records import Columns, Record, Shape
from engine.customers.upsert import Upsert, find, merge_json
from engine.definitions.campaign import Channel
from engine.store.tables import customers

COLUMNS = Columns(
    known=(
        "id", "name", "email", "phone", "phone_valid_until", "gender", "birthday",
        "birthday_calendar", "timezone", "language", "province", "city", "address", "joined_at",
        "email_consent", "sms_consent",
    ),
    required=("id",),
)  # fmt: skip
_DERIVED = {
    "email": ("email", "email_hash", "email_domain"),
    "phone": ("phone", "phone_hash"),
    "birthday": ("birthday", "birthday_month", "birthday_day"),
}
_ALWAYS = ("ref", "attributes", "created_at", "updated_at")
_WRITTEN = (
    "ref", "name", "email", "email_hash", "email_domain", "phone", "phone_hash",
    "phone_valid_until", "gender", "birthday", "birthday_month", "birthday_day",
    "birthday_calendar", "timezone", "language", "province", "city", "address", "joined_at",
    "attributes", "created_at", "updated_at",
)  # fmt: skip
_MASK = "*"
Pick = Callable[[tuple[Any, ...]], tuple[Any, ...]]
"""Takes the values of _WRITTEN and gives those of the columns that this shape writes."""
_CHANNELS: tuple[Channel, Channel] = ("email", "sms")


class CustomerRows:
    """Lands customers. A column that the file lacks is left as it is; a blank cell empties it."""

    columns = COLUMNS

    def __init__(self, job: Job) -> None:
        self._job = job
        self._readers = _readers(job)
        self._birthday = cells.birthday(job.now.year)
        self._plan = lru_cache(maxsize=1000)(self._make_plan)

    def land(self, connection: Connection, shape: Shape, records: Sequence[Record]) -> None:
        """Write these rows; of several with one id the last wins."""
        reader, pick, upsert = self._plan(shape)
        rows: dict[str, tuple[Any, ...]] = {}
        consents: dict[str, tuple[bool | None, bool | None]] = {}
        landed = 0
        for record, values in self._job.read_all(reader, records):
            try:
                row = self._row(values, reader.attributes(record.cells), record.line)
            except CellError as error:
                self._job.reject(record, str(error))
                continue
            landed += 1
            rows[row[0]] = pick(row)
            consents[row[0]] = (values[-2], values[-1])
        there = find(connection, customers, "ref", rows)
        changed = upsert.run(connection, list(rows.values()), there)
        self._job.tally.landed(landed, changed, len(rows) - len(there))
        self._record_consents(connection, consents)

    def _make_plan(self, shape: Shape) -> tuple[RowReader, Pick, Upsert]:
        """Only what the file says is written: a column that it lacks is left as it is."""
        said = {name for column in shape.places for name in _DERIVED.get(column, (column,))}
        columns = [name for name in _WRITTEN if name in said or name in _ALWAYS]
        upsert = Upsert(
            customers, ["ref"], columns,
            kept=["created_at"] if shape.extras else ["created_at", "attributes"],
            rules={"attributes": merge_json("attributes", on_sqlite=self._job.as_number)},
            stamp="updated_at",
        )  # fmt: skip
        pick = itemgetter(*[_WRITTEN.index(name) for name in columns])
        return RowReader(shape, self._readers), pick, upsert

    def _row(self, values: Values, attributes: str, line: int) -> tuple[Any, ...]:
        """The values of _WRITTEN. Raises CellError."""
        (ref, name, email, phone, valid_until, gender, birthday, calendar, zone, language,
         province, city, address, joined, _, _) = values  # fmt: skip
        if zone is not None and zone not in zone_names():
            self._job.notes.add("rows name an unknown time zone: the shop's applies", f"{zone!r} in line {line}")  # fmt: skip
            zone = None
        if phone is not None and _MASK in phone:
            self._job.notes.add("phone numbers are masked and were left out", f"line {line}")
            phone = None
        now = self._job.now_value
        return (
            ref, name, *self._email(email), *self._phone(phone), valid_until, gender,
            *self._born(birthday, calendar), calendar, zone, language, province, city, address,
            joined, attributes, now, now,
        )  # fmt: skip

    def _email(self, email: str | None) -> tuple[str | None, str | None, str | None]:
        if email is None:
            return None, None, None
        return email, self._job.hash_of(email), email_domain(email)

    def _phone(self, phone: str | None) -> tuple[str | None, str | None]:
        return (None, None) if phone is None else (phone, self._job.hash_of(phone))

    def _born(
        self, birthday: str | None, calendar: str | None
    ) -> tuple[str | None, int | None, int | None]:
        if birthday is None:
            return None, None, None
        try:
            return self._birthday(birthday, calendar == "lunar")
        except ValueError as error:
            raise CellError(f"birthday: {error}") from None

    def _record_consents(
        self, connection: Connection, consents: dict[str, tuple[bool | None, bool | None]]
    ) -> None:
        """What the file says, of the address that the customer has now (the file may not hold it)."""
        wanted = [ref for ref, said in consents.items() if said != (None, None)]
        said: dict[tuple[str, Channel], bool] = {}
        hashes = find(connection, customers, "ref", wanted, "email_hash", "phone_hash")
        for ref in wanted:
            for address, channel, word in zip(hashes[ref], _CHANNELS, consents[ref], strict=True):
                if address is not None and word is not None:
                    said[address, channel] = word
        if said:
            self._job.tally.consents += record_imported(connection, said, at=self._job.now)


def _readers(job: Job) -> dict[str, cells.Cell]:
    """In the order of COLUMNS.known."""
    later = cells.optional(job.moment)
    return {
        "id": cells.identifier,
        "name": cells.text,
        "email": cells.optional(normalise_email),
        "phone": cells.optional(_phone_or_mask),
        "phone_valid_until": later,
        "gender": cells.text,
        "birthday": cells.text,
        "birthday_calendar": cells.optional(cells.word("solar", "lunar")),
        "timezone": cells.text,
        "language": cells.text,
        "province": cells.text,
        "city": cells.text,
        "address": cells.text,
        "joined_at": later,
        "email_consent": cells.yes_or_no,
        "sms_consent": cells.yes_or_no,
    }


def _phone_or_mask(cell: str) -> str:
    """A masked number (`138****1234`) tells nothing, but its row is no worse for it."""
    return cell if _MASK in cell else normalise_phone(cell)
