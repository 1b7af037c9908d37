"""What the gate will say: each planned delivery decided as of its next look, by the gate itself, with what is known now.

Nothing is written. What will go out until then is only counted where it has a higher priority and holds its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from engine.definitions.campaign import Channel
from engine.errors import YanshuError
from engine.gate.candidates import load_candidates
from engine.gate.decision import Decision, Send, Skip
from engine.gate.gate import ALL_CHANNELS, decide
from engine.insight.verdicts import UNKNOWN_RULE, Verdict, whose
from engine.store.catalog import CatalogReader
from engine.store.tables import State

MOST = 100
"""Deliveries that are asked about one by one: more than a customer ever has ahead."""


def foreseen(
    connection: Connection,
    rows: Iterable[Row[Any]],
    now: datetime,
    channels: frozenset[Channel] | None = None,
) -> dict[int, Verdict]:
    """Delivery id → what the gate would decide at its next look. `rows`: deliveries with `ref` and `run_state`; only
    planned ones of open runs are asked about."""
    asked = [row for row in rows if row.state == State.PLANNED and row.run_state == "open"][:MOST]
    if not asked:
        return {}
    catalog = CatalogReader().read(connection)
    found: dict[int, Verdict] = {}
    for row in asked:
        at = max(row.next_at, now)
        candidates = load_candidates(connection, [row.id])
        try:
            decided = decide(connection, catalog, candidates, at, channels=channels or ALL_CHANNELS)
        except YanshuError:  # a version that is gone, or that this program no longer reads
            continue
        found |= {candidate.id: _verdict(row, at, one) for candidate, one in decided}
    return found


def _verdict(row: Row[Any], at: datetime, decision: Decision) -> Verdict:
    if isinstance(decision, Send):
        return Verdict(
            **whose(row), at=at, verdict="send", rule=UNKNOWN_RULE,
            reason=f"every rule would allow it by {decision.channel}",
            evidence={"channel": decision.channel, "send_at": decision.send_at},
        )  # fmt: skip
    because = decision.because
    is_skip = isinstance(decision, Skip)
    return Verdict(
        **whose(row), at=at, verdict="skip" if is_skip else "defer", reason=because.reason,
        rule={**UNKNOWN_RULE, **because.rule}, evidence=because.evidence,
        until=None if isinstance(decision, Skip) else decision.until,
    )  # fmt: skip


def as_text(verdict: Verdict, zone: str) -> str:
    """As the verdicts that were given, marked as one to come."""
    return "as things stand: " + verdict.as_text(zone)
