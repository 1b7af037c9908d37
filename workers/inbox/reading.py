"""A stored mail as a person reads it. Whatever was sent must come out as something: nothing here raises on content."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses, parsedate_to_datetime
from functools import lru_cache
from html import unescape
from pathlib import Path

from workers.inbox.folder import number_of

_CID = re.compile(r"""cid:([^"'\s)>]+)""", re.IGNORECASE)
_HEAD = re.compile(r"<head\b[^>]*>|<html\b[^>]*>|<!doctype[^>]*>", re.IGNORECASE)
_NOT_SHOWN = re.compile(r"<(style|script|head|title)\b.*?</\1\s*>|<!--.*?-->", re.I | re.S)
_TAG = re.compile(r"<[^>]*>")
_SOURCE_LIMIT = 200_000  # characters of the source that a page shows


@dataclass(frozen=True, slots=True)
class Summary:
    """What a list shows of a mail; read from its headers alone."""

    number: int
    file: str
    received_at: datetime
    sender: str
    recipient: str
    subject: str
    delivery: str
    size: int


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail, opened."""

    summary: Summary
    sender_name: str
    recipient_name: str
    snippet: str
    html: str | None
    text: str | None
    headers: tuple[tuple[str, str], ...]
    attachments: tuple[str, ...]
    source: str


def summarise(path: Path) -> Summary:
    """The headers of a mail; kept in memory, since a stored mail never changes."""
    return _summarise(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=20_000)
def _summarise(path: Path, changed: int) -> Summary:
    with path.open("rb") as file:
        message = BytesHeaderParser().parse(file)
    return _summary_of(message, path, changed)


def open_mail(path: Path) -> Mail:
    """The whole mail: both bodies decoded, images that it brings along put into its HTML."""
    return _open(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _open(path: Path, changed: int) -> Mail:
    raw = path.read_bytes()
    message = message_from_bytes(raw)
    html, text = _body(message, "text/html"), _body(message, "text/plain")
    return Mail(
        summary=_summary_of(message, path, changed),
        sender_name=_person(_header(message, "From")),
        recipient_name=_person(_header(message, "To")),
        snippet=_snippet(html, text),
        html=None if html is None else _framed(_with_images(html, message)),
        text=text,
        headers=tuple((name, _decoded(value)) for name, value in message.items()),
        attachments=tuple(filter(None, (part.get_filename() for part in message.walk()))),
        source=raw.decode("utf-8", "replace").replace("\r\n", "\n")[:_SOURCE_LIMIT],
    )


def _summary_of(message: Message, path: Path, changed: int) -> Summary:
    return Summary(
        number=number_of(path),
        file=path.name,
        # In whole seconds as the header has them: else it would be newer than what came in the same second.
        received_at=_received(message) or datetime.fromtimestamp(changed // 10**9, UTC),
        sender=_header(message, "From"),
        recipient=_header(message, "Delivered-To") or _header(message, "To"),
        subject=_header(message, "Subject") or "(no subject)",
        delivery=_header(message, "X-Delivery-Id"),
        size=path.stat().st_size,
    )


def _received(message: Message) -> datetime | None:
    """When our own server took it: the topmost Received line is ours."""
    try:
        moment = parsedate_to_datetime(_header(message, "Received").rpartition(";")[2])
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _header(message: Message, name: str) -> str:
    return _decoded(message.get(name, ""))


def _decoded(value: object) -> str:
    text = " ".join(str(value).split())
    try:
        return str(make_header(decode_header(text)))
    except (LookupError, ValueError, MessageError):
        return text


def _person(address: str) -> str:
    found = getaddresses([address]) or [("", "")]
    return found[0][0] or found[0][1] or address


def _body(message: Message, kind: str) -> str | None:
    for part in message.walk():
        if part.get_content_type() == kind and part.get_content_disposition() != "attachment":
            return _text_of(part)
    return None


def _text_of(part: Message) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    try:
        return content.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:  # a charset that nobody knows
        return content.decode("utf-8", "replace")


def _with_images(html: str, message: Message) -> str:
    images = {
        str(part["Content-ID"]).strip(" <>"): part
        for part in message.walk()
        if part["Content-ID"] and part.get_content_maintype() == "image"
    }

    def embed(found: re.Match[str]) -> str:
        part = images.get(found[1])
        content = part.get_payload(decode=True) if part is not None else None
        if part is None or not isinstance(content, bytes):
            return found[0]
        return f"data:{part.get_content_type()};base64,{base64.b64encode(content).decode()}"

    return _CID.sub(embed, html) if images else html


def _framed(html: str) -> str:
    """Links open in a window of their own: inside the sandboxed frame they would be lost."""
    found = list(_HEAD.finditer(html, 0, 4_000))
    at = found[-1].end() if found else 0
    return f'{html[:at]}<base target="_blank">{html[at:]}'


def _snippet(html: str | None, text: str | None) -> str:
    """The first words, as mail programs show them beside the subject: of the HTML, where the preheader stands, else of the text."""
    shown = unescape(_TAG.sub(" ", _NOT_SHOWN.sub(" ", (html or "")[:50_000]))).split()
    return " ".join(shown or (text or "").split())[:140]
