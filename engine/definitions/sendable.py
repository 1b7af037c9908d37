"""What the files of campaigns and care rules share: their common keys, their id, their lines as written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from engine.definitions.budget_file import BUDGET
from engine.definitions.reading import Fields, Key
from engine.definitions.scalars import choice, integer
from engine.definitions.steps import STEPS
from engine.definitions.yaml_nodes import walk

DEFAULT_PRIORITY = 50
LATER = frozenset({"owner", "stop_on", "guard", "attribution"})
"""Keys of the wider design that this version refuses by name."""

SHARED: Mapping[str, Key[Any]] = {
    "class": Key(
        choice("marketing", "care", "transactional"),
        "Caps, consent and the gateway's type apply by class.",
        required=True,
    ),
    "priority": Key(integer(0, 100), "The higher wins a scarce slot; 50 by default."),
    "steps": Key(STEPS, "The messages; one step.", required=True),
    "budget": Key(BUDGET, "What all of its messages may cost."),
    "on_uncertain": Key(
        choice("leave", "resend"),
        "When nobody knows whether a message was taken: leave it listed (the default), or send again.",
    ),
}


def stem(file: str) -> str:
    """A definition's id: its file's name without .yaml.

    >>> stem("campaigns/double11-winback.yaml")
    'double11-winback'
    """
    return PurePosixPath(file).stem


def written_lines(fields: Fields) -> dict[str, tuple[int, str]]:
    """Every key's path → its line's number and how it is written there, for `explain`.

    `schedule.expires` → `(9, "expires: 24h")`; where the value goes over several lines, the first.
    """
    found = {}
    for name, node in fields.nodes.items():
        for path, key, value in ((name, fields.keys[name], node), *walk(node, name)):
            written = key.span.to(value.span).text
            found[path] = (key.span.position.line, key.span.line if "\n" in written else written)
    return found
