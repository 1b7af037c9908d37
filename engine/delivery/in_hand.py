"""Rows that the delivery holds: queued or sending; and what one forgets when it is given back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.store.tables import State

BACK_TO_PLANNED: Mapping[str, Any] = {
    "state": State.PLANNED.value,
    "batch": None,
    "worker": None,
    "admitted_at": None,
    "send_at": None,
    "enqueued_at": None,
    "channel": None,
    "address_hash": None,
    "email_domain": None,
}
"""What a row forgets when it goes back to planned: it no longer uses up a cap, and the gate decides anew."""
