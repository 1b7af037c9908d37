"""`after` of a later step, and the words for what may have happened meanwhile."""

from __future__ import annotations

from engine.definitions.campaign import After, Word
from engine.definitions.reading import Fields, Key, Reader, Record, one_or_more
from engine.definitions.report import Report
from engine.definitions.scalars import choice, duration, matching
from engine.definitions.values import ID

LATER_WORDS = ("replied",)
TRUSTED: tuple[Word, ...] = ("clicked", "ordered", "unsubscribed", "bounced", "complained")
"""What decides that a message goes, or that a series ends."""
WORDS: tuple[Word, ...] = (*TRUSTED, "opened")


def _trusted(words: tuple[Word, ...]) -> tuple[Word, ...]:
    if "opened" in words:
        raise ValueError(
            "an open decides nothing alone: mail programs fetch pictures by themselves; ask for `clicked`"
        )
    return words


ANY_WORDS: Reader[tuple[Word, ...]] = one_or_more(choice(*WORDS, later=LATER_WORDS))
TRUSTED_WORDS: Reader[tuple[Word, ...]] = ANY_WORDS.then(_trusted)


def _check_words(fields: Fields, report: Report) -> None:
    wanted, unwanted = fields.get("if", ()), fields.get("unless", ())
    if wanted and set(wanted) <= set(unwanted):
        words = ", ".join(wanted)
        message = f"this step can never be reached: `unless` keeps back whoever {words}, and `if` everybody else"
        report.error(fields.at("if").position, message, "unreachable")


AFTER: Reader[After] = Record(
    {
        "step": Key(matching(ID, "a step's id"), "A step above this one.", required=True),
        "wait": Key(duration(), "So long after that step was sent.", required=True),
        "on": Key(
            choice("sent", "any"),
            "sent (the default): only if it was; any: also if it was skipped or failed.",
        ),
        "unless": Key(ANY_WORDS, "Not if one of these happened since."),
        "if": Key(TRUSTED_WORDS, "Only if one of these happened since."),
    },
    check=_check_words,
).build(
    lambda fields: After(
        step=fields.get("step"),
        wait=fields.get("wait"),
        on=fields.get("on", "sent"),
        unless=fields.get("unless", ()),
        only_if=fields.get("if", ()),
        position=fields.nodes["step"].span.position,
    )
)
