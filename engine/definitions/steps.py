"""The steps of a campaign or care rule: which channels, and what is said on each, in one wording or several."""

from __future__ import annotations

from engine.definitions.after_file import AFTER
from engine.definitions.campaign import Channel, Step
from engine.definitions.contents import EMAIL, SMS
from engine.definitions.reading import Fields, Key, Reader, Record, list_of, one_or_more
from engine.definitions.report import Report
from engine.definitions.scalars import choice, matching
from engine.definitions.series import check_series
from engine.definitions.values import ID
from engine.definitions.variants_file import (
    VARIANTS,
    check_variants,
    with_rotation,
    with_variants,
)
from engine.definitions.yaml_nodes import Node

CHANNELS: tuple[Channel, ...] = ("email", "sms")
LATER_CHANNELS = ("call", "mail", "webhook", "wechat", "task", "gift", "onsite")
MOST_STEPS = 50


def _check_step(fields: Fields, report: Report) -> None:
    _check_channels(fields, report)
    check_variants(fields, report)


def _check_channels(fields: Fields, report: Report) -> None:
    given = [channel for channel in CHANNELS if channel in fields]
    wanted = fields.get("channel", ())
    if not given and not fields.refused:
        report.error(fields.span.position, "no content: `email` or `sms` is missing", "missing-key")
    elif len(given) > 1 and "channel" not in fields:
        message = "`channel` is missing: with email and sms it says which is tried first, as in channel: [email, sms]"
        report.error(fields.span.position, message, "missing-key")
    for channel in wanted:
        if channel not in fields:
            message = f"`channel` lists {channel}, but `{channel}` is missing"
            report.error(fields.at("channel").position, message, "missing-key")
    for channel in given:
        if wanted and channel not in wanted:
            message = f"`{channel}` would never be used: `channel` does not list it"
            report.error(fields.at(channel).position, message, "bad-value")


def _step(fields: Fields) -> Step:
    email, sms = fields.get("email"), fields.get("sms")
    only: tuple[Channel, ...] = ("email",) if email else ("sms",)
    step = Step(
        id=fields.get("id", "main"),
        channels=fields.get("channel", only),
        email=email,
        sms=sms,
        position=fields.span.position,
        after=fields.get("after"),
    )
    variants = fields.get("variants")
    return with_variants(step, variants) if variants else with_rotation(step)


STEP: Reader[Step] = Record(
    {
        "id": Key(matching(ID, "an id (a-z, 0-9 and -)"), "main where it is not given."),
        "channel": Key(
            one_or_more(choice(*CHANNELS, later=LATER_CHANNELS)),
            "Tried in this order: the first that reaches the customer and is allowed.",
        ),
        "email": Key(EMAIL, "What the email says."),
        "sms": Key(SMS, "What the text message says."),
        "after": Key(AFTER, "Of every step but the first: what it follows, and when."),
        "variants": Key(VARIANTS, "Wordings, each for a share of the customers."),
    },
    later=frozenset({"coupon", "winner", *LATER_CHANNELS}),
    check=_check_step,
).build(_step)


def _read_steps(node: Node, report: Report) -> tuple[Step, ...] | None:
    before, steps = report.errors, _SEVERAL.read(node, report)
    if steps is not None:
        check_series(steps, report)
    return steps if report.errors == before else None


_SEVERAL = list_of(STEP, least=1, most=MOST_STEPS)
STEPS: Reader[tuple[Step, ...]] = Reader(_read_steps, _SEVERAL.schema)
