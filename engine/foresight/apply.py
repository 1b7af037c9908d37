"""Making it so: files become versions in the database, and rows in flight follow the change.

One transaction that keeps the dispatcher out: there is no moment in which half of an edit is in force.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, case, delete, func, insert, select, update

from engine.definitions.campaign import Campaign, Care
from engine.definitions.loader import Definitions
from engine.delivery.in_hand import BACK_TO_PLANNED
from engine.delivery.leases import wait_for_admission
from engine.errors import YanshuError
from engine.foresight.changes import (
    Change,
    Wanted,
    compare,
    fingerprint,
    versions_to_come,
    wanted,
)
from engine.foresight.finishing import warn_of_late_finishes
from engine.foresight.readiness import links_of, refuse_broken_templates
from engine.foresight.recurring import Dates
from engine.foresight.renames import warn_of_renames
from engine.planning.expansion import expand
from engine.planning.occurrences import occurrence
from engine.planning.series_edits import (
    drop_orphans,
    follow,
    is_first,
    state_when_brought_back,
)
from engine.settings import Settings
from engine.store.catalog import SENDABLE, CatalogReader
from engine.store.session import Store, insert_ignoring
from engine.store.tables import OPEN_STATES, State, audit, deliveries, links, runs
from engine.store.tables import definitions as versions

InFlight = Literal["update", "keep", "cancel"]
REMOVED, RESCHEDULED, EDITED = "removed", "rescheduled", "edited"
_NOT_ADMITTED = (State.WAITING, State.PLANNED)


@dataclass(frozen=True, slots=True)
class Applied:
    """What is in force now, and what became of rows in flight."""

    changes: Sequence[Change]
    in_flight: Mapping[str, str]  # definition id → a sentence
    planned: Mapping[str, int]  # definition id → deliveries made
    warnings: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "changes": [
                {"what": c.what, "kind": c.kind, "name": c.name, "file": c.path}
                for c in self.changes
                if c.what != "unchanged"
            ],
            "in_flight": dict(self.in_flight),
            "planned": dict(self.planned),
            "warnings": list(self.warnings),
        }

    def as_text(self) -> str:
        signs = {"added": "+", "changed": "~", "removed": "-"}
        lines = [f"{signs[c.what]} {c.kind} {c.name}" for c in self.changes if c.what in signs]
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += [f"  {name}: {what}" for name, what in self.in_flight.items()]
        lines += [f"  {name}: {count} deliveries planned" for name, count in self.planned.items()]
        return "\n".join(lines) or "nothing to change: the files are what is in force"


def apply(
    store: Store,
    definitions: Definitions,
    settings: Settings,
    now: datetime,
    *,
    by: str,
    plan_file: Path | None = None,
    in_flight: InFlight = "update",
    allow_rerun: bool = False,
) -> Applied:
    """Put the project's files in force, then expand what comes due within the horizon.

    Raises DefinitionsError for templates that do not hold, YanshuError where a kept plan is not true any more, or a
    new date would reach people a second time (`allow_rerun` lets it).
    """
    new = wanted(definitions)
    with store.read() as connection:
        touched = versions_to_come(compare(connection, new))
    refuse_broken_templates(definitions, settings, touched)
    found, commit = links_of(definitions, settings, new, touched), git_commit(settings.project)
    with store.write() as connection:
        wait_for_admission(connection)
        changes = compare(connection, new)
        if plan_file is not None:
            _require_same_plan(plan_file, fingerprint(connection, new))
        warnings = warn_of_renames(connection, changes, new)
        _store_versions(connection, changes, new, commit, now, by)
        treated = _InFlight(connection, definitions, in_flight, now, allow_rerun).treat(changes)
        if found:
            connection.execute(insert_ignoring(connection, links, ("digest", "number")), found)
        names = [f"{c.what} {c.kind} {c.name}" for c in changes if c.what != "unchanged"]
        connection.execute(
            insert(audit).values(
                at=now, by=by, action="apply", target=None, data={"changes": names}
            )
        )
    with store.read() as connection:
        catalog = CatalogReader().read(connection)
    planned = expand(store, catalog, now).deliveries
    with store.read() as connection:
        late = warn_of_late_finishes(connection, definitions)
    return Applied(changes, treated, planned, [*warnings, *late])


def rehearse(store: Store, definitions: Definitions, now: datetime, *, by: str) -> None:
    """Put the files in force where nothing will be sent: without their links, and without a look at the templates. A
    second run is let through: what comes of it is what one wants to know."""
    new = wanted(definitions)
    with store.write() as connection:
        changes = compare(connection, new)
        _store_versions(connection, changes, new, None, now, by)
        _InFlight(connection, definitions, "update", now, allow_rerun=True).treat(changes)


def git_commit(project: Path) -> str | None:
    """The commit that the project's files stand at, `-dirty` where they differ from it; None outside git."""
    try:
        head = _git(project, "rev-parse", "HEAD")
        return head + ("-dirty" if _git(project, "status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(project: Path, *arguments: str) -> str:
    command = ["git", "-C", str(project), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def require_kept_plan(store: Store, definitions: Definitions, path: Path) -> None:
    """Told before anything is asked. Raises YanshuError for a file that is no kept plan, or one that is not true any
    more."""
    with store.read() as connection:
        _require_same_plan(path, fingerprint(connection, wanted(definitions)))


def _require_same_plan(path: Path, expected: str) -> None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
    except OSError as error:
        raise YanshuError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise YanshuError(f"{path}: not a kept plan; `yanshu plan --out FILE` makes one") from error
    if kept != expected:
        raise YanshuError(
            f"{path}: the files or what is in force changed since this plan; plan again"
        )


def _store_versions(
    connection: Connection,
    changes: Sequence[Change],
    new: Mapping[tuple[str, str], Wanted],
    commit: str | None,
    now: datetime,
    by: str,
) -> None:
    for change in changes:
        if change.what == "unchanged":
            continue
        mine = (versions.c.kind == change.kind) & (versions.c.name == change.name)
        connection.execute(update(versions).where(mine).values(current=False))
        if change.after is None:
            continue
        version = new[change.kind, change.name]
        connection.execute(
            insert_ignoring(connection, versions, ("kind", "name", "digest")).values(
                kind=version.kind,
                name=version.name,
                digest=version.digest,
                path=version.path,
                files=dict(version.files),
                current=False,
                git_commit=commit,
                applied_at=now,
                applied_by=by,
            )
        )
        connection.execute(
            update(versions)
            .where(mine, versions.c.digest == version.digest)
            .values(current=True, git_commit=commit, applied_at=now, applied_by=by)
        )


@dataclass
class _InFlight:
    """What becomes of rows that were planned under what changed."""

    connection: Connection
    definitions: Definitions
    way: InFlight
    now: datetime
    allow_rerun: bool

    def treat(self, changes: Sequence[Change]) -> dict[str, str]:
        told = {}
        for change in changes:
            if change.kind not in SENDABLE or change.what == "unchanged":
                continue
            told[change.name] = {
                "removed": self._removed,
                "added": self._added,
                "changed": self._changed,
            }[change.what](change)
        return {name: sentence for name, sentence in told.items() if sentence}

    def _removed(self, change: Change) -> str:
        count = self._withdraw(deliveries.c.definition == change.name, REMOVED)
        self._end_runs(runs.c.definition == change.name, REMOVED)
        return f"{count} open deliveries cancelled" if count else ""

    def _added(self, change: Change) -> str:
        """A file that came back takes its rows along; for a new one there are none."""
        return self._bring_back(change, REMOVED) if self._reschedules(change) is None else ""

    def _changed(self, change: Change) -> str:
        moved = self._reschedules(change)
        told = [moved or self._drop_dates(change), self._bring_back(change, RESCHEDULED)]
        if moved is None:
            told.append(self._repin(change))
        return "; ".join(sentence for sentence in told if sentence)

    def _reschedules(self, change: Change) -> str | None:
        """A campaign at a new date: the old run ends while nobody was admitted; else it needs a word."""
        definition = self._definition(change)
        if not isinstance(definition, Campaign) or definition.schedule.recurs:
            return None
        text = occurrence(definition.schedule, self.definitions.policy.timezone).text
        others = (runs.c.definition == change.name) & (runs.c.occurrence != text)
        if not self._count(runs, others & runs.c.state.in_(("open", "blocked", "done"))):
            return None
        of_others = deliveries.c.run_id.in_(select(runs.c.id).where(others))
        went_out = of_others & is_first() & deliveries.c.admitted_at.is_not(None)
        reached = self._count(deliveries, went_out)
        if reached and not self.allow_rerun:
            raise YanshuError(
                f"{change.path}: {reached} customers already received {change.name!r}; its new date"
                " would be a second run: `yanshu apply --allow-rerun` if that is meant"
            )
        count = self._withdraw(of_others, RESCHEDULED)
        self._end_runs(others & runs.c.state.in_(("open", "blocked")), RESCHEDULED)
        return f"rescheduled to {text.removeprefix('at:')}; {count} deliveries of the old date cancelled"

    def _drop_dates(self, change: Change) -> str:
        """Withdraw what is planned for dates that a recurring schedule does not have any more."""
        gone = self._dates(change).no_more()
        if gone is None:
            return ""
        if not self._count(runs, gone & runs.c.state.in_(("open", "blocked"))):
            return ""
        count = self._withdraw(deliveries.c.run_id.in_(select(runs.c.id).where(gone)), RESCHEDULED)
        self._end_runs(gone, RESCHEDULED)
        return f"rescheduled; {count} deliveries of dates that are no more cancelled"

    def _dates(self, change: Change) -> Dates:
        zone = self.definitions.policy.timezone
        return Dates(self.connection, self._definition(change), zone, self.now)

    def _bring_back(self, change: Change, reason: str) -> str:
        mine = (deliveries.c.definition == change.name) & (deliveries.c.reason == reason)
        of_run = self._dates(change).wanted()
        cancelled = mine & (deliveries.c.state == State.CANCELLED) & deliveries.c.run_id.in_(of_run)
        count = self.connection.execute(
            update(deliveries)
            .where(cancelled)
            .values(
                **{**BACK_TO_PLANNED, "state": state_when_brought_back()},
                **self._pin(change),
                ended_at=None,
                reason=None,
            )
        ).rowcount
        follow(self.connection, self._definition(change), self.now)
        self.connection.execute(
            update(runs)
            .where(runs.c.id.in_(of_run), runs.c.state == "cancelled", runs.c.reason == reason)
            .values(state="open", reason=None, done_at=None, digest=change.after)
        )
        return f"{count} deliveries planned again" if count else ""

    def _repin(self, change: Change) -> str:
        rows = (deliveries.c.definition == change.name) & deliveries.c.state.in_(_NOT_ADMITTED)
        if self.way == "keep":
            return ""
        if self.way == "cancel":
            count = self._withdraw(deliveries.c.definition == change.name, EDITED)
            return f"{count} planned deliveries cancelled"
        # Rows that nobody has tried are planned anew by the next expansion, at their new time and for the audience
        # that the file names now; a row that was tried keeps its history and only follows the new content.
        again = self._dates(change).filled_anew()
        of_these = select(runs.c.id).where(runs.c.definition == change.name, again)
        fresh = rows & is_first() & (deliveries.c.attempts == 0) & deliveries.c.run_id.in_(of_these)
        anew = self.connection.execute(delete(deliveries).where(fresh)).rowcount
        drop_orphans(self.connection, change.name)
        kept = self.connection.execute(
            update(deliveries).where(rows).values(**self._pin(change))
        ).rowcount
        definition = self._definition(change)
        follow(self.connection, definition, self.now)
        self.connection.execute(
            update(runs)
            .where(runs.c.definition == change.name, runs.c.state.in_(("open", "blocked")))
            .values(
                digest=change.after,
                priority=definition.priority,
                expanded_at=case((~again, runs.c.expanded_at)),
                state="open",
                reason=None,
            )
        )
        return f"{anew + kept} planned deliveries follow the new version" if anew + kept else ""

    def _pin(self, change: Change) -> dict[str, Any]:
        definition = self._definition(change)
        return {
            "digest": change.after,
            "class": definition.message_class,
            "priority": definition.priority,
        }

    def _definition(self, change: Change) -> Campaign | Care:
        return self.definitions.sendable()[change.name]

    def _withdraw(self, rows: Any, reason: str) -> int:
        still_open = deliveries.c.state.in_(set(OPEN_STATES) - {State.SENDING, State.UNCERTAIN})
        return self.connection.execute(
            update(deliveries)
            .where(rows, still_open)
            .values(
                state=State.CANCELLED.value,
                reason=reason,
                ended_at=self.now,
                batch=None,
                worker=None,
                admitted_at=None,
            )
        ).rowcount

    def _end_runs(self, which: Any, reason: str) -> None:
        self.connection.execute(
            update(runs)
            .where(which, runs.c.state.in_(("open", "blocked")))
            .values(state="cancelled", reason=reason, done_at=self.now)
        )

    def _count(self, table: Any, which: Any) -> int:
        return int(
            self.connection.execute(
                select(func.count()).select_from(table).where(which)
            ).scalar_one()
        )
