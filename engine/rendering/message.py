"""The wire form of an email: header fields, then text and HTML as two parts. CRLF, ASCII only, lines of at most 998 octets.

What all messages of a template share is written once, when it is compiled. Standards: RFC 5322 (the message), 2045–2047
(MIME), 2369, 2919 and 8058 (lists and one-click unsubscribe), 3834 (automatic mail).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import urlsplit

from engine.definitions.campaign import Definition
from engine.rendering.headers import SHOP_SENDER, date, mailbox, parse_sender, unstructured
from engine.settings import Settings

BOUNDARY = "=_yanshu_part"
"""`=_` cannot occur in quoted-printable text, so no message can contain the boundary."""
_MESSAGE_ID = re.compile(r"[!-;=?-~]{3,250}")
_PART = (
    "--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
)
TEXT_PART = _PART.format(boundary=BOUNDARY, kind="plain")
HTML_PART = "\r\n" + _PART.format(boundary=BOUNDARY, kind="html")
END = f"\r\n--{BOUNDARY}--\r\n"


class Headers:
    """The header of one definition's messages. `sender`: the step's own From, or "" for the shop's."""

    def __init__(self, settings: Settings, definition: Definition, sender: str) -> None:
        where = f"{definition.position.file}: from" if sender else SHOP_SENDER
        name, address = parse_sender(sender or settings.smtp.sender, where)
        self.sender = address
        self._from = f"From: {mailbox(name, address)}\r\nTo: "
        self._listed = definition.message_class != "transactional"
        self._unsubscribe = f"List-Unsubscribe: <{settings.web_url}/u/"
        self._rest = "".join(f"{line}\r\n" for line in _fixed_lines(settings, definition, address))

    def lines(
        self,
        *,
        recipient: str,
        name: str,
        subject: str,
        moment: datetime,
        message_id: str,
        delivery: str,
        unsubscribe: str,
    ) -> str:
        """The whole header with the empty line after it. Raises ValueError for an impossible address or id."""
        message_id = message_id.strip("<>")
        if not _MESSAGE_ID.fullmatch(message_id):
            raise ValueError(f"{message_id!r} cannot be a Message-ID")
        listed = f"{self._unsubscribe}{unsubscribe}>\r\n" if self._listed else ""
        return (
            f"{self._from}{mailbox(name, recipient)}\r\n"
            f"Subject: {unstructured(subject)}\r\n"
            f"Date: {date(moment)}\r\n"
            f"Message-ID: <{message_id}>\r\n"
            f"X-Delivery-Id: {delivery}\r\n"
            f"{listed}{self._rest}\r\n"
        )


def assemble(header: str, text: Iterable[str], html: Iterable[str]) -> bytes:
    """The message of a header and two bodies that are already quoted-printable."""
    return "".join([header, TEXT_PART, *text, HTML_PART, *html, END]).encode("ascii")


def _fixed_lines(settings: Settings, definition: Definition, sender: str) -> Iterable[str]:
    if definition.message_class != "transactional":
        yield "List-Unsubscribe-Post: List-Unsubscribe=One-Click"
        yield f"List-Id: <{definition.message_class}.{list_host(settings, sender)}>"
    if definition.message_class == "care":
        yield "Auto-Submitted: auto-generated"
    yield "MIME-Version: 1.0"
    yield f'Content-Type: multipart/alternative; boundary="{BOUNDARY}"'


def list_host(settings: Settings, sender: str) -> str:
    """The domain in List-Id: that of the public address, or the sender's where links lead to a bare IP or localhost."""
    host = urlsplit(settings.web_url).hostname or ""
    named = "." in host and not host.replace(".", "").isdigit() and ":" not in host
    return host if named else sender.rpartition("@")[2].lower()
