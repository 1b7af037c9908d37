"""A blocking socket to an SMTP server: writes that know how much the kernel took, and a bounded reader of replies."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from typing import NamedTuple

_LINE_LIMIT = 8_192  # octets; RFC 5321 §4.5.3.1.5 allows 512, real servers go beyond
_LINES_LIMIT = 128
_TEXT_LIMIT = 1_000  # characters kept of a reply
_TLS_RECORD = (
    16_384  # octets of plain text that one TLS write may have handed over before it failed
)
_CODES = {str(code).encode(): code for code in range(200, 600)}
_SEPARATORS = (b" ", b"-", b"\r", b"")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_REPEATED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3} ?")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait in each phase, RFC 5321 §4.5.3.2; the final dot may take the server ten minutes."""

    connect: float = 30
    greeting: float = 300
    ehlo: float = 300
    starttls: float = 120
    tls: float = 60
    auth: float = 120
    mail: float = 300
    rcpt: float = 300
    data: float = 120
    body: float = 180
    dot: float = 600
    rset: float = 300


class Reply(NamedTuple):
    """A server's reply: its code, and its lines joined by spaces, without control characters."""

    code: int
    text: str
    lines: tuple[str, ...] = ()  # each line, where there are several

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


class BrokenConnection(Exception):
    """The conversation cannot go on. `handed` octets of the last write may have left for the server."""

    def __init__(self, phase: str, detail: str, handed: int = 0) -> None:
        self.phase = phase
        self.detail = detail
        self.handed = handed
        super().__init__(f"{phase}: {detail}")


class Wire:
    """One connected socket. Time-outs of a plain socket are the kernel's own (one system call instead of two)."""

    def __init__(self, connected: socket.socket, timeouts: Timeouts) -> None:
        connected.settimeout(None)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeouts.body))
        self._socket = connected
        self._timeouts = timeouts
        self._secure = False
        self._waiting = -1.0  # the receive time-out now set
        self._buffer = b""
        self._at = 0

    @property
    def local_address(self) -> str:
        return str(self._socket.getsockname()[0])

    @property
    def unread(self) -> bool:
        """Whether octets of the server are buffered that no reply has taken yet."""
        return self._at < len(self._buffer)

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Start TLS on this connection. Raises BrokenConnection, also when plain text was slipped in before it."""
        if self.unread:
            raise BrokenConnection("tls", "the server sent plain text after its reply to STARTTLS")
        try:
            self._socket.settimeout(self._timeouts.tls)
            self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except (OSError, ValueError) as error:
            raise BrokenConnection("tls", _describe(error, self._timeouts.tls)) from None
        self._secure = True
        self._waiting = -1.0

    def send(self, data: bytes, phase: str) -> None:
        """Hand all of `data` to the kernel. Raises BrokenConnection with how much of it may have left."""
        sent = 0
        try:
            if self._secure:
                self._wait(self._timeouts.body)
            sent = self._socket.send(data)
            while sent < len(data):
                sent += self._socket.send(memoryview(data)[sent:])
        except OSError as error:
            # A plain send that fails took nothing. Under TLS one record may have gone out before the failure.
            handed = sent + (_TLS_RECORD if self._secure else 0)
            raise BrokenConnection(phase, _describe(error, self._timeouts.body), handed) from None

    def reply(self, phase: str, patience: float | None = None) -> Reply:
        """The next reply, waiting `patience` seconds or as long as `phase` allows. Raises BrokenConnection."""
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            end = self._fill(phase, patience or self._allowed(phase))
        line = self._buffer[self._at : end]
        self._at = end + 1
        if line[3:4] == b"-":
            return self._several_lines(line, phase, patience or self._allowed(phase))
        return _single(line) or _unreadable(line, phase)

    def consume(self, usual: re.Pattern[bytes]) -> bool:
        """Take all that is buffered if `usual` matches the whole of it: several expected replies in one step."""
        if usual.fullmatch(self._buffer, self._at):
            self._at = len(self._buffer)
            return True
        return False

    def last_words(self) -> Reply | None:
        """What the server said before it hung up, if anything; for a connection whose write failed."""
        try:
            return self.reply("dot", patience=1.0)
        except BrokenConnection:
            return None

    def is_idle(self) -> bool:
        """Whether the connection still stands and the server has said nothing of its own accord."""
        if self.unread:
            return False
        try:
            if self._secure:
                self._socket.settimeout(0)
                self._waiting = 0.0
                self._socket.recv(1)
            else:
                self._socket.recv(1, socket.MSG_DONTWAIT)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False  # the end, or a 421 that nobody asked for

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def _fill(self, phase: str, patience: float) -> int:
        """Read until the buffer holds a whole line; return where it ends."""
        deadline = 0.0
        rest = self._buffer[self._at :]
        while True:
            left = patience if not deadline else deadline - time.monotonic()
            if left <= 0:
                raise BrokenConnection(phase, f"no reply within {patience:g} s")
            chunk = self._receive(phase, left)
            end = chunk.find(b"\n")
            self._buffer, self._at = rest + chunk, 0
            if end >= 0:
                return len(rest) + end
            rest = self._buffer
            if len(rest) > _LINE_LIMIT:
                raise BrokenConnection(phase, "unreadable reply: a line without an end")
            deadline = deadline or time.monotonic() + patience

    def _receive(self, phase: str, patience: float) -> bytes:
        try:
            self._wait(patience)
            chunk = self._socket.recv(_LINE_LIMIT)
        except OSError as error:
            raise BrokenConnection(phase, _describe(error, patience)) from None
        if not chunk:
            raise BrokenConnection(phase, "the server closed the connection")
        return chunk

    def _wait(self, seconds: float) -> None:
        if seconds == self._waiting:
            return
        if self._secure:  # OpenSSL would wait for ever on a socket with a kernel time-out
            self._socket.settimeout(seconds)
        else:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))
        self._waiting = seconds

    def _several_lines(self, first: bytes, phase: str, patience: float) -> Reply:
        lines = [first]
        deadline = time.monotonic() + patience
        while lines[-1][3:4] == b"-":
            if len(lines) >= _LINES_LIMIT:
                raise BrokenConnection(phase, "unreadable reply: it does not end")
            end = self._buffer.find(b"\n", self._at)
            if end < 0:
                end = self._fill(phase, max(deadline - time.monotonic(), 0.001))
            lines.append(self._buffer[self._at : end])
            self._at = end + 1
        return _joined(lines) or _unreadable(lines[-1], phase)

    def _allowed(self, phase: str) -> float:
        return float(getattr(self._timeouts, phase))


def _single(line: bytes) -> Reply | None:
    """Read one line of a reply by hand: queue ids make nearly every one new, a cache or a pattern costs more."""
    code = _CODES.get(line[:3])
    if code is None or line[3:4] not in _SEPARATORS:
        return None
    return Reply(code, _clean(line[4:]))


def _joined(lines: list[bytes]) -> Reply | None:
    parts = [_single(line) for line in lines]
    first = parts[0]
    if first is None or any(part is None or part.code != first.code for part in parts):
        return None
    texts = [part.text for part in parts if part is not None]
    code = _REPEATED_CODE.match(first.text)
    if code:  # servers repeat the enhanced code in front of every line
        texts[1:] = [text.removeprefix(code[0].rstrip()).lstrip() for text in texts[1:]]
    return Reply(first.code, " ".join(texts)[:_TEXT_LIMIT], tuple(texts))


def _clean(octets: bytes) -> str:
    text = octets.decode("utf-8", "replace").strip()
    if not text.isprintable():
        text = _CONTROL.sub(" ", text).strip()
    return text[:_TEXT_LIMIT]


def _unreadable(line: bytes, phase: str) -> Reply:
    raise BrokenConnection(phase, f"unreadable reply: {_clean(line)[:100]!r}")


def _describe(error: Exception, seconds: float) -> str:
    if isinstance(error, TimeoutError | BlockingIOError):
        return f"no progress within {seconds:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'closed'}"
    return str(getattr(error, "strerror", None) or error)


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    micro = int((seconds - whole) * 1_000_000)
    return struct.pack("@ll", whole, micro if whole or micro else 1)  # zero would mean for ever
