"""What `import` does around the import itself: the kinds, the progress bar, the summary."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast, get_args

from engine.cli.context import Session
from engine.customers.importing.files import ImportSummary, Kind, Progress, import_file
from engine.definitions.mappings import load_mapping
from engine.errors import EXIT_ERROR, EXIT_FINE, UsageError, YanshuError, did_you_mean
from engine.pages.terminal import plain, table

_KINDS: tuple[str, ...] = get_args(Kind)
_LATER = ("coupons",)


def bring_in(
    session: Session,
    kind: str,
    file: Path,
    items: Path | None,
    mappings: Sequence[str] = (),
    *,
    dry_run: bool,
    overwrite: bool,
) -> int:
    """Import, answer with the summary; the exit code: 1 where a row was rejected."""
    _check(kind, file, items)
    with _progress(session, file, items) as on_progress:
        found = import_file(
            session.store,
            cast("Kind", kind),
            file,
            settings=session.settings,
            policy=session.policy,
            now=session.now(),
            items=items,
            dry_run=dry_run,
            overwrite=overwrite,
            mappings=[load_mapping(session.files, name) for name in mappings],
            on_progress=on_progress,
        )
    session.answer({**_as_json(found), "dry_run": dry_run}, lambda: _as_text(found, dry_run))
    return EXIT_ERROR if _rejected(found) else EXIT_FINE


def _check(kind: str, file: Path, items: Path | None) -> None:
    if kind in _LATER:
        raise YanshuError(f"importing {kind} is not supported yet")
    if kind not in _KINDS:
        hint = did_you_mean(kind, _KINDS)
        raise UsageError(f"unknown kind {kind!r}{hint}; known: {', '.join(_KINDS)}")
    if items is not None and kind != "orders":
        raise UsageError(f"--items goes with orders, not with {kind}")
    for path in (file, items):
        if path is not None and not path.is_file():
            # It is read by its size, and rejected rows go beside it.
            what = "is not a regular file" if path.exists() else "no such file"
            raise YanshuError(f"{path}: {what}")


@contextmanager
def _progress(session: Session, file: Path, items: Path | None) -> Iterator[Progress | None]:
    """A bar on stderr for people who watch; the file's bytes tell how far it is."""
    if session.common.quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    sizes = [path.stat().st_size for path in (file, items) if path is not None]
    columns = (TextColumn("{task.fields[rows]:,} rows"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(sizes), rows=0)
        yield lambda rows, done: bar.update(task, completed=done, rows=rows)


def _rejected(found: ImportSummary) -> int:
    return found.rejected + (found.items.rejected if found.items else 0)


def _as_json(found: ImportSummary) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "read": found.read,
        "inserted": found.inserted,
        "updated": found.updated,
        "unchanged": found.unchanged,
        "rejected": found.rejected,
        "consents": found.consents,
        "created": found.created,
        "warnings": list(found.warnings),
        "rejects_path": str(found.rejects_path) if found.rejects_path else None,
        "reach": [
            {"channel": channel, "class": name, "customers": count}
            for (channel, name), count in found.reach.items()
        ],
        "items": _as_json(found.items) if found.items else None,
    }


def _as_text(found: ImportSummary, dry_run: bool) -> str:
    lines = [_line(found)]
    lines += [_line(found.items)] if found.items else []
    lines += [f"customers made from these orders: {found.created:,}"] if found.created else []
    lines += [f"warning: {plain(warning)}" for warning in found.warnings]
    if found.rejects_path is not None:
        lines.append(f"rejected rows, each with its reason: {found.rejects_path}")
    if found.reach:
        rows = [[channel, name, f"{count:,}"] for (channel, name), count in found.reach.items()]
        lines.append(table(["can be reached by", "for", "customers"], rows, right={2}))
    lines += ["dry run: nothing was kept"] if dry_run else []
    return "\n".join(lines)


def _line(found: ImportSummary) -> str:
    return (
        f"{found.kind}: {found.read:,} rows read: {found.inserted:,} new, {found.updated:,} updated,"
        f" {found.unchanged:,} unchanged, {found.rejected:,} rejected"
    )
