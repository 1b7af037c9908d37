"""What the gate answers: send, defer or skip, with the rule and the evidence that an operator is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from engine.definitions.campaign import Channel, Definition
from engine.definitions.policy import Rule

NO_RULE: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Because:
    """Why not now. `rule`: {file, line, text} as written, or empty where no file asks for it; both are plain JSON."""

    reason: str
    rule: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)


class Send(NamedTuple):
    """Go: on this channel, not before `send_at` (UTC, now or up to two seconds ahead)."""

    channel: Channel
    address_hash: str
    email_domain: str | None
    send_at: datetime


@dataclass(frozen=True, slots=True)
class Defer:
    """Look again at `until` (UTC, later than now). `record` False: too short-lived and frequent for a decision row."""

    until: datetime
    because: Because
    record: bool = True


@dataclass(frozen=True, slots=True)
class Skip:
    """Never."""

    because: Because


Decision = Send | Defer | Skip


def of_policy(rule: Rule) -> Mapping[str, Any]:
    """Where a rule of the policy stands, as JSON."""
    return {"file": rule.position.file, "line": rule.position.line, "text": rule.text}


def of_definition(definition: Definition, key: str) -> Mapping[str, Any]:
    """Where a key of a definition stands (`still`, `schedule.expires`); the file's head where it is left out."""
    line, text = definition.lines.get(key, (definition.position.line, ""))
    return {"file": definition.position.file, "line": line, "text": text}
