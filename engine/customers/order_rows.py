"""Orders from an import: read, checked, and written in sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, case

from engine.customers import cells
from engine.customers.job import Job, RowReader, Values
from engine.customers.owners import find_owners
from engine.customers.records import Columns, Record, Shape
from engine.customers.touched import Touched
from engine.customers.upsert import Rule, Upsert, find, merge_json
from engine.store.tables import orders

COLUMNS = Columns(
    known=(
        "id", "customer_id", "status", "placed_at", "paid_at", "shipped_at", "arrived_at",
        "received_at", "refunded_at", "refunded_amount", "amount", "currency", "quantity",
        "coupon", "source",
    ),
    required=("id", "customer_id", "placed_at", "amount"),
)  # fmt: skip
STATUSES = ("placed", "paid", "shipped", "arrived", "received", "refunded", "closed")
TIMES = ("paid_at", "shipped_at", "arrived_at", "received_at", "refunded_at")
_ALWAYS = (
    "ref", "customer_id", "status", "placed_at", "received_at", "amount", "currency", "attributes",
)  # fmt: skip
_WRITTEN = (
    "ref", "customer_id", "status", "placed_at", *TIMES, "refunded_amount", "amount", "currency",
    "quantity", "coupon", "source", "attributes",
)  # fmt: skip
Pick = Callable[[tuple[Any, ...]], tuple[Any, ...]]
"""Takes the values of _WRITTEN and gives those of the columns that this shape writes."""

_OWN_TIME = {name.removesuffix("_at"): slot for slot, name in enumerate(TIMES)}
"""A status whose own time the file does not give happened when the order was placed."""


class OrderRows:
    """Lands orders. `touched` learns whose profiles have to be computed anew."""

    columns = COLUMNS

    def __init__(self, job: Job, touched: Touched) -> None:
        self._job, self._touched = job, touched
        self._readers = _readers(job)
        self._plan = lru_cache(maxsize=1000)(self._make_plan)

    def land(self, connection: Connection, shape: Shape, records: Sequence[Record]) -> None:
        """Write these rows; of several with one id the last wins."""
        read = self._job.read_all(self.reader(shape), records)
        people = find_owners(connection, {values[1] for _, values in read})
        self.write(connection, shape, read, people)

    def reader(self, shape: Shape) -> RowReader:
        """Reads the cells of this shape, in the order of COLUMNS.known."""
        return self._plan(shape)[0]

    def write(
        self,
        connection: Connection,
        shape: Shape,
        read: Sequence[tuple[Record, Values]],
        people: Mapping[str, int],
    ) -> set[str]:
        """Write what was read of these rows. `people`: whose the orders are. Returns the orders' ids that landed."""
        reader, pick, upsert = self._plan(shape)
        self._warn_of_the_future(read)
        currency = self._job.policy.prices.currency
        rows: dict[str, tuple[Any, ...]] = {}
        landed = 0
        for record, values in read:
            owner = people.get(values[1])
            if owner is None:
                self._job.reject(record, f"customer_id: there is no customer {values[1]!r}")
            else:
                attributes = reader.attributes(record.cells)
                rows[values[0]] = pick(_row(values, owner, currency, attributes))
                landed += 1
        there = find(connection, orders, "ref", rows, "customer_id")
        changed = upsert.run(connection, list(rows.values()), there)
        self._job.tally.landed(landed, changed, len(rows) - len(there))
        if changed:
            self._touched.add(row[1] for row in rows.values())
            self._touched.add(row[0] for row in there.values())
        return set(rows)

    def _warn_of_the_future(self, read: Sequence[tuple[Record, Values]]) -> None:
        """A rehearsal at an earlier moment may well import them; a wrong clock should be seen."""
        now = self._job.now_value
        late = [record.line for record, values in read if values[3] > now]
        if late:
            self._job.notes.add("rows lie in the future", self._job.where(late[0]), len(late))

    def _make_plan(self, shape: Shape) -> tuple[RowReader, Pick, Upsert]:
        """Only what the file says is written: a column that it lacks is left as it is."""
        written = {*_ALWAYS, *shape.places} | (set(TIMES) if "status" in shape.places else set())
        columns = [name for name in _WRITTEN if name in written]
        upsert = Upsert(
            orders, ["ref"], columns,
            kept=() if shape.extras else ["attributes"],
            rules={
                **{name: _later_time(name) for name in TIMES},
                "attributes": merge_json("attributes", on_sqlite=self._job.as_number),
            },
        )  # fmt: skip
        pick = itemgetter(*[_WRITTEN.index(name) for name in columns])
        return RowReader(shape, self._readers), pick, upsert


def _readers(job: Job) -> dict[str, cells.Cell]:
    """In the order of COLUMNS.known."""
    moment, money = job.moment, job.money
    later = cells.optional(moment)
    return {
        "id": cells.identifier,
        "customer_id": cells.identifier,
        "status": cells.optional(cells.word(*STATUSES)),
        "placed_at": moment,
        **dict.fromkeys(TIMES, later),
        "refunded_amount": cells.optional(money),
        "amount": money,
        "currency": _currency(job.policy.prices.currency),
        "quantity": cells.optional(cells.whole_number),
        "coupon": cells.text,
        "source": cells.text,
    }


def _currency(wanted: str) -> cells.Cell:
    def read(cell: str) -> str:
        found = cell.strip().upper()
        if found and found != wanted:
            raise ValueError(f"{found!r} is not the shop's currency {wanted}")
        return wanted

    return read


def _row(values: Values, owner: int, currency: str, attributes: str) -> tuple[Any, ...]:
    """The values of _WRITTEN."""
    ref, _, status, placed, *times, refunded, amount, _, quantity, coupon, source = values
    status = status or "received"
    slot = _OWN_TIME.get(status)
    if slot is not None and times[slot] is None:
        times[slot] = placed
    return (
        ref, owner, status, placed, *times, refunded, amount, currency, quantity, coupon, source,
        attributes,
    )  # fmt: skip


def _later_time(name: str) -> Rule:
    """A time that is known is never lost to a file that does not say it, nor to one that only implies it."""

    def rule(table: Table, excluded: Any) -> ColumnElement[Any]:
        there, came = table.c[name], excluded[name]
        is_implied = and_(came == excluded.placed_at, there != table.c.placed_at)
        return case((came.is_(None), there), (is_implied, there), else_=came)

    return rule
