"""What is paused, as the dispatcher asks it: whole runs are left out of the search, channels and domains are put off."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, select, true

from engine.gate.candidates import Candidate
from engine.gate.decision import Because, Decision, Defer, Send
from engine.store.tables import pauses, runs

_TARGETS = select(pauses.c.target)


@dataclass(frozen=True, slots=True)
class Held:
    """The pauses in force, by kind."""

    everything: bool
    definitions: Collection[str]
    run_ids: Collection[int]
    others: Collection[str]  # channel:…, domain:…, delivery:… as stored

    def allows_run(self) -> ColumnElement[bool]:
        """A predicate over `runs`: none of the pauses names it."""
        if self.everything:
            return ~true()
        return runs.c.definition.not_in(self.definitions) & runs.c.id.not_in(self.run_ids)

    def allows(self, run_id: int, definition: str) -> bool:
        """The same of one run."""
        return not (self.everything or definition in self.definitions or run_id in self.run_ids)

    def put_off(self, candidate: Candidate, decision: Decision, until: datetime) -> Decision:
        """The same decision, or a deferral where what it would use is paused."""
        if not isinstance(decision, Send):
            return decision
        names = [f"channel:{decision.channel}", f"delivery:{candidate.public_id}"]
        if decision.channel == "email":
            names.append(f"domain:{candidate.email_domain}")
        stopped = next((name for name in names if name in self.others), None)
        if stopped is None:
            return decision
        return Defer(until, Because(f"paused {stopped}"), record=False)


def held(connection: Connection) -> Held:
    targets = list(connection.execute(_TARGETS).scalars())
    return Held(
        everything="all" in targets,
        definitions=[t.partition(":")[2] for t in targets if t.startswith(("campaign:", "care:"))],
        run_ids=[int(t.partition(":")[2]) for t in targets if t.startswith("run:")],
        others={t for t in targets if t.startswith(("channel:", "domain:", "delivery:"))},
    )
