"""Imports: a file's rows, checked one by one, landed in sets, batch by batch, in bounded memory.

Each batch is a transaction of its own: what has landed stays, and an import that broke off is simply run again. Bad
rows never stop good ones; they are written to `FILE.rejected.csv`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import Literal, Protocol, get_args

from sqlalchemy import Connection, func, select

from engine.clock import check_aware
from engine.customers.contact_rows import ContactRows
from engine.customers.customer_rows import CustomerRows
from engine.customers.item_rows import ItemRows, Spool
from engine.customers.job import Job
from engine.customers.lines import Lines
from engine.customers.order_rows import OrderRows, Touched
from engine.customers.profile import is_fresh, mark_fresh, mark_stale, refresh
from engine.customers.reach import reach
from engine.customers.records import Columns, Record, Shape, open_records
from engine.customers.rejects import Rejects
from engine.customers.suppression_rows import SuppressionRows
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.policy import Policy
from engine.errors import ImportFileError
from engine.settings import Settings
from engine.store.session import Store
from engine.store.tables import customers

Kind = Literal["customers", "orders", "contacts", "suppressions"]
Progress = Callable[[int, int], None]
"""Takes the rows and the bytes that are done."""
Begin = Callable[[], AbstractContextManager[Connection]]
"""Opens the transaction of one batch."""

BATCH = 10_000
"""Rows in a transaction: each costs a flush to disk, and other writers wait for it (some 0.2 s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSummary:
    """What became of a file's rows: read = inserted + updated + unchanged + rejected.

    `consents`: entries made in the ledger. `rejects_path`: None where no row was rejected. `reach`: customers of the
    whole shop who can be written to, by channel and class. `items`: the same for the `--items` file.
    """

    kind: str
    read: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int
    consents: int
    warnings: tuple[str, ...]
    rejects_path: Path | None
    reach: Mapping[tuple[Channel, MessageClass], int]
    items: ImportSummary | None = None


class Rows(Protocol):
    """Lands one kind of rows."""

    @property
    def columns(self) -> Columns: ...

    def land(self, connection: Connection, shape: Shape, records: Sequence[Record]) -> None: ...


def import_file(
    store: Store,
    kind: Kind,
    path: Path,
    *,
    settings: Settings,
    policy: Policy,
    now: datetime,
    items: Path | None = None,
    dry_run: bool = False,
    on_progress: Progress | None = None,
) -> ImportSummary:
    """Bring a CSV or JSONL file into the shop. The same file twice changes nothing.

    `items`: the items of these orders. `dry_run`: everything is done, counted and rolled back (the file of rejected
    rows is written all the same). Raises ImportFileError where the file cannot be read at all.
    """
    _check(kind, path, items)
    with _transactions(store, dry_run=dry_run) as begin, _without_collector():
        importer = _Importer(
            store, begin, policy, check_aware(now), settings.hashing_key(), on_progress
        )
        summary = importer.run(kind, path, refresh=items is None)
        if items is None:
            return summary
        return replace(summary, items=importer.run_items(items))


def _check(kind: str, path: Path, items: Path | None) -> None:
    if kind not in get_args(Kind):
        raise ImportFileError(f"{path}: importing {kind} is not supported yet")
    if items is not None and kind != "orders":
        raise ImportFileError(f"{items}: only an import of orders takes items")
    if items is not None and not items.is_file():
        raise ImportFileError(f"{items}: no such file")  # said before the orders have landed


@contextmanager
def _transactions(store: Store, *, dry_run: bool) -> Iterator[Begin]:
    """One transaction per batch; for a dry run a single one that is rolled back."""
    if not dry_run:
        yield store.write
        return
    with store.write() as connection:
        yield lambda: nullcontext(connection)
        connection.rollback()


@contextmanager
def _without_collector() -> Iterator[None]:
    """Rows make no cycles, but hundreds of thousands of lists and tuples: looking through them for cycles took
    30 % of an import's time. `_Importer` looks once a batch instead, when they are gone."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Importer:
    """Takes one file, or an orders file and its items, through."""

    def __init__(
        self,
        store: Store,
        begin: Begin,
        policy: Policy,
        now: datetime,
        hashing_key: str,
        on_progress: Progress | None,
    ) -> None:
        self._begin, self._policy, self._now = begin, policy, now
        self._hashing_key, self._as_number = hashing_key, store.is_sqlite
        self._on_progress = on_progress
        self._done = (0, 0)  # rows and bytes of the files before this one
        self._touched = Touched(everybody=False)

    def run(self, kind: Kind, path: Path, *, refresh: bool = True) -> ImportSummary:
        """`refresh` False: the profiles wait for the items of these orders."""
        with Lines(path) as lines, Rejects(path) as rejects:
            job = self._job(rejects)
            touched = self._touched = Touched(everybody=not self._is_fresh())
            rows = _rows(kind, job, touched)
            for batch in self._batches(lines, rows.columns, job):
                with self._begin() as connection:
                    _land(connection, rows, batch)
                    if touched.any or job.is_stale or (kind == "customers" and job.tally.written):
                        mark_stale(connection)
                self._progress(job, lines)
            if refresh:
                self._refresh(touched)
            if kind == "customers":
                self._warn_of_shared_emails(job)
            rejects.flush()
            self._done = (job.tally.read, lines.bytes_done)
            return self._summary(kind, job)

    def run_items(self, path: Path) -> ImportSummary:
        with Lines(path) as lines, Rejects(path) as rejects, Spool() as spool:
            job = self._job(rejects)
            rows = ItemRows(job, self._touched)
            for batch in self._batches(lines, rows.columns, job):
                spool.add(batch)
            for orders in spool.batches(BATCH):
                with self._begin() as connection:
                    rows.land(connection, orders)
                    if self._touched.any:
                        mark_stale(connection)
                self._progress(job, lines)
            self._refresh(self._touched)
            rejects.flush()
            return self._summary("items", job)

    def _job(self, rejects: Rejects) -> Job:
        return Job(
            policy=self._policy,
            now=self._now,
            hashing_key=self._hashing_key,
            as_number=self._as_number,
            rejects=rejects,
        )

    def _batches(self, lines: Lines, columns: Columns, job: Job) -> Iterator[list[Record]]:
        records = open_records(lines, columns, job.reject_line)
        job.rejects.names = records.names
        rest = iter(records)
        while batch := list(islice(rest, BATCH)):
            yield batch
            batch.clear()
            gc.collect(0)

    def _progress(self, job: Job, lines: Lines) -> None:
        job.rejects.flush()
        if self._on_progress is not None:
            rows, size = self._done
            self._on_progress(rows + job.tally.read, size + lines.bytes_done)

    def _is_fresh(self) -> bool:
        with self._begin() as connection:
            return is_fresh(connection, self._policy, self._now)

    def _refresh(self, touched: Touched) -> None:
        """The profiles of whose orders changed; of everybody where that is due anyway."""
        if not touched.any:
            return
        with self._begin() as connection:
            if touched.everybody:
                refresh(connection, self._policy, self._now)
            else:
                refresh(connection, self._policy, self._now, sorted(touched.ids))
                mark_fresh(connection, self._policy, self._now)

    def _warn_of_shared_emails(self, job: Job) -> None:
        with self._begin() as connection:
            count, example = _shared_emails(connection)
        if count:
            what = "e-mail addresses belong to more than one customer"
            job.notes.add(what, f"that of customer {example!r}", count)

    def _summary(self, kind: str, job: Job) -> ImportSummary:
        with self._begin() as connection:
            reachable = reach(connection, self._policy, self._now)
        return ImportSummary(
            kind=kind,
            **asdict(job.tally),
            warnings=job.notes.sentences(),
            rejects_path=job.rejects.path if job.rejects.count else None,
            reach=reachable,
        )


def _rows(kind: Kind, job: Job, touched: Touched) -> Rows:
    match kind:
        case "customers":
            return CustomerRows(job)
        case "orders":
            return OrderRows(job, touched)
        case "contacts":
            return ContactRows(job)
        case "suppressions":
            return SuppressionRows(job)


def _land(connection: Connection, rows: Rows, batch: Sequence[Record]) -> None:
    for shape, run in groupby(batch, key=attrgetter("shape")):
        rows.land(connection, shape, list(run))


def _shared_emails(connection: Connection) -> tuple[int, str | None]:
    """How many addresses several customers share, and the id of one such customer."""
    shared = (
        select(func.min(customers.c.ref).label("ref"))
        .where(customers.c.email_hash.is_not(None))
        .group_by(customers.c.email_hash)
        .having(func.count() > 1)
        .subquery()
    )
    row = connection.execute(select(func.count(), func.min(shared.c.ref))).one()
    return row[0], row[1]
