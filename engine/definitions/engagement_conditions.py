"""Conditions on messages: what was sent to a customer, and what became of it.

Arguments: `definition` tuple of ids, `channel` tuple, `within older_than` Duration (of the event), `count` (`gte lte eq`
int: messages, however often one was opened; nothing: at least one); `label` tuple of str, only of `clicked`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.definitions.operators import AGES, COUNT, Arguments, bounds, dates_meet, narrowed
from engine.definitions.reading import Reader, one_or_more
from engine.definitions.scalars import choice, text

KINDS = (
    "sent", "delivered", "opened", "clicked", "viewed", "unsubscribed", "bounced", "complained",
)  # fmt: skip
_KEYS: Mapping[str, Reader[Any]] = {
    "definition": one_or_more(text(most=100)),
    "channel": one_or_more(choice("email", "sms")),
    **AGES,
    "count": bounds(COUNT),
}
_CLICKED: Mapping[str, Reader[Any]] = {"label": one_or_more(text()), **_KEYS}

CONDITIONS: Mapping[str, Reader[Arguments]] = {
    kind: narrowed(_CLICKED if kind == "clicked" else _KEYS, dates_meet) for kind in KINDS
}
