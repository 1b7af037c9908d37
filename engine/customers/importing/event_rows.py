"""Events from an import: anything that happened with a customer and that the shop's other systems tell of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from engine.customers.importing import cells
from engine.customers.importing.job import Job, RowReader
from engine.customers.importing.records import Columns, Record, Shape
from engine.customers.owners import find_owners
from engine.definitions.import_columns import EVENTS
from engine.store.tables import events
from engine.store.upsert import Upsert, find

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""As JSON spells it; after an even number of backslashes it is the end of one, and text."""


class EventRows:
    """Lands events, by their id; without one, an event is known by the digest of all the rest."""

    columns = Columns(known=EVENTS.known, required=EVENTS.required, nested=("data",))

    def __init__(self, job: Job) -> None:
        self._job = job
        self._readers: dict[str, cells.Cell] = {
            "id": cells.optional(cells.identifier),
            "customer_id": cells.identifier,
            "kind": cells.identifier,
            "at": job.moment,
            "data": cells.optional(_data),
        }
        self._upsert = Upsert(events, ["ref"], ["ref", "customer_id", "kind", "at", "data"])

    def land(self, connection: Connection, shape: Shape, records: Sequence[Record]) -> None:
        """Write these rows; of several with one id the last wins. Columns that are not known join the data."""
        reader = RowReader(shape, self._readers)
        read = self._job.read_all(reader, records)
        people = find_owners(connection, {values[1] for _, values in read})
        rows: dict[str, tuple[Any, ...]] = {}
        landed = 0
        for record, (ref, customer, kind, at, data) in read:
            owner = people.get(customer)
            if owner is None:
                self._job.reject(record, f"customer_id: there is no customer {customer!r}")
                continue
            landed += 1
            whole = canonical({**json.loads(reader.attributes(record.cells)), **(data or {})})
            key = ref or digest(customer, kind, self._job.as_moment(at), whole)
            rows[key] = (key, owner, kind, at, whole)
        there = find(connection, events, "ref", rows)
        changed = self._upsert.run(connection, list(rows.values()), there)
        self._job.tally.landed(landed, changed, len(rows) - len(there))


def canonical(data: dict[str, Any]) -> str:
    """The one spelling of an event's data: the same facts give the same text, whatever their order in the file."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def digest(customer: str, kind: str, at: str, data: str) -> str:
    """The id of an event that came without one. `at`: ISO 8601 in UTC. Its form never changes: it would land twice.

    >>> digest("00001", "review", "2026-05-01T02:00:00+00:00", "{}")[:14]
    'sha256:c785ba4'
    """
    written = "\n".join((customer, kind, at, data))
    return "sha256:" + hashlib.sha256(written.encode()).hexdigest()


def _data(cell: str) -> dict[str, Any]:
    try:
        found = json.loads(cell, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object")
    _check_kept(found)
    return found


def _check_kept(data: dict[str, Any]) -> None:
    """JSON can escape what no database keeps. Raises ValueError for it, however deep it stands."""
    try:
        written = json.dumps(data, ensure_ascii=False, allow_nan=False)
        written.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a surrogate pair") from None
    except ValueError:
        raise ValueError("holds a number that is too large") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if _NUL.search(written):
        raise ValueError("holds a NUL character")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")
