"""What every channel speaks: the envelope that goes in and the three ways it can end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from engine.smtp_replies import ReplyKind


class Envelope(NamedTuple):
    """One letter, ready for the wire."""

    delivery: str  # its public id
    sender: str  # the envelope sender; "" is the null sender
    recipient: str
    body: bytes  # headers and content with CRLF line ends, not dot-stuffed
    is_plain: bool = False
    """It is known that the body is ASCII, that no line of it begins with a dot, and that it ends with an end of line: nobody
    need look through it."""


class Accepted(NamedTuple):
    """The other side took responsibility."""

    reply: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Certainly not taken: refused by a reply, or given up before the other side could have had all of it.

    `phase` says how far it got: `address`, `connect`, `tls`, `greeting`, `ehlo`, `starttls`, `auth`, `mail`, `rcpt`,
    `data`, `body`, `dot`; `not started` when an earlier letter of the window lost the connection; `send` for SMS.
    """

    reply: str
    permanent: bool
    phase: str
    kind: ReplyKind


@dataclass(frozen=True, slots=True)
class Unknown:
    """Handed over, but no answer came: it may have been taken or not. Never repeated by itself."""

    phase: str
    detail: str


Outcome = Accepted | Refused | Unknown
