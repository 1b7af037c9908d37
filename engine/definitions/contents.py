"""What a step says on a channel: one template, several that take turns (`rotate`), or what a variant says instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parseaddr
from typing import Any

from engine.definitions.campaign import EmailContent, SmsContent
from engine.definitions.reading import Check, Fields, Key, Reader, Record, list_of
from engine.definitions.report import Report
from engine.definitions.scalars import choice, integer, matching, text

TEMPLATE_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
MOST_TEMPLATES = 100
ADDRESS = re.compile(r"[^\s@<>\",;:]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")

_template = matching(TEMPLATE_NAME, "a template's name (letters, digits, - and _)")


def _sender(written: str) -> str:
    address = parseaddr(written)[1]
    if not ADDRESS.fullmatch(address) or written.count("@") != 1:
        raise ValueError(f"{written!r} is not a sender; write it as in 店铺 <hi@shop.example>")
    return written


def _several(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("the same template stands here twice")
    if len(names) < 2:
        raise ValueError("one template cannot take turns: write `template` instead of `rotate`")
    return names


_ROTATE = Key(
    list_of(_template, least=1, most=MOST_TEMPLATES).then(_several),
    "Templates that take turns: a customer's next message is the next of them.",
)
_EMAIL: Mapping[str, Key[Any]] = {
    "subject": Key(text(most=500), "The subject line, a Jinja text."),
    "template": Key(_template, "A name under templates/email, without .html.j2."),
    "preheader": Key(text(most=500), "What inboxes show after the subject, a Jinja text."),
    "from": Key(text().then(_sender), "The sender; by default the one in yanshu.toml."),
}
_SMS: Mapping[str, Key[Any]] = {
    "template": Key(_template, "A name under templates/sms, without .txt.j2."),
    "max_parts": Key(integer(1, 10), "More parts than this are an error; no limit by default."),
    "sms_type": Key(
        choice("notice", "promotion"),
        "How the gateway files it; by default marketing and care are promotion.",
    ),
}
_ATTRIBUTES = {"from": "sender"}
"""Keys whose name Python does not take."""


def _requires(*names: str) -> Check:
    """These keys, and a template: one, or several that take turns."""

    def check(fields: Fields, report: Report) -> None:
        missing = [name for name in names if name not in fields]
        if "template" in fields and "rotate" in fields:
            message = "`template` and `rotate` say the same thing: choose one of them"
            report.error(fields.at("rotate").position, message, "bad-value")
        elif "template" not in fields and "rotate" not in fields:
            missing.append("template")
        for name in missing:
            report.error(fields.span.position, f"`{name}` is missing", "missing-key")

    return check


def _values(fields: Fields) -> dict[str, Any]:
    given = {_ATTRIBUTES.get(name, name): value for name, value in fields.values.items()}
    if "rotate" in given:
        given["template"] = given["rotate"][0]
    return {**given, "position": fields.span.position}


EMAIL: Reader[EmailContent] = Record(
    {**_EMAIL, "rotate": _ROTATE}, check=_requires("subject")
).build(lambda fields: EmailContent(**_values(fields)))

SMS: Reader[SmsContent] = Record({**_SMS, "rotate": _ROTATE}, check=_requires()).build(
    lambda fields: SmsContent(**_values(fields))
)

OTHER_EMAIL: Reader[dict[str, Any]] = Record(_EMAIL).build(_values)
"""What a variant says otherwise: attributes of EmailContent."""
OTHER_SMS: Reader[dict[str, Any]] = Record(_SMS).build(_values)
