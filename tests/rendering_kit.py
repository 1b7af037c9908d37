"""What tests of rendering build from: a campaign with one email step, settings, and a message's data."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from engine.definitions.campaign import Campaign, EmailContent, MessageClass, Schedule, Step
from engine.definitions.segment import EVERYONE
from engine.definitions.values import Duration
from engine.errors import Position
from engine.rendering.context import MessageData, customer_context, item_context, order_context
from engine.rendering.email import CompiledEmail, EmailCompiler
from engine.settings import Settings, ShopSettings, SmtpSettings
from engine.tokens import Signer

ROOT = Path(__file__).resolve().parent.parent
HERE = Position("campaigns/news.yaml", 7, 5)
NOW = datetime(2026, 11, 9, 2, 0, tzinfo=UTC)
SIGNER = Signer(["key"])
SETTINGS = Settings(
    public_url="https://m.tea.example",
    shop=ShopSettings(name="山海 & 茶", url="https://tea.example", address="龙井路 1 号"),
    smtp=SmtpSettings(sender="山海茶铺 <hi@tea.example>"),
)
FRAME = (
    "<!DOCTYPE html>\n<html><head><style>{css}</style></head><body>"
    '<table width="640">{rows}</table>'
    '<a href="{{{{ links.unsubscribe }}}}">x</a></body></html>'
)


def page(rows: str, css: str = "td{color:#123456}") -> str:
    """A small, whole template."""
    return FRAME.format(rows=rows, css=css)


def campaign(
    subject: str = "你好", message_class: MessageClass = "marketing", **content: Any
) -> Campaign:
    letter = EmailContent(**{"template": "news", "position": HERE, "subject": subject, **content})
    step = Step(id="mail", channels=("email",), email=letter, sms=None, position=HERE)
    schedule = Schedule(
        at_text="", at=datetime(2026, 11, 9), fixed=None, zone=None, per_customer=False,
        spread=None, expires=Duration(1, "d"), position=HERE,
    )  # fmt: skip
    return Campaign(
        id="news", kind="campaign", message_class=message_class, priority=50, audience=EVERYONE,
        uses=frozenset(), steps=(step,), on_uncertain="leave", position=HERE, lines={},
        schedule=schedule,
    )  # fmt: skip


def compiler(
    files: Mapping[str, str] | str,
    definition: Campaign | None = None,
    settings: Settings = SETTINGS,
) -> EmailCompiler:
    """`files`: names under templates/email → text; or the text of `news.html.j2`."""
    named = {"news.html.j2": files} if isinstance(files, str) else files
    paths = {f"templates/email/{name}": text for name, text in named.items()}
    return EmailCompiler(settings, SIGNER, paths, definition or campaign())


def compiled(
    files: Mapping[str, str] | str, definition: Campaign | None = None, language: str | None = None
) -> CompiledEmail:
    definition = definition or campaign()
    return compiler(files, definition).compile(definition.steps[0], language)


def example_templates() -> dict[str, str]:
    """The shop's own templates, by path."""
    paths = (ROOT / "templates").rglob("*.j2")
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}


def message(
    *,
    order: Mapping[str, Any] | None = None,
    items: list[Mapping[str, Any]] | None = None,
    tracked: bool = True,
    **customer: Any,
) -> MessageData:
    row = {"ref": "42", "name": "李雷", "email": "li@mail.example", **customer}
    return MessageData(
        delivery="0123456789abcdef0123",
        message_id="<1@m.tea.example>",
        customer=customer_context(row),
        order=order_context(order) if order is not None else None,
        items=[item_context(item) for item in items or []],
        now=NOW,
        tracked=tracked,
    )


def parse(raw: bytes) -> EmailMessage:
    """The message as Python's own parser reads it."""
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def part(raw: bytes, kind: str) -> str:
    """The decoded text of one part (`plain` or `html`), lines ending in `\\n`."""
    for found in parse(raw).iter_parts():
        if found.get_content_subtype() == kind:
            payload = found.get_payload(decode=True)
            assert isinstance(payload, bytes)
            return payload.decode("utf-8").replace("\r\n", "\n")
    raise AssertionError(f"no {kind} part")
