"""Orders from an import: read, checked, and written in sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, case, func, literal_column

from engine.customers.importing import cells
from engine.customers.importing.job import CellError, Job, RowReader, Values
from engine.customers.importing.records import Columns, Record, Shape
from engine.customers.importing.repeats import Repeats
from engine.customers.owners import find_owners
from engine.customers.touched import Touched
from engine.store.tables import orders
from engine.store.upsert import Rule, Upsert, find, merge_json

COLUMNS = Columns(
    known=(
        "id", "customer_id", "status", "placed_at", "paid_at", "shipped_at", "arrived_at",
        "received_at", "refunded_at", "refunded_amount", "amount", "currency", "quantity",
        "coupon", "source",
    ),
    required=("id", "customer_id", "placed_at", "amount"),
)  # fmt: skip
STATUSES = ("placed", "paid", "shipped", "arrived", "received", "refunded", "closed")
_AS_THEY_COME = ("placed", "paid", "shipped", "arrived", "received", "closed", "refunded")
"""What an order becomes, one after the other: closed also of one that came back, where nobody says that it was refunded."""
_PLACES = {status: place for place, status in enumerate(_AS_THEY_COME)}
_DAY = timedelta(days=1)
TIMES = ("paid_at", "shipped_at", "arrived_at", "received_at", "refunded_at")
_PLACED_AT, _TIMES_FROM = COLUMNS.known.index("placed_at"), COLUMNS.known.index(TIMES[0])
_ALWAYS = (
    "ref", "customer_id", "status", "placed_at", "received_at", "amount", "currency", "attributes",
)  # fmt: skip
_WRITTEN = (
    "ref", "customer_id", "status", "placed_at", *TIMES, "refunded_amount", "amount", "currency",
    "quantity", "coupon", "source", "attributes",
)  # fmt: skip
_OF_NEW = ("status", "attributes")
"""What a new order has even where nothing is said of it."""
Pick = Callable[[tuple[Any, ...]], tuple[Any, ...]]
"""Takes the values of _WRITTEN and gives those of the columns that this shape writes."""

_OWN_TIME = {name.removesuffix("_at"): slot for slot, name in enumerate(TIMES)}
"""A status whose own time the file does not give happened when the order was placed."""


class _OrderReader(RowReader):
    """Refuses an order that something became of before it was placed: by more than a day, for the clocks of two systems, or
    their zones, may differ."""

    def __init__(self, shape: Shape, readers: Mapping[str, cells.Cell], job: Job) -> None:
        super().__init__(shape, readers)
        self._places, self._as_moment = shape.places, job.as_moment
        self._slots = [
            _TIMES_FROM + slot for slot, name in enumerate(TIMES) if name in shape.places
        ]

    def read(self, written: Sequence[str]) -> Values:
        values = super().read(written)
        for slot in self._slots:
            if self._is_early(values[slot], values[_PLACED_AT]):
                name, placed = COLUMNS.known[slot], written[self._places["placed_at"]]
                early = written[self._places[name]]
                raise CellError(f"{name}: {early!r} is more than a day before placed_at {placed!r}")
        return values

    def columns(self, records: Sequence[Record]) -> list[Sequence[Any]]:
        found = super().columns(records)
        for slot in self._slots:
            pairs = zip(found[slot], found[_PLACED_AT], strict=True)
            if any(self._is_early(*pair) for pair in pairs if pair[0] and pair[0] < pair[1]):
                raise ValueError("an order is known from before it was placed")
        return found

    def _is_early(self, moment: Any, placed: Any) -> bool:
        if moment is None or moment >= placed:
            return False
        moments = (datetime.fromisoformat(self._as_moment(value)) for value in (placed, moment))
        return next(moments) - next(moments) > _DAY


class OrderRows:
    """Lands orders. `touched` learns whose profiles have to be computed anew."""

    columns = COLUMNS

    def __init__(self, job: Job, touched: Touched) -> None:
        self._job, self._touched = job, touched
        self._repeats = Repeats(job, orders)
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
        there = find(connection, orders, "ref", rows, "customer_id", "status", "id")
        self._repeats.note(connection, read, there)
        if there and "status" in shape.places and not self._job.overwrites:
            self._warn_of_the_past(read, {ref: row[1] for ref, row in there.items()})
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

    def _warn_of_the_past(
        self, read: Sequence[tuple[Record, Values]], known: Mapping[str, str]
    ) -> None:
        for record, values in read:
            later = _PLACES.get(known.get(values[0], ""), 0)
            if later > _PLACES[values[2] or "received"]:
                what = "rows say what an order was before: what it became since stays without --overwrite"
                self._job.notes.add(what, self._job.where(record.line))

    def _make_plan(self, shape: Shape) -> tuple[RowReader, Pick, Upsert]:
        """Only what the file says is written: a column that it lacks is left as it is."""
        said = {*shape.places}
        if "status" in said:
            said.update(TIMES)
        if shape.extras:
            said.add("attributes")
        columns = [name for name in _WRITTEN if name in said or name in _ALWAYS]
        rules = {
            **{name: _later_time(name) for name in TIMES},
            "attributes": merge_json("attributes", on_sqlite=self._job.as_number),
        }
        if "received_at" not in said:
            rules["received_at"] = _implied_receipt
        if not self._job.overwrites:
            rules |= {"status": _later_status, "refunded_amount": _known_amount}
        upsert = Upsert(
            orders,
            ["ref"],
            columns,
            rules=rules,
            kept=[name for name in _OF_NEW if name not in said],
        )
        pick = itemgetter(*[_WRITTEN.index(name) for name in columns])
        return _OrderReader(shape, self._readers, self._job), pick, upsert


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


def _later_status(table: Table, excluded: Any) -> ColumnElement[Any]:
    """An export of last month's says what was: an order does not go back to that."""
    there, came = table.c.status, excluded.status
    return case((_place(there) > _place(came), there), else_=came)


def _place(status: ColumnElement[Any]) -> ColumnElement[int]:
    """Spelled out: the parameters of the statement are the row's values alone."""
    places: dict[Any, Any] = {
        literal_column(f"'{name}'"): literal_column(str(n)) for name, n in _PLACES.items()
    }
    return case(places, value=status)


def _known_amount(table: Table, excluded: Any) -> ColumnElement[Any]:
    return func.coalesce(excluded.refunded_amount, table.c.refunded_amount)


def _implied_receipt(table: Table, excluded: Any) -> ColumnElement[Any]:
    """Without a status an order was received when it was placed; one that is known to be on its way was not."""
    there = table.c.received_at
    return case((there == table.c.placed_at, excluded.received_at), else_=there)


def _later_time(name: str) -> Rule:
    """A time that is known is never lost to a file that does not say it, nor to one that only implies it."""

    def rule(table: Table, excluded: Any) -> ColumnElement[Any]:
        there, came = table.c[name], excluded[name]
        is_implied = and_(came == excluded.placed_at, there != table.c.placed_at)
        return case((came.is_(None), there), (is_implied, there), else_=came)

    return rule
