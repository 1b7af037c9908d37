"""`care/ID.yaml` → Care: what triggers a message to one customer, for ever."""

from __future__ import annotations

from engine.definitions.campaign import Care
from engine.definitions.ranking_file import AUDIENCE
from engine.definitions.reading import Fields, Key, Reader, Record
from engine.definitions.report import Report
from engine.definitions.scalars import choice, duration
from engine.definitions.sendable import LATER, SHARED, check_shared, shared_values
from engine.definitions.trees import STILL, conditions_of, named_segments
from engine.definitions.trigger_file import TRIGGER


def _care(fields: Fields) -> Care:
    shared, still = shared_values(fields), fields.get("still")
    return Care(
        **shared,
        kind="care",
        uses=named_segments(shared["audience"], still),
        trigger=fields.get("trigger"),
        again=fields.get("again"),
        still=still,
    )


def _check(fields: Fields, report: Report) -> None:
    _check_anchor(fields, report)
    check_shared(fields, report)


def _check_anchor(fields: Fields, report: Report) -> None:
    """Only an order can be asked for its status."""
    trigger, still = fields.get("trigger"), fields.get("still")
    if trigger is None or still is None or trigger.has_order:
        return
    for condition in conditions_of(still):
        if condition.name == "anchor":
            message = f"behind {trigger.kind} there is no order whose status could be asked"
            report.error(condition.position, message, "bad-value")


CARE: Reader[Care] = Record(
    {
        "kind": Key(choice("care"), required=True),
        **SHARED,
        "trigger": Key(TRIGGER, "What starts it.", required=True),
        "again": Key(duration(), "At most once per customer in this time."),
        "still": Key(STILL.reader, "Asked again just before sending; may name the anchor."),
        "audience": Key(AUDIENCE, "For whom; everyone by default."),
    },
    later=LATER,
    check=_check,
).build(_care)
