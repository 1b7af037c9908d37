"""A socket to an SMTP server: writes that know how much the kernel took, and a bounded reader of replies."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_LINE_LIMIT = 8_192  # octets; RFC 5321 §4.5.3.1.5 allows 512, real servers go beyond
_LINES_LIMIT = 128
_TEXT_LIMIT = 1_000  # characters kept of a reply
_UNREAD_LIMIT = 1_000_000  # octets that a server may say before anybody reads them
_READ = 65_536
_TLS_RECORD = 16_384
"""Octets of plain text in one TLS record, RFC 8446 §5.1. One write hands over one record at most: what failed is then known
to the record."""
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_CODES = {str(code).encode(): code for code in range(200, 600)}
_SEPARATORS = (b" ", b"-", b"\r", b"")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_REPEATED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3} ?")

_ACCEPTED = re.compile(rb"2\d\d [^\r\n]*\r\n")
_GO_AHEAD = re.compile(rb"2\d\d [^\r\n]*\r\n2\d\d [^\r\n]*\r\n354 [^\r\n]*\r\n")
_GO_AHEAD_SO_FAR = re.compile(rb"(?:2\d\d [^\r\n]*\r\n){0,2}[^\n]*")


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


@dataclass(slots=True)
class Flow:
    """Letters written one after the other, each as soon as the server took the one before. Where it stops before the
    end, something unusual was said, or nothing, or the kernel took no more: that is for the caller, reply by reply."""

    writes: Sequence[bytes]
    told: Callable[[int, Reply], object]  # each one's place in `writes` and what the server said
    at: int = 0  # the write in progress
    handed: int = 0  # octets of it that the kernel took
    answered: bool = False  # it was accepted, the go-ahead for the next one was not there yet

    @property
    def is_complete(self) -> bool:
        return self.at == len(self.writes)


class Wire:
    """One connected socket on the running event loop: non-blocking, because only a socket of our own says how much of a
    letter the kernel took. It belongs to the loop in which it was made."""

    def __init__(self, connected: socket.socket, timeouts: Timeouts) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._at_once = sys.maxsize  # octets of one write
        self._buffer = b""
        self._at = 0
        self._ended = ""  # why nothing more will come
        self._waiter: asyncio.Future[bool] | None = (
            None  # its result: whether something came in time
        )
        self._deadline = 0.0  # of the waiter
        self._timer: asyncio.TimerHandle | None = None
        self._rings = 0.0  # when the timer does
        self._flow: Flow | None = None
        self._loop.add_reader(connected.fileno(), self._arrived)

    @property
    def local_address(self) -> str:
        return str(self._socket.getsockname()[0])

    @property
    def unread(self) -> bool:
        """Whether octets of the server are buffered that no reply has taken yet."""
        return self._at < len(self._buffer)

    async def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Start TLS on this connection. Raises BrokenConnection, also when plain text was slipped in before it."""
        if self.unread:
            raise BrokenConnection("tls", "the server sent plain text after its reply to STARTTLS")
        self._loop.remove_reader(self._socket.fileno())
        try:
            self._socket.settimeout(self._timeouts.tls)
            self._socket = await asyncio.to_thread(
                context.wrap_socket, self._socket, server_hostname=host
            )
        except (OSError, ValueError) as error:
            raise BrokenConnection("tls", _describe(error, self._timeouts.tls)) from None
        self._socket.setblocking(False)
        self._at_once = _TLS_RECORD
        self._loop.add_reader(self._socket.fileno(), self._arrived)

    async def send(self, data: bytes, phase: str) -> None:
        """Hand all of `data` to the kernel. Raises BrokenConnection with how much of it may have left."""
        sent = 0
        while sent < len(data):
            try:
                sent += self._socket.send(data[sent : sent + self._at_once])
            except _WOULD_BLOCK:
                if not await self._writable(self._timeouts.body):
                    detail = f"no progress within {self._timeouts.body:g} s"
                    raise BrokenConnection(phase, detail, self._handed(sent)) from None
            except OSError as error:
                raise BrokenConnection(phase, _describe(error, 0), self._handed(sent)) from None

    async def reply(self, phase: str, patience: float | None = None) -> Reply:
        """The next reply, waiting `patience` seconds or as long as `phase` allows. Raises BrokenConnection."""
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            end = await self._fill(phase, patience or self._allowed(phase))
        line = self._buffer[self._at : end]
        self._at = end + 1
        if line[3:4] == b"-":
            return await self._several_lines(line, phase, patience or self._allowed(phase))
        return _single(line) or _unreadable(line, phase)

    async def flow(self, writes: Sequence[bytes], told: Callable[[int, Reply], object]) -> Flow:
        """Write the first, and each of the others when the one before was accepted (2xx) and it has its own go-ahead
        (the replies to MAIL, RCPT and DATA, which each write but the last one ends with).

        All of it in the callback that reads: a letter costs no switch to a waiting task.
        """
        flow = self._flow = Flow(writes, told)
        try:
            if self._push(flow):
                await self._something(self._deadline)
        finally:
            self._flow = None
        return flow

    async def last_words(self) -> Reply | None:
        """What the server said before it hung up, if anything; for a connection whose write failed."""
        try:
            return await self.reply("dot", patience=1.0)
        except BrokenConnection:
            return None

    def is_idle(self) -> bool:
        """Whether the connection still stands and the server has said nothing of its own accord (the end, or a 421
        that nobody asked for)."""
        if not self._ended:
            self._arrived()
        return not self.unread and not self._ended

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
        with contextlib.suppress(OSError):
            self._socket.close()

    def _arrived(self) -> None:
        """Read what there is; the loop calls it when there is something."""
        try:
            chunk = self._socket.recv(
                _READ
            )  # more than a TLS record: nothing stays unseen in the TLS layer
        except _WOULD_BLOCK:
            return
        except OSError as error:
            self._end(_describe(error, 0))
            return
        if not chunk:
            self._end("the server closed the connection")
            return
        self._buffer, self._at = self._buffer[self._at :] + chunk, 0
        if len(self._buffer) > _UNREAD_LIMIT:
            self._end("unreadable reply: it does not end")
        if self._flow is None or not self._flows_on(self._flow):
            self._wake(came=True)

    def _flows_on(self, flow: Flow) -> bool:
        """Go on with the flow as far as the replies allow; False where it is done, or stops."""
        is_last = flow.at + 1 == len(flow.writes)
        try:
            if not flow.answered:
                found = _ACCEPTED.match(self._buffer, self._at)
                if found is None:
                    return self._buffer.find(b"\n", self._at) < 0
                self._at = found.end()
                flow.answered = True
                flow.told(flow.at, _single(found[0][:-1]) or _unreadable(found[0], "dot"))
            if not is_last and not _GO_AHEAD.fullmatch(self._buffer, self._at):
                return _GO_AHEAD_SO_FAR.fullmatch(self._buffer, self._at) is not None
        except Exception as error:
            self._flow = None
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(error)
            return True
        if not is_last:
            self._at = len(self._buffer)
        flow.at, flow.handed, flow.answered = flow.at + 1, 0, False
        return not is_last and self._push(flow)

    def _push(self, flow: Flow) -> bool:
        """Hand the flow's next write to the kernel; False where it does not take all of it at once."""
        data = flow.writes[flow.at]
        self._deadline = self._loop.time() + self._timeouts.dot
        try:
            while flow.handed < len(data):
                flow.handed += self._socket.send(data[flow.handed : flow.handed + self._at_once])
        except OSError:  # it comes again where the caller goes on
            return False
        return True

    def _end(self, why: str) -> None:
        self._ended = why
        self._loop.remove_reader(self._socket.fileno())
        self._wake(came=True)

    def _wake(self, *, came: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(came)

    async def _fill(self, phase: str, patience: float) -> int:
        """Wait until the buffer holds a whole line; return where it ends."""
        deadline = self._loop.time() + patience
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            if len(self._buffer) - self._at > _LINE_LIMIT:
                raise BrokenConnection(phase, "unreadable reply: a line without an end")
            if self._ended:
                raise BrokenConnection(phase, self._ended)
            if not await self._something(deadline):
                raise BrokenConnection(phase, f"no reply within {patience:g} s")
        return end

    async def _something(self, deadline: float) -> bool:
        """Wait until something has arrived; False when the time is up first."""
        self._waiter, self._deadline = self._loop.create_future(), deadline
        if self._timer is None or self._rings > deadline:
            self._set_timer()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def _set_timer(self) -> None:
        """One timer for many waits, as most of them end long before it rings: it then goes by the latest deadline."""
        if self._timer is not None:
            self._timer.cancel()
        self._rings = self._deadline
        self._timer = self._loop.call_at(self._rings, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() < self._deadline:
            self._set_timer()
        else:
            self._wake(came=False)

    async def _writable(self, patience: float) -> bool:
        """Wait until the kernel takes more; False when the time is up first."""
        ready = asyncio.Event()
        number = self._socket.fileno()
        self._loop.add_writer(number, ready.set)
        try:
            async with asyncio.timeout(patience):
                await ready.wait()
        except TimeoutError:
            return False
        finally:
            self._loop.remove_writer(number)
        return True

    def _handed(self, sent: int) -> int:
        """A plain write that fails took nothing; under TLS the record that failed may have gone out."""
        return sent + (_TLS_RECORD if self._at_once == _TLS_RECORD else 0)

    async def _several_lines(self, first: bytes, phase: str, patience: float) -> Reply:
        lines = [first]
        deadline = self._loop.time() + patience
        while lines[-1][3:4] == b"-":
            if len(lines) >= _LINES_LIMIT:
                raise BrokenConnection(phase, "unreadable reply: it does not end")
            end = self._buffer.find(b"\n", self._at)
            if end < 0:
                end = await self._fill(phase, max(deadline - self._loop.time(), 0.001))
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
