"""Customers from an import: read, checked, and written in sets, with what the file says of their consent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from engine.clock import zone_names
from engine.customers.addresses import email_domain, normalise_email, normalise_phone
from engine.customers.consent import record_imported
from engine.customers.importing import cells
from engine.customers.importing.job import CellError, Job, RowReader, Values
from engine.customers.importing.records import Columns, Record, Shape
from engine.customers.importing.repeats import Repeats
from engine.customers.owners import merged_into
from engine.customers.touched import Touched
from engine.definitions.campaign import Channel
from engine.store.tables import customers
from engine.store.upsert import Upsert, find, merge_json

COLUMNS = Columns(
    known=(
        "id", "name", "email", "phone", "phone_valid_until", "gender", "birthday",
        "birthday_calendar", "timezone", "language", "province", "city", "address", "joined_at",
        "malicious", "email_consent", "sms_consent",
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
    "malicious", "attributes", "created_at", "updated_at",
)  # fmt: skip
_MASKS = {
    "name": ("*", "names"),
    "email": ("*", "e-mail addresses"),
    "phone": ("*", "phone numbers"),
    "address": ("**", "postal addresses"),  # a lone star may well stand in one
}
"""What a masked cell holds (`林*`, `l***@qq.com`, `138****1234`), and what a warning calls such cells."""
_LEFT = {
    "email": _DERIVED["email"],
    # The day on which a number dies is that of the number in the row, not of the one that is known.
    "phone": (*_DERIVED["phone"], "phone_valid_until"),
}
Pick = Callable[[tuple[Any, ...]], tuple[Any, ...]]
"""Takes the values of _WRITTEN and gives those of the columns that are written."""
_COUNTED = frozenset(("timezone", "province", "city", "address"))
"""What profiles and rules' tags are made of."""
_CHANNELS: tuple[Channel, Channel] = ("email", "sms")
_NONE: frozenset[str] = frozenset()
_UNMARKED = frozenset(("malicious",))


@dataclass(frozen=True, slots=True)
class _Row:
    """A customer's values of _WRITTEN, and which of these columns to leave as they are in the database."""

    values: tuple[Any, ...]
    left: frozenset[str]

    def after(self, earlier: _Row | None) -> _Row:
        """This row where one with the same id stood before it: what it leaves was said by that one."""
        if earlier is None or not self.left:
            return self
        said = self.left - earlier.left
        values = (
            old if name in said else new
            for name, old, new in zip(_WRITTEN, earlier.values, self.values, strict=True)
        )
        return _Row(tuple(values), self.left & earlier.left)


class CustomerRows:
    """Lands customers. A column that the file lacks is left as it is; a blank cell empties it, and one that tells
    nothing (a masked number, an unknown time zone) leaves what is known. `touched` learns whose profiles have to be
    computed anew."""

    columns = COLUMNS

    def __init__(self, job: Job, touched: Touched) -> None:
        self._job, self._touched = job, touched
        self._repeats = Repeats(job, customers)
        self._readers = _readers(job)
        self._birthday = cells.birthday(job.now.year)
        self._reader = lru_cache(maxsize=1000)(lambda shape: RowReader(shape, self._readers))
        self._plan = lru_cache(maxsize=1000)(self._make_plan)

    def land(self, connection: Connection, shape: Shape, records: Sequence[Record]) -> None:
        """Write these rows; of several with one id the last wins."""
        reader = self._reader(shape)
        rows: dict[str, _Row] = {}
        consents: dict[str, tuple[bool | None, bool | None]] = {}
        landed = 0
        read = self._job.read_all(reader, records)
        merged = merged_into(connection, {values[0] for _, values in read})
        for record, values in read:
            if values[0] in merged:
                self._leave_merged(record)
                continue
            try:
                row = self._row(values, reader.attributes(record.cells), record.line)
            except CellError as error:
                self._job.reject(record, str(error))
                continue
            landed += 1
            ref = values[0]
            rows[ref] = row.after(rows.get(ref))
            consents[ref] = (values[-2], values[-1])
        there = find(connection, customers, "ref", rows, "id")
        self._repeats.note(connection, read, there)
        self._write(connection, shape, rows, landed, there)
        self._record_consents(connection, consents)

    def _leave_merged(self, record: Record) -> None:
        """The record that it was merged into tells what holds."""
        what = "rows are of customers who were merged into others: they were left alone"
        self._job.notes.add(what, self._job.where(record.line))
        self._job.tally.landed(1, 0, 0)

    def _write(
        self,
        connection: Connection,
        shape: Shape,
        rows: dict[str, _Row],
        landed: int,
        there: dict[str, Any],
    ) -> None:
        """Rows that leave the same columns as they are go together."""
        alike: dict[frozenset[str], list[tuple[Any, ...]]] = defaultdict(list)
        for row in rows.values():
            alike[row.left].append(row.values)
        changed = 0
        for left, values in alike.items():
            pick, upsert = self._plan(shape, left)
            changed += upsert.run(connection, [pick(row) for row in values], there)
        new = len(rows) - len(there)
        self._job.tally.landed(landed, changed, new)
        if new or (changed and not _COUNTED.isdisjoint(shape.places)):
            who = [] if self._touched.everybody else rows
            ids = find(connection, customers, "ref", who, "id").values()
            self._touched.add(row[0] for row in ids)

    def _make_plan(self, shape: Shape, left: frozenset[str]) -> tuple[Pick, Upsert]:
        """Only what the file says is written: a column that it lacks is left as it is."""
        said = {name for column in shape.places for name in _DERIVED.get(column, (column,))} - left
        columns = [name for name in _WRITTEN if name in said or name in _ALWAYS]
        upsert = Upsert(
            customers, ["ref"], columns,
            kept=["created_at"] if shape.extras else ["created_at", "attributes"],
            rules={"attributes": merge_json("attributes", on_sqlite=self._job.as_number)},
            stamp="updated_at",
        )  # fmt: skip
        return itemgetter(*[_WRITTEN.index(name) for name in columns]), upsert

    def _row(self, values: Values, attributes: str, line: int) -> _Row:
        """What is written of a row. Raises CellError."""
        (ref, name, email, phone, valid_until, gender, birthday, calendar, zone, language,
         province, city, address, joined, malicious, _, _) = values  # fmt: skip
        masked = self._masked(line, name=name, email=email, phone=phone, address=address)
        # A mark is not taken off by a cell that was left blank.
        unmarked = _UNMARKED if malicious is None else _NONE
        left = masked | self._unknown_zone(line, zone) | unmarked
        now = self._job.now_value
        return _Row((
            ref, name, *self._email(email), *self._phone(phone), valid_until, gender,
            *self._born(birthday, calendar), calendar, zone, language, province, city, address,
            joined, malicious, attributes, now, now,
        ), left)  # fmt: skip

    def _masked(self, line: int, **cells: str | None) -> frozenset[str]:
        """The columns whose cells the platform has masked: they tell nothing, and the row is no worse for it."""
        found: list[str] = []
        for column, cell in cells.items():
            mask, called = _MASKS[column]
            if cell is not None and mask in cell:
                self._job.notes.add(
                    f"{called} are masked: what is known stays", self._job.where(line)
                )
                found += _LEFT.get(column, (column,))
        return frozenset(found) if found else _NONE

    def _unknown_zone(self, line: int, zone: str | None) -> frozenset[str]:
        if zone is None or zone in zone_names():
            return _NONE
        what = "rows name an unknown time zone: what is known stays, else the shop's applies"
        self._job.notes.add(what, f"{zone!r} in {self._job.where(line)}")
        return frozenset(("timezone",))

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
        "email": cells.optional(_unless_masked("email", normalise_email)),
        "phone": cells.optional(_unless_masked("phone", normalise_phone)),
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
        "malicious": cells.yes_or_no,
        "email_consent": cells.yes_or_no,
        "sms_consent": cells.yes_or_no,
    }


def _unless_masked(column: str, normalise: Callable[[str], str]) -> Callable[[str], str]:
    """A masked address cannot be normalised; `CustomerRows` leaves it out."""
    mask = _MASKS[column][0]
    return lambda cell: cell if mask in cell else normalise(cell)
