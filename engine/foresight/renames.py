"""Old content under a new id: a file that was renamed or copied would send again to those who had the old one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, func, select

from engine.foresight.changes import Change, Wanted
from engine.store.catalog import SENDABLE
from engine.store.tables import definitions as versions
from engine.store.tables import deliveries

_AT_A_TIME = 100
"""Versions read at once: each holds its templates too, and a shop keeps all that it ever applied."""


def warn_of_renames(
    connection: Connection, changes: Sequence[Change], new: Mapping[tuple[str, str], Wanted]
) -> list[str]:
    """A sentence for each campaign or care rule that is new and was in force under another id. Reads only."""
    found = []
    for change in changes:
        if change.what == "added" and change.kind in SENDABLE:
            content = _essence(new[change.kind, change.name].files[change.path])
            found += [
                _sentence(connection, change, old)
                for old in sorted(_same_content(connection, change, content))
            ]
    return found


def _same_content(connection: Connection, change: Change, content: Sequence[str]) -> set[str]:
    """The other ids of this kind whose file, in any version, said the same."""
    others = select(versions.c.name, versions.c.path, versions.c.files).where(
        versions.c.kind == change.kind, versions.c.name != change.name
    )
    rows = connection.execute(others.execution_options(yield_per=_AT_A_TIME))
    return {row.name for row in rows if _essence(row.files.get(row.path, "")) == content}


def _essence(text: str) -> list[str]:
    """The lines that matter: who renames a file often mends its comment on the way."""
    return list(_lines(text))


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.rstrip()


def _sentence(connection: Connection, change: Change, old: str) -> str:
    had = connection.execute(
        select(func.count(deliveries.c.customer_id.distinct())).where(
            deliveries.c.definition == old, deliveries.c.admitted_at.is_not(None)
        )
    ).scalar_one()
    return (
        f"{change.path}: has the same content as {change.kind} {old!r}, but a new id counts as a new"
        f" definition: it would send again to those who had {old!r} ({had} customers so far),"
        " as far as it has not expired; keep the old file name if that is not meant"
    )
