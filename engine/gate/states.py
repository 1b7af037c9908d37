"""The states that count for the gate, spelt out in SQL: a partial index is only chosen for a condition written in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, bindparam

from engine.store.tables import COMMITTED_STATES, State, deliveries


def _state_in(name: str, states: Sequence[State]) -> ColumnElement[bool]:
    listed: BindParameter[Any] = bindparam(
        name, [str(state) for state in states], expanding=True, literal_execute=True
    )
    return deliveries.c.state.in_(listed)


is_committed = _state_in("committed_states", COMMITTED_STATES)
is_ahead = _state_in("states_ahead", (State.PLANNED, State.WAITING))
"""As in ix_deliveries_open: rows that may still go and were not admitted yet."""
