"""Contacts from an import: messages that other systems sent, which count in the frequency caps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from sqlalchemy import Connection

from engine.customers.importing import cells
from engine.customers.importing.job import Job, RowReader
from engine.customers.importing.records import Columns, Record, Shape
from engine.customers.owners import find_owners
from engine.definitions.campaign import Channel, MessageClass
from engine.store.tables import contacts
from engine.store.upsert import Upsert


class ContactRows:
    """Lands contacts. One that is there already (same customer, channel, class and moment) is left alone."""

    columns = Columns(
        known=("customer_id", "channel", "class", "at"),
        required=("customer_id", "channel", "class", "at"),
    )

    def __init__(self, job: Job) -> None:
        self._job = job
        self._readers: dict[str, cells.Cell] = {
            "customer_id": cells.identifier,
            "channel": cells.word(*get_args(Channel)),
            "class": cells.word(*get_args(MessageClass)),
            "at": job.moment,
        }
        key = ["customer_id", "channel", "class", "at"]
        self._upsert = Upsert(contacts, key, key)

    def land(self, connection: Connection, shape: Shape, records: Sequence[Record]) -> None:
        """Write these rows."""
        read = self._job.read_all(RowReader(shape, self._readers), records)
        people = find_owners(connection, {values[0] for _, values in read})
        rows: list[tuple[Any, ...]] = []
        for record, values in read:
            owner = people.get(values[0])
            if owner is None:
                self._job.reject(record, f"customer_id: there is no customer {values[0]!r}")
            else:
                rows.append((owner, *values[1:]))
        inserted = self._upsert.run(connection, list(dict.fromkeys(rows)))
        self._job.tally.landed(len(rows), inserted, inserted)
