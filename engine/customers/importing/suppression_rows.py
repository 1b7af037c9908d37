"""Suppressions from an import: addresses that get nothing at all any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from sqlalchemy import Connection

from engine.customers.addresses import normalise_email, normalise_phone
from engine.customers.importing import cells
from engine.customers.importing.job import CellError, Job, RowReader, Values
from engine.customers.importing.records import Columns, Record, Shape
from engine.definitions.campaign import Channel
from engine.store.tables import suppressions
from engine.store.upsert import Upsert

REASONS = ("hard_bounce", "complaint", "operator", "import")


class SuppressionRows:
    """Lands suppressions: of an `email`, a `phone`, or an `address` that is either. Only its hash is kept."""

    columns = Columns(
        known=("address", "email", "phone", "channel", "reason", "at", "note"),
        required=(),
        any_of=("address", "email", "phone"),
    )

    def __init__(self, job: Job) -> None:
        self._job = job
        self._readers: dict[str, cells.Cell] = {
            "address": cells.text,
            "email": cells.text,
            "phone": cells.text,
            "channel": cells.optional(cells.word(*get_args(Channel))),
            "reason": cells.optional(cells.word(*REASONS)),
            "at": cells.optional(job.moment),
            "note": cells.text,
        }
        self._upsert = Upsert(
            suppressions,
            ["address_hash", "channel"],
            ["address_hash", "channel", "reason", "at", "note"],
            kept=("reason", "at", "note"),
        )

    def land(self, connection: Connection, shape: Shape, records: Sequence[Record]) -> None:
        """Write these rows; an address that is suppressed already keeps its first reason."""
        rows: dict[tuple[str, str], tuple[Any, ...]] = {}
        landed = 0
        for record, values in self._job.read_all(RowReader(shape, self._readers), records):
            try:
                found = self._rows(values)
            except CellError as error:
                self._job.reject(record, str(error))
                continue
            landed += 1
            for row in found:
                rows.setdefault(row[:2], row)
        inserted = self._upsert.run(connection, list(rows.values()))
        # A row may name an e-mail and a phone: it is one row all the same.
        new = min(inserted, landed)
        self._job.tally.landed(landed, new, new)

    def _rows(self, values: Values) -> list[tuple[Any, ...]]:
        address, email, phone, channel, reason, at, note = values
        if address is not None:
            is_email = "@" in address if channel is None else channel == "email"
            email, phone = (address, phone) if is_email else (email, address)
        hashes = [
            (_hash(self._job, "email", email), "email"),
            (_hash(self._job, "phone", phone), "sms"),
        ]
        found = [
            (hashed, on, reason or "import", at or self._job.now_value, note)
            for hashed, on in hashes
            if hashed is not None and channel in (None, on)
        ]
        if not found:
            raise CellError(f"no address{f' for channel {channel}' if channel else ''}")
        return found


def _hash(job: Job, name: str, address: str | None) -> str | None:
    if address is None:
        return None
    if "*" in address:  # what an export masks; it may stand in an address, but this one is nobody's
        raise CellError(f"{name}: {address!r} is masked")
    try:
        return job.hash_of(
            normalise_email(address) if name == "email" else normalise_phone(address)
        )
    except ValueError as error:
        raise CellError(f"{name}: {error}") from None
