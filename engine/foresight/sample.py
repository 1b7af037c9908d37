"""What a text message will cost: rendered for a sample of those who would get it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import mean
from typing import Any

from engine.definitions.campaign import Campaign, Care, Step
from engine.definitions.loader import Definitions
from engine.errors import RenderingError
from engine.rendering.context import MessageData, customer_context
from engine.rendering.sms import SmsCompiler
from engine.settings import Settings
from engine.tokens import new_public_id


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
