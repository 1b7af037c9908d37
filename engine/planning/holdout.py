"""Holdouts: people who are selected and deliberately not written to, so that orders can be compared.

Who is one stays one, of a definition and of the shop: a hash of the customer decides, not chance at the time. The shop's
own holdout gets no marketing at all; care and transactional messages are owed to everybody, and go to them too.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Text, case, cast, literal, null

from engine.audience.sampling import drawn, place_of, up_to
from engine.definitions.campaign import Campaign, Care
from engine.definitions.policy import Policy
from engine.store.tables import State

OF_DEFINITION, OF_SHOP = "holdout", "holdout of the shop"
"""Reasons of a holdout's rows."""


def draws(definition: Campaign | Care, policy: Policy) -> list[tuple[str, str, Decimal]]:
    """What may hold a customer out: (reason, salt, percent)."""
    found = []
    if definition.message_class == "marketing" and policy.holdout is not None:
        found.append((OF_SHOP, "holdout", policy.holdout))
    if definition.holdout is not None:
        found.append((OF_DEFINITION, f"holdout:{definition.id}", definition.holdout))
    return found


def reason_held_out(customer_id: int, definition: Campaign | Care, policy: Policy) -> str | None:
    """Why this customer gets nothing; None for everybody else."""
    for reason, salt, share in draws(definition, policy):
        if place_of(customer_id, salt) < up_to(share):
            return reason
    return None


def state_and_reason(
    customer_id: ColumnElement[Any], definition: Campaign | Care, policy: Policy
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """SQL: `holdout` or `planned`, and the holdout's reason or NULL."""
    found = [
        (drawn(customer_id, salt, share), why) for why, salt, share in draws(definition, policy)
    ]
    if not found:
        return literal(State.PLANNED.value, Text), cast(null(), Text)
    reason = case(*[(held, literal(why, Text)) for held, why in found], else_=cast(null(), Text))
    state = case(
        *[(held, literal(State.HOLDOUT.value, Text)) for held, _ in found],
        else_=literal(State.PLANNED.value, Text),
    )
    return state, reason
