"""Header values from data that nobody may trust: no line break, no control character, no encoded word slips through.

Own encoder, because Python's `email` up to 3.12 turns an encoded word that hides a line break into a real header
(cpython #121650). Whatever is not plain ASCII becomes RFC 2047 base64 words, cut between characters, on lines of at most
76 octets.
"""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from engine.errors import ConfigurationError

_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]+"
)
"""C0, C1 and line separators; the bidirectional overrides with which a name can turn a line around; lone surrogates."""
_PLAIN_TEXT = re.compile(r"[!-~](?:[ -~]{0,58}[!-~])?")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 '_-]{0,58}[A-Za-z0-9])?")
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}")
_SENDER = re.compile(r"\s*(?P<name>[^<>]*?)\s*<(?P<address>[^<>]+)>\s*|\s*(?P<bare>[^<>\s]+)\s*")
_WORD_BYTES = 39  # 52 base64 characters, 64 with `=?utf-8?b?…?=`, 73 after `Subject: `

SHOP_SENDER = "yanshu.toml: smtp.sender"
"""Where the sender stands that is no definition's own."""
MAX_NAME_CHARACTERS = 64
MAX_SUBJECT_CHARACTERS = 250


def clean(text: str, limit: int) -> str:
    """One line without control characters, at most `limit` characters.

    >>> clean(" a\\r\\nBcc: x ", 60)
    'a Bcc: x'
    """
    # What lies far beyond the limit is not even looked at: a name may be megabytes long.
    text = text[: 4 * limit]
    if not text.isprintable():  # every character that _CONTROL names is unprintable
        text = _CONTROL.sub(" ", text)
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def unstructured(text: str) -> str:
    """The value of a Subject header: as it is if it is short and plain, else encoded words.

    >>> unstructured("Tea time"), unstructured("茶")
    ('Tea time', '=?utf-8?b?6Iy2?=')
    """
    text = clean(text, MAX_SUBJECT_CHARACTERS)
    if not text or (_PLAIN_TEXT.fullmatch(text) and "=?" not in text):
        return text
    return _words(text)


def mailbox(name: str, address: str) -> str:
    """`name <address>` for To and From. Raises ValueError for an address that cannot stand in a header.

    >>> mailbox("", "a@b.example"), mailbox("李雷", "a@b.example")
    ('<a@b.example>', '=?utf-8?b?5p2O6Zu3?= <a@b.example>')
    """
    check_address(address)
    name = clean(name, MAX_NAME_CHARACTERS)
    if not name:
        return f"<{address}>"
    encoded = name if _PLAIN_NAME.fullmatch(name) else _words(name)
    last_line = len(encoded) - (encoded.rfind("\n") + 1)
    gap = " " if last_line + len(address) < 66 else "\r\n "
    return f"{encoded}{gap}<{address}>"


def check_address(address: str) -> str:
    """The address, if it is plain (RFC 5321 dot-string, ASCII) and hides nothing; else ValueError."""
    if not _ADDRESS.fullmatch(address) or "=?" in address or ".." in address:
        raise ValueError(f"{clean(address, 60)!r} cannot be an email address in a header")
    return address


def parse_sender(text: str, where: str) -> tuple[str, str]:
    """Name and address of `店铺 <hi@shop.example>` or of a bare address. Raises ConfigurationError naming `where`."""
    if not text:
        raise ConfigurationError(f"{where} is missing; write sender = '店铺 <hi@shop.example>'")
    match = _SENDER.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{where}: {text!r} is no sender; write 店铺 <hi@shop.example>")
    name, address = (match["name"] or "").strip('" '), match["address"] or match["bare"]
    try:
        return name, check_address(address)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def date(moment: datetime) -> str:
    """The Date header's value (RFC 5322 §3.3) of an aware moment, in UTC."""
    return _date(int(moment.timestamp()))


@lru_cache(maxsize=8)
def _date(second: int) -> str:
    """Hundreds of letters are written in one second."""
    return format_datetime(datetime.fromtimestamp(second, UTC))


def _words(text: str) -> str:
    data = text.encode()
    if len(data) <= _WORD_BYTES:
        return f"=?utf-8?b?{b64encode(data).decode()}?="
    words, start = [], 0
    while start < len(data):
        end = min(start + _WORD_BYTES, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # inside a character
            end -= 1
        words.append(f"=?utf-8?b?{b64encode(data[start:end]).decode()}?=")
        start = end
    return "\r\n ".join(words)
