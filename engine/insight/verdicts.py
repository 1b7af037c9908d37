"""What was decided about each delivery, and by which rule: the gate's deferrals and skips, and what let one through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from engine.definitions.campaign import Campaign
from engine.definitions.loader import load_one
from engine.errors import YanshuError
from engine.pages.terminal import local, plain
from engine.store.tables import State, decisions, definitions

UNKNOWN_RULE: Mapping[str, Any] = {"file": None, "line": None, "text": None}
_NOT_SENT = (State.SKIPPED, State.CANCELLED, State.HOLDOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One decision about one delivery. `rule`: {file, line, text as written}; `until` only of a deferral."""

    customer: str
    delivery: str
    definition: str
    step: str
    at: datetime
    verdict: Literal["send", "defer", "skip"]
    reason: str
    rule: Mapping[str, Any]
    evidence: Mapping[str, Any]
    until: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "customer": self.customer,
            "delivery": self.delivery,
            "definition": self.definition,
            "step": self.step,
            "at": self.at,
            "verdict": self.verdict,
            "reason": self.reason,
            "rule": dict(self.rule),
            "evidence": dict(self.evidence),
            "until": self.until,
        }

    def as_text(self, zone: str) -> str:
        """Up to three lines: the decision, the rule, the evidence."""
        until = f" until {local(self.until, zone)}" if self.until else ""
        lines = [f"{local(self.at, zone)}  {self.verdict}{until}: {plain(self.reason)}"]
        if self.rule.get("file"):
            lines.append(
                f"    {plain(self.rule['file'])}:{self.rule.get('line')}  {plain(self.rule.get('text'))}"
            )
        if self.evidence:
            facts = ", ".join(f"{plain(k)} {_fact(v, zone)}" for k, v in self.evidence.items())
            lines.append(f"    {facts}")
        return "\n".join(lines)


def _fact(value: Any, zone: str) -> str:
    return local(value, zone) if isinstance(value, datetime) else plain(value)


def verdicts(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, list[Verdict]]:
    """Delivery id → its decisions by time. `rows`: deliveries joined with their customer's `ref`."""
    written = _written(connection, rows)
    origins = _origins(connection, {row.digest for row in rows})
    return {row.id: _of_one(row, written.get(row.id, []), origins) for row in rows}


def _written(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, list[Verdict]]:
    by_id = {row.id: row for row in rows}
    found: dict[int, list[Verdict]] = {}
    query = select(decisions).where(decisions.c.delivery_id.in_(list(by_id)))
    for row in connection.execute(query.order_by(decisions.c.id)):
        verdict = Verdict(
            **whose(by_id[row.delivery_id]),
            at=row.at,
            verdict=row.verdict,
            reason=row.reason,
            rule={**UNKNOWN_RULE, **row.rule},
            evidence=row.evidence,
            until=row.until,
        )
        found.setdefault(row.delivery_id, []).append(verdict)
    return found


def _of_one(
    row: Row[Any], written: list[Verdict], origins: Mapping[str, Mapping[str, Any]]
) -> list[Verdict]:
    found = list(written)
    origin = origins.get(row.digest, UNKNOWN_RULE)
    if row.admitted_at is not None:
        found.append(_sent(row, origin))
    elif row.state in _NOT_SENT and not any(v.verdict == "skip" for v in written):
        found.append(_withdrawn(row, origin))
    return sorted(found, key=lambda verdict: verdict.at)


def _sent(row: Row[Any], origin: Mapping[str, Any]) -> Verdict:
    """The gate writes no row for what it admits (it would be one for every message): the delivery itself tells."""
    evidence = {
        "channel": row.channel,
        "state": row.state,
        "due_at": row.due_at,
        "deferrals": row.deferrals,
        "send_at": row.send_at,
        "sent_at": row.sent_at,
        "reply": row.reply,
    }
    return Verdict(
        **whose(row),
        at=row.admitted_at,
        verdict="send",
        reason=f"every rule allowed it by {row.channel}",
        rule=origin,
        evidence={name: value for name, value in evidence.items() if value is not None},
    )


def _withdrawn(row: Row[Any], origin: Mapping[str, Any]) -> Verdict:
    """Holdouts, cancellations and what was skipped without the gate: the reason stands on the delivery."""
    return Verdict(
        **whose(row),
        at=row.ended_at or row.created_at,
        verdict="skip",
        reason=row.reason or row.state,
        rule=origin,
        evidence={"state": row.state, "due_at": row.due_at},
    )


def whose(row: Row[Any]) -> dict[str, Any]:
    return {
        "customer": row.ref,
        "delivery": row.public_id,
        "definition": row.definition,
        "step": row.step,
    }


def _origins(connection: Connection, digests: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Version → the line that called for its messages: its schedule's date, or its trigger."""
    query = select(definitions).where(definitions.c.digest.in_(list(digests)))
    return {row.digest: _origin(row) for row in connection.execute(query)}


def _origin(row: Row[Any]) -> Mapping[str, Any]:
    try:
        definition, _ = load_one(row.kind, row.name, row.files)
    except (
        YanshuError
    ):  # an older program's version, which this one no longer reads: still worth a name
        return {"file": row.path, "line": 1, "text": _line(row.files, row.path, 1)}
    if isinstance(definition, Campaign):
        place = definition.schedule.position
    else:
        place = definition.trigger.position
    return {
        "file": place.file,
        "line": place.line,
        "text": _line(row.files, place.file, place.line),
    }


def _line(files: Mapping[str, str], path: str, number: int) -> str:
    lines = files.get(path, "").splitlines()
    return lines[number - 1].strip() if number <= len(lines) else ""
