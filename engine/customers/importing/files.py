"""Imports: a file's rows, checked one by one, landed in sets, batch by batch, in bounded memory.

Each batch is a transaction of its own: what has landed stays, and an import that broke off is simply run again. Bad
rows never stop good ones; they are written to `FILE.rejected.csv`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import get_args

from sqlalchemy import Connection, func, select

from engine.clock import check_aware
from engine.customers.collector import without_collector
from engine.customers.importing.batches import batches, orders_of
from engine.customers.importing.item_rows import ItemRows, Spool, order_of
from engine.customers.importing.job import Job
from engine.customers.importing.kinds import ImportSummary, Kind, Rows, rows_of
from engine.customers.importing.lines import Lines
from engine.customers.importing.mapped_orders import MappedOrders
from engine.customers.importing.product_rows import ProductRows, fill_items, has_items
from engine.customers.importing.records import (
    ANY_COLUMNS,
    Columns,
    JsonRecords,
    Record,
    Records,
    Reject,
    open_records,
    torn,
)
from engine.customers.importing.rejects import Rejects
from engine.customers.importing.translation import Translated, check_fit, column_of
from engine.customers.profiles.freshness import (
    counts_by,
    is_fresh,
    mark_fresh,
    mark_stale,
    refresh,
)
from engine.customers.reach import reach
from engine.customers.touched import Touched
from engine.customers.wake import leave_note
from engine.definitions.mapping import ImportMapping
from engine.definitions.policy import Policy
from engine.errors import ImportFileError
from engine.settings import Settings
from engine.store.session import Store
from engine.store.tables import customers

__all__ = ["BATCH", "ImportSummary", "Kind", "Progress", "import_file"]

Progress = Callable[[int, int], None]
"""Takes the rows and the bytes that are done."""
Begin = Callable[[], AbstractContextManager[Connection]]
"""Opens the transaction of one batch."""

BATCH = 10_000
"""Rows in a transaction: each costs a flush to disk, and other writers wait for it (some 0.2 s)."""


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
    overwrite: bool = False,
    mappings: Sequence[ImportMapping] = (),
    on_progress: Progress | None = None,
) -> ImportSummary:
    """Bring a CSV, JSONL or XLSX file into the shop. The same file twice changes nothing. `mappings`: what turns the
    file's columns into ours; one for each kind. Rows are read by `policy`; profiles follow the one in force, if any is.

    `items`: the items of these orders. `dry_run`: everything is done, counted and rolled back (the file of rejected
    rows is written all the same). `overwrite`: an order goes back to an earlier status that the file says. Raises ImportFileError where the file cannot be read at all.
    """
    _check(kind, path, items, overwrite=overwrite)
    by_kind = _by_kind(mappings, kind, items)
    with _transactions(store, dry_run=dry_run) as begin, without_collector():
        importer = _Importer(
            store, begin, policy, check_aware(now), settings.hashing_key(), by_kind, on_progress,
            overwrites=overwrite,
        )  # fmt: skip
        summary = importer.run(kind, path, refresh=items is None)
        if items is None:
            return summary
        return replace(summary, items=importer.run_items(items))


def _check(kind: str, path: Path, items: Path | None, *, overwrite: bool) -> None:
    if kind not in get_args(Kind):
        raise ImportFileError(f"{path}: importing {kind} is not supported yet")
    if items is not None and kind != "orders":
        raise ImportFileError(f"{items}: only an import of orders takes items")
    if overwrite and kind != "orders":
        raise ImportFileError(f"{path}: only orders have a status to overwrite")
    if items is not None and not items.is_file():
        raise ImportFileError(f"{items}: no such file")  # said before the orders have landed


def _by_kind(
    mappings: Sequence[ImportMapping], kind: str, items: Path | None
) -> dict[str, ImportMapping]:
    """Raises ImportFileError where one has nothing to do, or two the same."""
    found: dict[str, ImportMapping] = {}
    for mapping in mappings:
        wanted = (kind, "items") if items is not None else (kind,)
        if mapping.of not in wanted:
            raise ImportFileError(
                f"{mapping.path} is of {mapping.of}, not of {' or '.join(wanted)}"
            )
        if mapping.of in found:
            raise ImportFileError(f"{found[mapping.of].path} and {mapping.path} are both of {mapping.of}")  # fmt: skip
        found[mapping.of] = mapping
    if items is not None and kind in found and found[kind].rows == "item":
        raise ImportFileError(f"{items}: the rows of {found[kind].path} are items already")
    return found


@contextmanager
def _transactions(store: Store, *, dry_run: bool) -> Iterator[Begin]:
    """One transaction per batch; for a dry run a single one that is rolled back."""
    if not dry_run:
        yield store.write
        return
    with store.write() as connection:
        yield lambda: nullcontext(connection)
        connection.rollback()


class _Importer:
    """Takes one file, or an orders file and its items, through."""

    def __init__(
        self,
        store: Store,
        begin: Begin,
        policy: Policy,
        now: datetime,
        hashing_key: str,
        mappings: Mapping[str, ImportMapping],
        on_progress: Progress | None,
        *,
        overwrites: bool,
    ) -> None:
        self._begin, self._policy, self._now = begin, policy, now
        self._hashing_key, self._as_number = hashing_key, store.is_sqlite
        self._mappings, self._on_progress = mappings, on_progress
        self._overwrites = overwrites
        self._done = (0, 0)  # rows and bytes of the files before this one
        self._touched = Touched(everybody=False)

    def run(self, kind: Kind, path: Path, *, refresh: bool = True) -> ImportSummary:
        """`refresh` False: the profiles wait for the items of these orders."""
        if kind == "orders" and kind in self._mappings:
            return self._run_mapped(path, self._mappings[kind], refresh=refresh)
        with self._open(kind, path) as (lines, rejects):
            job = self._job(rejects)
            touched = self._touched = Touched(everybody=not self._is_fresh())
            rows = rows_of(kind, job, touched)
            found = self._batches(kind, lines, rows.columns, job.reject_line)
            if kind not in self._mappings:
                for near in rows.columns.near(self._rejects.names):
                    job.notes.add("columns are not known, but look like one that is", near)
            for batch in found:
                with self._begin() as connection:
                    _land(connection, rows, batch)
                    if touched.any:
                        mark_stale(connection)
                self._progress(job, lines)
            if isinstance(rows, ProductRows) and rows.changed:
                self._fill_items()
            # The orders of a first load are yet to come: the grades that they give would look like changes.
            is_first = kind == "customers" and touched.everybody
            if refresh and not is_first:
                self._refresh(touched)
            if kind == "customers":
                self._warn_of_shared_emails(job)
            rejects.flush()
            self._done = (job.tally.read, lines.bytes_done)
            return self._summary(kind, job)

    def run_items(self, path: Path) -> ImportSummary:
        with self._open("items", path) as (lines, rejects), Spool() as spool:
            job = self._job(rejects)
            rows = ItemRows(job, self._touched)
            mapping = self._mappings.get("items")
            theirs = order_of if mapping is None else column_of(mapping, "order_id")
            reject = self._set_aside(spool, job, theirs)
            for batch in self._batches("items", lines, rows.columns, reject):
                spool.add(batch, order_of)
            for orders in spool.batches(BATCH):
                with self._begin() as connection:
                    rows.land(connection, orders)
                    if self._touched.any:
                        mark_stale(connection)
                self._progress(job, lines)
            self._refresh(self._touched)
            rejects.flush()
            return self._summary("items", job)

    def _run_mapped(self, path: Path, mapping: ImportMapping, *, refresh: bool) -> ImportSummary:
        with self._open("orders", path) as (lines, rejects), Spool() as spool:
            job, items_job = self._job(rejects), self._job(rejects)
            items_job.notes = job.notes
            touched = self._touched = Touched(everybody=not self._is_fresh())
            mapped = MappedOrders(job, items_job, touched, mapping)
            reject: Reject = job.reject_line
            if mapping.rows == "item":
                reject = self._set_aside(spool, job, mapped.ref)
            records = open_records(lines, ANY_COLUMNS, reject, mapping.delimiter)
            if not isinstance(records, JsonRecords):
                mapped.fit(records.names)
            for orders in orders_of(self._chunks(records), spool, mapped, mapping, BATCH):
                with self._begin() as connection:
                    mapped.land(connection, orders)
                    if touched.any:
                        mark_stale(connection)
                self._progress(job, lines)
            if refresh:
                self._refresh(touched)
            rejects.flush()
            self._done = (job.tally.read, lines.bytes_done)
            found = replace(self._summary("orders", job), created=mapped.created)
            if mapping.rows == "order":
                return found
            return replace(found, items=replace(self._summary("items", items_job), warnings=()))

    @contextmanager
    def _open(self, kind: str, path: Path) -> Iterator[tuple[Lines, Rejects]]:
        mapping = self._mappings.get(kind)
        encodings = mapping.encodings if mapping else ("utf-8",)
        with Lines(path, encodings) as lines, Rejects(path) as rejects:
            self._rejects = rejects
            yield lines, rejects

    def _fill_items(self) -> None:
        with self._begin() as connection:
            if has_items(connection) and fill_items(connection):
                mark_stale(connection)

    def _job(self, rejects: Rejects) -> Job:
        return Job(
            policy=self._policy,
            now=self._now,
            hashing_key=self._hashing_key,
            as_number=self._as_number,
            overwrites=self._overwrites,
            rejects=rejects,
        )

    def _batches(
        self, kind: str, lines: Lines, columns: Columns, reject: Reject
    ) -> Iterator[list[Record]]:
        mapping = self._mappings.get(kind)
        if mapping is None:
            return self._chunks(open_records(lines, columns, reject))
        records = open_records(lines, ANY_COLUMNS, reject, mapping.delimiter)
        if not isinstance(records, JsonRecords):
            check_fit(mapping, mapping.columns, columns.required, records.names)
        return self._chunks(Translated(records, mapping, columns, reject))

    def _set_aside(self, spool: Spool, job: Job, ref: Callable[[Record], str]) -> Reject:
        """What takes rows that cannot be read, and keeps them with the others of their order, which go with them. `ref`:
        which order that is. A row that does not say it even so goes alone."""

        def take(line: int, reason: str, cells: Sequence[str]) -> None:
            record = torn(self._rejects.names, line, reason, cells)
            if ref(record):
                spool.add([record], ref)
            else:
                job.reject_line(line, reason, cells)

        return take

    def _chunks(self, records: Records) -> Iterator[list[Record]]:
        self._rejects.names = records.names
        return batches(records, BATCH)

    def _progress(self, job: Job, lines: Lines) -> None:
        self._rejects.flush()
        if self._on_progress is not None:
            rows, size = self._done
            self._on_progress(rows + job.tally.read, size + lines.bytes_done)

    def _is_fresh(self) -> bool:
        with self._begin() as connection:
            return is_fresh(connection, counts_by(connection, self._policy), self._now)

    def _refresh(self, touched: Touched) -> None:
        """The profiles of whom this was about; of everybody where that is due anyway."""
        if not touched.any:
            return
        with self._begin() as connection:
            rules = counts_by(connection, self._policy)
            if touched.everybody:
                refresh(connection, rules, self._now)
            else:
                refresh(connection, rules, self._now, sorted(touched.ids))
                mark_fresh(connection, rules, self._now)

    def _warn_of_shared_emails(self, job: Job) -> None:
        with self._begin() as connection:
            count, example = _shared_emails(connection)
        if count:
            what = "e-mail addresses belong to more than one customer"
            job.notes.add(what, f"that of customer {example!r}", count)

    def _summary(self, kind: str, job: Job) -> ImportSummary:
        with self._begin() as connection:
            if job.tally.written:
                leave_note(connection, None, self._now)
            reachable = reach(connection, self._policy, self._now)
        return ImportSummary(
            kind=kind,
            **asdict(job.tally),
            warnings=job.notes.sentences(),
            rejects_path=self._rejects.path if self._rejects.count else None,
            reach=reachable,
        )


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
