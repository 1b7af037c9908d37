"""What a text message will cost: rendered for a sample of those who would get it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import mean
from typing import Any

from sqlalchemy import Connection, select

from engine.definitions.campaign import Campaign, Care, Step
from engine.definitions.loader import Definitions
from engine.errors import RenderingError
from engine.rendering.context import MessageData, customer_context
from engine.rendering.sms import SmsCompiler
from engine.settings import Settings
from engine.store.tables import State, customers, deliveries
from engine.tokens import new_public_id

RENDERED = 100
"""Text messages that are rendered to know how many parts they take."""


@dataclass
class Parts:
    """How many parts a text message of each step takes, worked out once for each from those who got it."""

    connection: Connection
    definitions: Definitions
    settings: Settings
    now: datetime
    _known: dict[tuple[str, str], int] = field(default_factory=dict)

    def of(self, definition: str, step: str) -> int:
        key = definition, step
        if key not in self._known:
            self._known[key] = self._rendered(definition, step)
        return self._known[key]

    def _rendered(self, name: str, step_id: str) -> int:
        definition = self.definitions.sendable().get(name)
        step = _step(definition, step_id)
        if definition is None or step is None:
            return 1
        rows = self.connection.execute(
            select(customers)
            .join(deliveries, deliveries.c.customer_id == customers.c.id)
            .where(
                deliveries.c.definition == name,
                deliveries.c.step == step_id,
                deliveries.c.channel == "sms",
                deliveries.c.state == State.SENT,
            )
            .limit(RENDERED)
        )
        sample = [row._asdict() for row in rows]
        return sms_parts(self.definitions, self.settings, definition, step, sample, self.now)


def _step(definition: Campaign | Care | None, step_id: str) -> Step | None:
    steps = definition.steps if definition is not None else ()
    return next((step for step in steps if step.id == step_id), None)


def sms_parts(
    definitions: Definitions,
    settings: Settings,
    definition: Campaign | Care,
    step: Step,
    sample: Sequence[Mapping[str, Any]],
    now: datetime,
) -> int:
    """The parts that one message of the step takes, in its first wording, rounded up from the sample's average; 0 without a sample.

    A customer for whom the template fails counts as one part here: `lint` and the send path name the failure.
    """
    if not sample or step.sms is None:
        return 0
    said = step.worded("sms", None)
    compiler = SmsCompiler(
        settings, definitions.files, definition, timezone=definitions.policy.timezone
    )
    counts = []
    for row in sample:
        data = MessageData(new_public_id(), "", customer_context(row), None, (), now)
        try:
            counts.append(compiler.compile(said, row["language"]).render(data).parts)
        except RenderingError:
            counts.append(1)
    return -int(-mean(counts) // 1)
