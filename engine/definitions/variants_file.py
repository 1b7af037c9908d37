"""Wordings of a step: `variants`, each for a share of the customers, and templates that take turns (`rotate`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from engine.definitions.campaign import Channel, EmailContent, SmsContent, Step, Variant
from engine.definitions.contents import OTHER_EMAIL, OTHER_SMS
from engine.definitions.reading import Fields, Key, Reader, Record, list_of
from engine.definitions.report import Report
from engine.definitions.scalars import matching, percent
from engine.definitions.values import ID
from engine.errors import Position

MOST_VARIANTS = 20
CONTENTS: tuple[Channel, ...] = ("email", "sms")


@dataclass(frozen=True, slots=True)
class Written:
    """A variant as it stands in the file: what it says otherwise, by channel."""

    id: str
    share: Decimal
    other: Mapping[Channel, Mapping[str, Any]]
    position: Position


VARIANT: Reader[Written] = Record(
    {
        "id": Key(matching(ID, "an id (a-z, 0-9 and -)"), "Its name in reports.", required=True),
        "share": Key(percent(), "Of the customers; all together 100%.", required=True),
        "email": Key(OTHER_EMAIL, "What its email says otherwise."),
        "sms": Key(OTHER_SMS, "What its text message says otherwise."),
    }
).build(
    lambda fields: Written(
        id=fields.get("id"),
        share=fields.get("share"),
        other={name: fields.get(name) for name in CONTENTS if name in fields.values},
        position=fields.span.position,
    )
)
VARIANTS: Reader[tuple[Written, ...]] = list_of(VARIANT, least=2, most=MOST_VARIANTS)


def check_variants(fields: Fields, report: Report) -> None:
    """Report variants whose shares are not the whole, that share an id, or that reword what the step does not say."""
    written: tuple[Written, ...] = fields.get("variants", ())
    if not written:
        return
    place = fields.at("variants").position
    total = sum((one.share for one in written), Decimal())
    if total != 100:
        message = f"the shares are {total.normalize():f}% together; all of them must be 100%"
        report.error(place, message, "bad-value")
    seen: set[str] = set()
    for one in written:
        if one.id in seen:
            report.error(one.position, f"the variant id {one.id!r} stands twice", "duplicate-id")
        seen.add(one.id)
        for channel in one.other:
            if channel not in fields:
                message = f"variant {one.id!r} rewords `{channel}`, which the step does not have"
                report.error(one.position, message, "bad-value")
    for channel in CONTENTS:
        content = fields.get(channel)
        if content is not None and content.rotate:
            message = "`variants` and `rotate` in one step: choose how its wordings are given out"
            report.error(place, message, "bad-value")


def with_variants(step: Step, written: tuple[Written, ...]) -> Step:
    """The step with its variants, each with the step's contents as it rewords them."""
    return replace(step, variants=tuple(_variant(step, one) for one in written))


def _variant(step: Step, written: Written) -> Variant:
    email, sms = step.email, step.sms
    if email is not None:
        email = replace(email, **written.other.get("email", {}))
    if sms is not None:
        sms = replace(sms, **written.other.get("sms", {}))
    wording = replace(step, id=f"{step.id}#{written.id}", email=email, sms=sms)
    return Variant(id=written.id, wording=wording, share=written.share)


def with_rotation(step: Step) -> Step:
    """The step with the wordings of templates that take turns; the same step where none do."""
    contents: dict[Channel, EmailContent | SmsContent] = {}
    if step.email is not None:
        contents["email"] = step.email
    if step.sms is not None:
        contents["sms"] = step.sms
    if not any(content.rotate for content in contents.values()):
        return step
    rotation = {name: _turns(step, name, content) for name, content in contents.items()}
    return replace(step, rotation=rotation)


def _turns(step: Step, channel: Channel, content: EmailContent | SmsContent) -> tuple[Variant, ...]:
    """One wording for each template of the channel, which says nothing on the other one."""
    found = []
    for name in content.rotate or (content.template,):
        said = replace(content, template=name, rotate=())
        wording = replace(
            step,
            id=f"{step.id}#{channel}:{name}",
            email=said if isinstance(said, EmailContent) else None,
            sms=said if isinstance(said, SmsContent) else None,
        )
        found.append(Variant(id=name, wording=wording))
    return tuple(found)
