"""The step of a campaign or care rule: which channels, and what is said on each."""

from __future__ import annotations

import re
from email.utils import parseaddr

from engine.definitions.campaign import Channel, EmailContent, SmsContent, Step
from engine.definitions.reading import Fields, Key, Reader, Record, list_of, one_or_more
from engine.definitions.report import Report
from engine.definitions.scalars import choice, integer, matching, text
from engine.definitions.yaml_nodes import Items, Node

CHANNELS: tuple[Channel, ...] = ("email", "sms")
LATER_CHANNELS = ("call", "mail", "webhook", "wechat", "task", "gift", "onsite")
TEMPLATE_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
ID = r"[a-z0-9-]{1,100}"
ADDRESS = re.compile(r"[^\s@<>\",;:]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")

_template = matching(TEMPLATE_NAME, "a template's name (letters, digits, - and _)")


def _sender(written: str) -> str:
    address = parseaddr(written)[1]
    if not ADDRESS.fullmatch(address) or written.count("@") != 1:
        raise ValueError(f"{written!r} is not a sender; write it as in 店铺 <hi@shop.example>")
    return written


EMAIL: Reader[EmailContent] = Record(
    {
        "subject": Key(text(most=500), "The subject line, a Jinja text.", required=True),
        "template": Key(
            _template, "A name under templates/email, without .html.j2.", required=True
        ),
        "preheader": Key(text(most=500), "What inboxes show after the subject, a Jinja text."),
        "from": Key(text().then(_sender), "The sender; by default the one in yanshu.toml."),
    },
).build(
    lambda fields: EmailContent(
        subject=fields.get("subject"),
        template=fields.get("template"),
        preheader=fields.get("preheader", ""),
        sender=fields.get("from", ""),
        position=fields.span.position,
    )
)

SMS: Reader[SmsContent] = Record(
    {
        "template": Key(_template, "A name under templates/sms, without .txt.j2.", required=True),
        "max_parts": Key(integer(1, 10), "More parts than this are an error; no limit by default."),
        "sms_type": Key(
            choice("notice", "promotion"),
            "How the gateway files it; by default marketing and care are promotion.",
        ),
    },
    later=frozenset({"rotate"}),
).build(
    lambda fields: SmsContent(
        template=fields.get("template"),
        max_parts=fields.get("max_parts"),
        sms_type=fields.get("sms_type"),
        position=fields.span.position,
    )
)


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
    return Step(
        id=fields.get("id", "main"),
        channels=fields.get("channel", only),
        email=email,
        sms=sms,
        position=fields.span.position,
    )


STEP: Reader[Step] = Record(
    {
        "id": Key(matching(ID, "an id (a-z, 0-9 and -)"), "main where it is not given."),
        "channel": Key(
            one_or_more(choice(*CHANNELS, later=LATER_CHANNELS)),
            "Tried in this order: the first that reaches the customer and is allowed.",
        ),
        "email": Key(EMAIL, "What the email says."),
        "sms": Key(SMS, "What the text message says."),
    },
    later=frozenset({"after", "coupon", "variants", "winner", *LATER_CHANNELS}),
    check=_check_channels,
).build(_step)


def _read_steps(node: Node, report: Report) -> tuple[Step, ...] | None:
    steps = _SEVERAL.read(node, report)
    if isinstance(node, Items) and len(node.children) > 1:
        report.error(
            node.children[1].span.position,
            "more than one step is not supported yet",
            "not-supported",
        )
        return None
    return steps


_SEVERAL = list_of(STEP, least=1)
STEPS: Reader[tuple[Step, ...]] = Reader(_read_steps, {**_SEVERAL.schema, "maxItems": 1})
