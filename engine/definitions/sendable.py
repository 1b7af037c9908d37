"""What the files of campaigns and care rules share: their common keys, their id, their lines as written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from engine.definitions.after_file import TRUSTED_WORDS
from engine.definitions.budget_file import BUDGET
from engine.definitions.ranking_file import Audience
from engine.definitions.reading import Fields, Key
from engine.definitions.report import Report
from engine.definitions.scalars import choice, integer
from engine.definitions.segment import EVERYONE
from engine.definitions.series import check_stops
from engine.definitions.steps import STEPS
from engine.definitions.yaml_nodes import walk

DEFAULT_PRIORITY = 50
LATER = frozenset({"owner", "guard", "attribution"})
"""Keys of the wider design that this version refuses by name."""

SHARED: Mapping[str, Key[Any]] = {
    "class": Key(
        choice("marketing", "care", "transactional"),
        "Caps, consent and the gateway's type apply by class.",
        required=True,
    ),
    "priority": Key(integer(0, 100), "The higher wins a scarce slot; 50 by default."),
    "steps": Key(STEPS, "The messages, one after the other.", required=True),
    "stop_on": Key(TRUSTED_WORDS, "What ends all later steps of a customer."),
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


def shared_values(fields: Fields) -> dict[str, Any]:
    """What a definition has whatever its kind, but its segments: they may be named elsewhere too."""
    audience: Audience = fields.get("audience", Audience(EVERYONE))
    return {
        "id": stem(fields.span.position.file),
        "message_class": fields.get("class"),
        "priority": fields.get("priority", DEFAULT_PRIORITY),
        "audience": audience.tree,
        "holdout": audience.holdout,
        "steps": fields.get("steps"),
        "stop_on": fields.get("stop_on", ()),
        "budget": fields.get("budget"),
        "on_uncertain": fields.get("on_uncertain", "leave"),
        "position": fields.span.position,
        "lines": written_lines(fields),
    }


def check_shared(fields: Fields, report: Report) -> None:
    """Report what `stop_on` and the steps say against each other."""
    steps, stop_on = fields.get("steps"), fields.get("stop_on", ())
    if steps:
        check_stops(steps, stop_on, fields.at("stop_on").position, report)


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
