"""How far everything is: each run's deliveries by state, what is blocked, what is paused, what is due next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from engine.pages.terminal import local, plain, table
from engine.store.among import among
from engine.store.run_rows import PLANNED, count_by_run
from engine.store.tables import OPEN_STATES, State, deliveries, pauses, runs

_SHOWN_FINISHED = 20  # finished runs in the text; the JSON has all


@dataclass(frozen=True, slots=True)
class RunStatus:
    """One run. `counts` has every state, also those at 0; `state`: open | done | blocked | cancelled."""

    id: int
    definition: str
    occurrence: str
    state: str
    reason: str | None
    starts_at: datetime | None
    counts: Mapping[str, int]
    later: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Of a series: the later steps' own counts, those of a state that they have."""

    @property
    def is_open(self) -> bool:
        return any(self.counts[state] for state in OPEN_STATES)

    @property
    def is_ahead(self) -> bool:
        """Whether all of its messages still wait for their moment."""
        waits = self.counts[State.PLANNED] + self.counts[State.WAITING]
        return self.state == "open" and 0 < waits == sum(self.counts.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "definition": self.definition,
            "occurrence": self.occurrence,
            "state": self.state,
            "reason": self.reason,
            "starts_at": _iso(self.starts_at),
            "states": dict(self.counts),
            "later_steps": {step: dict(counts) for step, counts in self.later.items()},
        }


@dataclass(frozen=True, slots=True)
class PauseStatus:
    target: str
    at: datetime
    by: str

    def as_json(self) -> dict[str, Any]:
        return {"target": self.target, "at": _iso(self.at), "by": self.by}


@dataclass(frozen=True, slots=True)
class Status:
    """What `status` shows. `next_due_at`: when the gate next has something to look at, of runs that are not
    held; `put_off`: why not before, such as a relay that cannot be reached."""

    now: datetime
    states: Mapping[str, int]  # over all runs; every state, also those at 0
    runs: tuple[RunStatus, ...]
    pauses: tuple[PauseStatus, ...]
    next_due_at: datetime | None
    put_off: str | None = None

    @property
    def blocked(self) -> tuple[RunStatus, ...]:
        return tuple(run for run in self.runs if run.state == "blocked")

    def as_json(self) -> dict[str, Any]:
        """`{now, states: {state: n}, runs: [{id, definition, occurrence, state, reason, starts_at, states}],
        blocked: [{run, definition, reason}], pauses: [{target, at, by}], next_due_at, put_off}`."""
        return {
            "now": _iso(self.now),
            "states": dict(self.states),
            "runs": [run.as_json() for run in self.runs],
            "blocked": [
                {"run": run.id, "definition": run.definition, "reason": run.reason}
                for run in self.blocked
            ],
            "pauses": [pause.as_json() for pause in self.pauses],
            "next_due_at": _iso(self.next_due_at),
            "put_off": self.put_off,
        }

    def as_text(self, zone: str = "UTC") -> str:
        """For people, times on the wall clock of `zone`."""
        parts = [self._runs_text(), *self._remarks(zone)]
        return "\n".join(part for part in parts if part)

    def _runs_text(self) -> str:
        if not self.runs:
            return "no runs yet: apply a campaign or a care rule"
        shown = self._shown()
        states = [state for state in State if self.states[state]]
        lines = _together(shown)
        rows = [
            [number, of[0].definition, when, of[0].state, *(_sum(of, state) or "" for state in states)]
            for number, when, of in lines
        ]  # fmt: skip
        if len(self.runs) > 1:
            rows.append(["", "all", "", "", *(self.states[state] for state in states)])
        text = table(
            ["run", "definition", "occurrence", "is", *states],
            rows,
            right={0, *range(4, 4 + len(states))},
        )
        notes = []
        if len(lines) < len(shown):
            notes.append("(runs of which nothing was sent yet are added up: -o json has each)")
        if hidden := len(self.runs) - len(shown):
            notes.append(f"({hidden} older finished runs are not shown)")
        return "\n".join([text, *notes])

    def _shown(self) -> list[RunStatus]:
        finished = [run for run in self.runs if not run.is_open and run.state != "blocked"]
        recent = {run.id for run in finished[-_SHOWN_FINISHED:]}
        old = {run.id for run in finished} - recent
        return [run for run in self.runs if run.id not in old]

    def _remarks(self, zone: str) -> Iterable[str]:
        for run in self._shown():
            if run.is_open and run.later:
                yield f"later steps of run {run.id} of {plain(run.definition)}: {_steps(run.later)}"
        for run in self.blocked:
            yield f"blocked: run {run.id} of {plain(run.definition)}: {plain(run.reason)}"
        for pause in self.pauses:
            yield f"paused: {plain(pause.target)} since {local(pause.at, zone)} by {plain(pause.by)}"
        if uncertain := self.states[State.UNCERTAIN]:
            yield (
                f"uncertain: {uncertain} were handed over without a reply;"
                " `settle` says what became of them, `retry --uncertain` sends again"
            )
        if self.next_due_at is not None:
            why = f", put off: {plain(self.put_off)}" if self.put_off else ""
            yield f"next due: {local(self.next_due_at, zone)} {zone}{why}"


def status(connection: Connection, now: datetime) -> Status:
    """The state of everything, in one reading."""
    found = _runs(connection)
    paused = tuple(
        PauseStatus(row.target, row.at, row.by)
        for row in connection.execute(select(pauses).order_by(pauses.c.at, pauses.c.id))
    )
    next_due_at, put_off = _next_due(connection, found, {pause.target for pause in paused}, now)
    return Status(
        now=now,
        states=_totals(found),
        runs=found,
        pauses=paused,
        next_due_at=next_due_at,
        put_off=put_off,
    )


def _next_due(
    connection: Connection, found: Iterable[RunStatus], paused: Set[str], now: datetime
) -> tuple[datetime | None, str | None]:
    """When the first planned row of the runs that neither a block nor a pause holds is due, and why not before."""
    free = [
        run.id
        for run in found
        if run.state == "open"
        and paused.isdisjoint(
            ("all", f"campaign:{run.definition}", f"care:{run.definition}", f"run:{run.id}")
        )
    ]
    first = connection.execute(_FIRST_DUE, {"runs": free}).scalar()
    if first is None or first <= now:  # what is due is put off no longer
        return first, None
    return first, connection.execute(_WHY_THEN, {"runs": free, "first": first}).scalar()


# Run by run, from the index of planned rows: it has no other order.
_FIRST_OF_RUN = (
    select(func.min(deliveries.c.next_at))
    .where(deliveries.c.run_id == runs.c.id, PLANNED)
    .correlate(runs)
    .scalar_subquery()
)
_FIRST_DUE = select(func.min(_FIRST_OF_RUN)).where(among(runs.c.id, "runs"))
_WHY_THEN = (
    select(deliveries.c.reason)
    .join(runs, runs.c.id == deliveries.c.run_id)
    .where(among(runs.c.id, "runs"), PLANNED, deliveries.c.next_at == bindparam("first"))
    .limit(1)
)


def _together(shown: Sequence[RunStatus]) -> list[tuple[str, str, list[RunStatus]]]:
    """(number, occurrence, runs) of each line. The runs of a definition that lie wholly ahead are one: a care rule has a run
    for each day, six weeks of them."""
    ahead: dict[str, list[RunStatus]] = {}
    for run in shown:
        if run.is_ahead:
            ahead.setdefault(run.definition, []).append(run)
    lines = []
    for run in shown:
        of = ahead.get(run.definition, []) if run.is_ahead else [run]
        if len(of) == 1:
            lines.append((str(run.id), run.occurrence, of))
        elif run is of[0]:
            first, *_, last = sorted(of, key=_begins)
            lines.append(("", f"{len(of)} runs, {first.occurrence} to {last.occurrence}", of))
    return lines


def _begins(run: RunStatus) -> tuple[bool, datetime | None, str]:
    return run.starts_at is None, run.starts_at, run.occurrence


def _sum(of: Sequence[RunStatus], state: State) -> int:
    return sum(run.counts[state] for run in of)


def _runs(connection: Connection) -> tuple[RunStatus, ...]:
    counts: dict[int, dict[str, int]] = {}
    for (run_id, state), count in count_by_run(connection).items():
        counts.setdefault(run_id, _zeroes())[state] = count
    later = _later_steps(connection)
    return tuple(
        RunStatus(
            id=row.id,
            definition=row.definition,
            occurrence=row.occurrence,
            state=row.state,
            reason=row.reason,
            starts_at=row.starts_at,
            counts=counts.get(row.id) or _zeroes(),
            later=later.get(row.id, {}),
        )
        for row in connection.execute(select(runs).order_by(runs.c.id))
    )


def _later_steps(connection: Connection) -> Mapping[int, dict[str, dict[str, int]]]:
    """Run → step → state → deliveries, from an index that holds nothing but later steps."""
    table = deliveries.c
    keys = (table.run_id, table.step, table.state)
    query = select(*keys, func.count()).where(table.parent_step.is_not(None)).group_by(*keys)
    found: dict[int, dict[str, dict[str, int]]] = {}
    for run_id, step, state, count in connection.execute(query.order_by(*keys)):
        found.setdefault(run_id, {}).setdefault(step, {})[state] = count
    return found


def _steps(later: Mapping[str, Mapping[str, int]]) -> str:
    """`nudge 3 waiting, 2 sent; last 5 waiting`"""
    return "; ".join(
        f"{plain(step)} " + ", ".join(f"{count} {state}" for state, count in counts.items())
        for step, counts in later.items()
    )


def _totals(found: Iterable[RunStatus]) -> dict[str, int]:
    totals = _zeroes()
    for run in found:
        for state, count in run.counts.items():
            totals[state] += count
    return totals


def _zeroes() -> dict[str, int]:
    return {state.value: 0 for state in State}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
