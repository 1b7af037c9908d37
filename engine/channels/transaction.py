"""One letter's conversation: MAIL, RCPT, DATA, content, final dot; and what each way of losing it means.

The line that matters is the final dot. As long as its first octet has certainly not left, the letter was not taken
(`Refused`, to be tried again); from there until the reply arrives it may have been (`Unknown`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from engine.channels.base import Accepted, Envelope, Outcome, Refused, Unknown
from engine.channels.handshake import Extensions
from engine.channels.wire import BrokenConnection, Reply, Wire
from engine.smtp_replies import ReplyKind, classify

_PATH = re.compile(r"[^\x00-\x20\x7f-\x9f<>]{1,256}@[^\x00-\x20\x7f-\x9f<>@]{1,255}")
_STEPS = (("mail", 2), ("rcpt", 2), ("data", 3))
"""The phases before the content, and the class of reply that lets the letter go on."""


class Letter(NamedTuple):
    """An envelope in the words of the protocol."""

    place: int  # in the window
    opening: bytes  # MAIL, RCPT and DATA, a line each
    content: bytes  # the body as it goes on the wire: dots doubled, without the final one


@dataclass(frozen=True, slots=True)
class _No:
    """A refusal before the content. `owes_dot`: the server waits for content nevertheless (RFC 2920 §3.1)."""

    phase: str
    reply: Reply
    owes_dot: bool = False


def bad_address(envelope: Envelope) -> Refused | None:
    """Refuse, before anything touches the wire, what could break out of a command line."""
    if envelope.sender and not _is_path(envelope.sender):
        detail = f"not a sender address: {envelope.sender[:80]!r}"
        return Refused(detail, True, "address", ReplyKind.PERMANENT)
    if not _PATH.fullmatch(envelope.recipient):
        detail = f"not a recipient address: {envelope.recipient[:80]!r}"
        return Refused(detail, True, "address", ReplyKind.BAD_ADDRESS)
    return None


@lru_cache(maxsize=64)  # a shop has a few senders
def _is_path(sender: str) -> bool:
    return _PATH.fullmatch(sender) is not None


def open_letter(place: int, envelope: Envelope, offered: Extensions) -> Letter | Refused:
    """Put an envelope into commands, as far as the server's extensions allow it."""
    if offered.size and len(envelope.body) > offered.size:
        detail = f"{len(envelope.body)} octets; the relay takes {offered.size}"
        return Refused(detail, True, "mail", ReplyKind.PERMANENT)
    sender, recipient = _ascii_domain(envelope.sender), _ascii_domain(envelope.recipient)
    parameters = ""
    if not (sender.isascii() and recipient.isascii()):
        if not offered.utf8:
            detail = "the relay does not offer SMTPUTF8, which this address needs"
            return Refused(detail, True, "address", ReplyKind.PERMANENT)
        parameters = " SMTPUTF8"
    # Without the extension 8-bit content goes as it is: no server in use strips the bit, refusing would lose letters.
    if offered.eight_bit and not (envelope.is_plain or envelope.body.isascii()):
        parameters += " BODY=8BITMIME"
    opening = f"MAIL FROM:<{sender}>{parameters}\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
    content = envelope.body if envelope.is_plain else _dotted(envelope.body)
    return Letter(place, opening.encode(), content)


async def transact(
    wire: Wire,
    letters: Sequence[Letter],
    *,
    pipelining: bool,
    told: Callable[[int, Outcome], object],
) -> tuple[int, bool]:
    """Send letters one after the other; `told` hears the place and the outcome of each as soon as it is known.

    Returns of how many the outcome is known, fewer where the connection was lost, and whether it can go on.
    """
    offer = _offer_together if pipelining else _offer_step_by_step
    position, written = 0, False
    while position < len(letters):
        letter = letters[position]
        try:
            refusal = await offer(wire, letter.opening, written)
        except BrokenConnection as broken:
            told(letter.place, Refused(broken.detail, False, broken.phase, ReplyKind.CONNECTION))
            return position + 1, False
        if refusal is None:
            position, goes_on = await _hand_over(wire, letters, position, pipelining, told)
        else:
            told(letter.place, _refused(refusal.reply, refusal.phase))
            position += 1
            goes_on = await _recover(wire, refusal, _opening(letters, position, pipelining))
        if not goes_on:
            return position, False
        written = pipelining
    return position, True


def _opening(letters: Sequence[Letter], position: int, pipelining: bool) -> bytes:
    """What the letter at `position` begins with, to be sent along with the end of the one before."""
    return letters[position].opening if pipelining and position < len(letters) else b""


async def _offer_together(wire: Wire, opening: bytes, written: bool) -> _No | None:
    """The three commands in one write; every reply is read, whatever the first one says."""
    if not written:
        await wire.send(opening, "mail")
    refusal: _No | None = None
    for phase, wanted in _STEPS:
        try:
            reply = await wire.reply(phase)
        except BrokenConnection:
            if refusal is None:
                raise
            return refusal  # it said no and hung up
        if refusal is not None:
            refusal = _No(refusal.phase, refusal.reply, phase == "data" and reply.code == 354)
        elif reply.code // 100 != wanted:
            refusal = _No(phase, _negative(reply, phase))
        if reply.code == 421:
            return refusal
    if refusal is None:
        _check_in_step(wire)
    return refusal


async def _offer_step_by_step(wire: Wire, opening: bytes, written: bool) -> _No | None:
    assert not written, "nothing is written ahead without PIPELINING"
    for (phase, wanted), line in zip(_STEPS, opening.splitlines(keepends=True), strict=True):
        await wire.send(line, phase)
        reply = await wire.reply(phase)
        if reply.code // 100 != wanted:
            return _No(phase, _negative(reply, phase))
    _check_in_step(wire)
    return None


def _negative(reply: Reply, phase: str) -> Reply:
    """A reply that says no; one that says something else entirely means that we and the server are out of step."""
    if reply.code < 400:
        raise BrokenConnection(phase, f"out of step: {reply}")
    return reply


def _check_in_step(wire: Wire) -> None:
    """A reply more than was asked for would be taken for the answer to the dot."""
    if wire.unread:
        raise BrokenConnection("data", "out of step: a reply that nobody asked for")


async def _recover(wire: Wire, refusal: _No, following: bytes) -> bool:
    """Bring the server back to where it takes MAIL, after a refusal; whether that worked."""
    if refusal.reply.code == 421:  # the server is closing the channel, RFC 5321 §3.8
        return False
    commands = b".\r\n" if refusal.owes_dot else b""
    if refusal.phase != "mail":
        commands += b"RSET\r\n"  # the sender was taken: a second MAIL would be refused as nested
    try:
        if commands or following:
            await wire.send(commands + following, "rset")
        if refusal.owes_dot:
            await wire.reply(
                "dot"
            )  # whatever it says, no recipient was accepted: nobody gets this empty letter
        return refusal.phase == "mail" or (await wire.reply("rset")).code == 250
    except BrokenConnection:
        return False


async def _hand_over(
    wire: Wire,
    letters: Sequence[Letter],
    position: int,
    pipelining: bool,
    told: Callable[[int, Outcome], object],
) -> tuple[int, bool]:
    """Write the content that the server waits for, and those of the letters after it, as long as all goes as usual.

    Returns the position of the first letter whose outcome is not known, and whether the connection can go on.
    """
    going = letters[position:] if pipelining else letters[position : position + 1]
    writes = [
        b"".join((letter.content, b".\r\n", _opening(letters, position + place + 1, pipelining)))
        for place, letter in enumerate(going)
    ]
    flow = await wire.flow(
        writes, lambda place, reply: told(going[place].place, Accepted(str(reply)))
    )
    if flow.is_complete:
        return position + len(going), True
    if flow.answered:
        return position + flow.at + 1, True
    outcome, goes_on = await _finish(
        wire, writes[flow.at], flow.handed, len(going[flow.at].content)
    )
    told(going[flow.at].place, outcome)
    return position + flow.at + 1, goes_on


def _dotted(body: bytes) -> bytes:
    """The body with its dots doubled at the beginning of lines, RFC 5321 §4.5.2, and an end of line at its end."""
    # Looking first takes half of the time: hardly any letter has a line that begins with a dot.
    content = body.replace(b"\r\n.", b"\r\n..") if b"\r\n." in body else body
    if content.startswith(b"."):
        content = b"." + content
    return content if content.endswith(b"\r\n") else content + b"\r\n"


async def _finish(wire: Wire, data: bytes, handed: int, content: int) -> tuple[Outcome, bool]:
    """The rest of a letter of which `handed` octets are gone, the first `content` ones without the dot; its reply."""
    try:
        await wire.send(data[handed:], "body")
    except BrokenConnection as broken:
        may_have_dot = handed + broken.handed > content
        return await _cut_off(wire, broken, may_have_dot=may_have_dot), False
    try:
        reply = await wire.reply("dot")
    except BrokenConnection as broken:
        return Unknown("dot", broken.detail), False
    return _verdict(reply)


def _verdict(reply: Reply) -> tuple[Outcome, bool]:
    kind = reply.code // 100
    if kind == 2:
        return Accepted(str(reply)), True
    if kind == 3:
        return Unknown("dot", f"out of step: {reply}"), False
    return _refused(reply, "dot"), reply.code != 421


async def _cut_off(wire: Wire, broken: BrokenConnection, *, may_have_dot: bool) -> Outcome:
    """The write of the content failed: did the final dot leave, and did the server say why?"""
    reply = await wire.last_words()
    if reply is not None and (may_have_dot or reply.code >= 400):
        return _verdict(reply)[0]
    if may_have_dot:
        return Unknown("dot", broken.detail)
    return Refused(broken.detail, False, "body", ReplyKind.CONNECTION)


def _refused(reply: Reply, phase: str) -> Refused:
    kind = classify(reply.code, reply.text, phase)
    return Refused(str(reply), not kind.retryable, phase, kind)


def _ascii_domain(address: str) -> str:
    """The address with its domain as A-labels, where that is possible."""
    if address.isascii():
        return address
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        return address
