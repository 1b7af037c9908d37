"""A scripted SMTP server: it records every letter whose final dot it got, and misbehaves exactly where it is told to.

    with FaultServer(faults=[Fault("dot", "drop", at=3)]) as server:
        ...send to 127.0.0.1:server.port...
        server.letters          # what it got, in order: the oracle

Phases: `greeting`, `ehlo`, `mail`, `rcpt`, `data`, `body` (in the middle of the content), `dot` (the content is recorded,
no reply is sent) and `reply` (the 250 is sent and the connection reset at once). `at` counts letters from 0 over all
connections (for `greeting` and `ehlo`: connections).
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from types import TracebackType
from typing import Literal

Phase = Literal["greeting", "ehlo", "mail", "rcpt", "data", "body", "dot", "reply"]
PHASES: tuple[Phase, ...] = ("greeting", "ehlo", "mail", "rcpt", "data", "body", "dot", "reply")


@dataclass(frozen=True)
class Fault:
    """One misbehaviour. `drop` closes, `reset` closes with RST, `stall` says nothing until the client gives up,
    `delay` answers after `seconds`, `say` answers `reply` instead (and closes after a 421)."""

    phase: Phase
    action: Literal["drop", "reset", "stall", "delay", "say"] = "drop"
    at: int = 0
    times: int = 1  # how many letters (or connections) in a row, from `at` on
    reply: str = "421 4.3.0 going down"
    seconds: float = 0.0
    after: int = 100  # for `body`: octets of content that are read first

    def hits(self, phase: str, count: int) -> bool:
        return self.phase == phase and self.at <= count < self.at + self.times


@dataclass(frozen=True)
class Letter:
    """A letter whose final dot arrived; `body` is dot-unstuffed."""

    sender: str
    recipients: tuple[str, ...]
    body: bytes

    @property
    def delivery(self) -> str | None:
        return message_from_bytes(self.body)["X-Delivery-Id"]


@dataclass
class FaultServer:
    """The server; a context manager. `replies` scripts RCPT per recipient: each try takes the next text of the list
    (the last one repeats; an empty list means 250). `verdicts` does the same for the answer to the final dot."""

    pipelining: bool = True
    faults: Iterable[Fault] = ()
    replies: Mapping[str, Iterable[str]] = field(default_factory=dict)
    verdicts: Mapping[str, Iterable[str]] = field(default_factory=dict)
    extensions: tuple[str, ...] = ("8BITMIME", "SIZE 33554432")
    data_without_recipient: str = (
        "554 5.5.1 Error: no valid recipients"  # or "354 …", as RFC 2920 warns
    )
    lone_dot: str = "554 5.5.1 no valid recipients"
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    login: tuple[str, str] | None = None  # user, password; the only one that gets 235

    def __post_init__(self) -> None:
        self.letters: list[Letter] = []
        self.commands: list[str] = []  # as they came, of all connections
        self.connections = 0
        self.started = 0  # letters begun: MAIL commands
        self.counts: dict[str, int] = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.changed = threading.Condition(self.lock)
        self._scripts = {k: list(v) for k, v in {**self.replies, **self._prefixed()}.items()}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: set[_Conversation] = set()

    def _prefixed(self) -> dict[str, Iterable[str]]:
        return {f"dot:{recipient}": texts for recipient, texts in self.verdicts.items()}

    def __enter__(self) -> FaultServer:
        self._run(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(timeout=10)

    def hang_up(self) -> None:
        """Close every connection that is open now, as an idle server does."""
        with self.lock:
            standing = list(self._open)
        for one in standing:
            with contextlib.suppress(OSError):  # past TLS: the plain connection ends
                socket.socket.shutdown(one.socket, socket.SHUT_RDWR)

    def copies(self, delivery: str) -> int:
        """How many letters with this X-Delivery-Id came in whole."""
        with self.lock:
            return sum(letter.delivery == delivery for letter in self.letters)

    def wait_until_closed(self, deadline: float = 10.0) -> None:
        """Wait until no connection is open: whatever was on its way has been read or lost."""
        with self.changed:
            if not self.changed.wait_for(lambda: not self._open, deadline):
                raise TimeoutError(f"{len(self._open)} connections are still open")

    def fault(self, phase: str, count: int) -> Fault | None:
        return next((one for one in self.faults if one.hits(phase, count)), None)

    def scripted(self, key: str, usual: str) -> str:
        with self.lock:
            script = self._scripts.get(key)
            if not script:
                return usual
            return script.pop(0) if len(script) > 1 else script[0]

    def count(self, what: Literal["connections", "started"]) -> int:
        """The number of the connection or letter that begins now, from 0."""
        with self.lock:
            number = int(getattr(self, what))
            setattr(self, what, number + 1)
            return number

    def record(self, letter: Letter) -> None:
        with self.changed:
            self.letters.append(letter)
            self.changed.notify_all()

    def note(self, command: str) -> None:
        with self.changed:
            self.commands.append(command)
            self.changed.notify_all()

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            conversation = _Conversation(self, connected)
            with self.lock:
                self._open.add(conversation)
            self._run(self._serve, conversation)

    def _serve(self, conversation: _Conversation) -> None:
        try:
            conversation.run()
        except (OSError, EOFError, _Over):
            pass
        finally:
            conversation.socket.close()
            with self.changed:
                self._open.discard(conversation)
                self.changed.notify_all()


class _Over(Exception):
    """The conversation ends here, on purpose."""


class _Conversation:
    """One connection: reads commands, answers in batches as a pipelining server does."""

    def __init__(self, server: FaultServer, connected: socket.socket) -> None:
        self.server = server
        self.socket: socket.socket = connected
        self.buffer = b""
        self.answers: list[str] = []
        self.connection = server.count("connections")
        self.letter = -1
        self.sender: str | None = None
        self.recipients: list[str] = []

    def run(self) -> None:
        if self.server.tls and self.server.implicit_tls:
            self.socket = self.server.tls.wrap_socket(self.socket, server_side=True)
        self.answer("220 fault.example ESMTP", "greeting", self.connection)
        while True:
            line = self.line()
            verb, _, rest = line.partition(" ")
            # Of a login only the verb is kept.
            self.server.note(line if verb.upper() != "AUTH" else "AUTH")
            handler = getattr(self, f"on_{verb.lower()}", None)
            if handler is None:
                self.answer("500 5.5.2 what?")
            else:
                handler(rest)

    def on_ehlo(self, _: str) -> None:
        offered = list(self.server.extensions)
        if self.server.pipelining:
            offered.append("PIPELINING")
        if self.server.tls and not isinstance(self.socket, ssl.SSLSocket):
            offered.append("STARTTLS")
        if self.server.login and not any(one.startswith("AUTH") for one in offered):
            offered.append("AUTH PLAIN LOGIN")
        lines = ["fault.example", *offered]
        text = "\r\n".join(f"250-{line}" for line in lines[:-1]) + f"\r\n250 {lines[-1]}"
        self.answer(text, "ehlo", self.connection)

    def on_helo(self, _: str) -> None:
        self.answer("250 fault.example", "ehlo", self.connection)

    def on_starttls(self, _: str) -> None:
        assert self.server.tls is not None
        self.answer("220 go ahead")
        self.flush()
        self.socket = self.server.tls.wrap_socket(self.socket, server_side=True)

    def on_auth(self, rest: str) -> None:
        import base64

        assert self.server.login is not None
        user, password = self.server.login
        mechanism, _, initial = rest.partition(" ")
        if mechanism == "PLAIN":
            given = base64.b64decode(initial).decode().split("\0")[1:]
        else:
            given = []
            for prompt in ("VXNlcm5hbWU6", "UGFzc3dvcmQ6"):
                self.answer(f"334 {prompt}")
                given.append(base64.b64decode(self.line()).decode())
        if given == [user, password]:
            self.answer("235 2.7.0 welcome")
        else:
            self.answer(f"535 5.7.8 no such login: {given[0]} {given[1]}")  # a chatty server

    def on_mail(self, rest: str) -> None:
        if self.sender is not None:
            self.answer("503 5.5.1 Error: nested MAIL command")
            return
        self.letter = self.server.count("started")
        if self.answer("250 2.1.0 Ok", "mail", self.letter).startswith("250"):
            self.sender = _path(rest)

    def on_rcpt(self, rest: str) -> None:
        if self.sender is None:
            self.answer("503 5.5.1 Error: need MAIL command")
            return
        recipient = _path(rest)
        usual = self.server.scripted(recipient, "250 2.1.5 Ok")
        if self.answer(usual, "rcpt", self.letter).startswith("25"):
            self.recipients.append(recipient)

    def on_data(self, _: str) -> None:
        if self.sender is None or not self.recipients:
            text = self.server.data_without_recipient
            self.answer(text if self.sender is not None else "503 5.5.1 Error: need RCPT command")
            if not text.startswith("354") or self.sender is None:
                return
            self.flush()
            self.content()
            self.answer(self.server.lone_dot)
        else:
            if not self.answer("354 End data with .", "data", self.letter).startswith("354"):
                return
            self.flush()
            self.take()
        self.forget()

    def on_rset(self, _: str) -> None:
        self.forget()
        self.answer("250 2.0.0 Ok")

    def on_quit(self, _: str) -> None:
        self.answer("221 2.0.0 Bye")
        self.flush()
        raise _Over

    def take(self) -> None:
        self.misbehave_in_body()
        body = self.content()
        assert self.sender is not None
        key = f"dot:{self.recipients[0]}"
        verdict = self.server.scripted(key, f"250 2.0.0 Ok: queued as {self.letter:05d}")
        fault = self.server.fault("dot", self.letter)
        if verdict.startswith("250") and not (fault and fault.action == "say"):
            self.server.record(Letter(self.sender, tuple(self.recipients), body))
        self.answer(verdict, "dot", self.letter)
        if self.server.fault("reply", self.letter):
            self.flush()
            self.reset()

    def misbehave_in_body(self) -> None:
        fault = self.server.fault("body", self.letter)
        if fault is None:
            return
        while len(self.buffer) < fault.after:
            self.receive()
        self.act(fault)

    def content(self) -> bytes:
        """Read up to the final dot; the body without it and without the stuffing."""
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            self.receive()
        if self.buffer.startswith(b".\r\n"):
            self.buffer = self.buffer[3:]
            return b""
        end = self.buffer.index(b"\r\n.\r\n")
        body, self.buffer = self.buffer[: end + 2], self.buffer[end + 5 :]
        return re.sub(rb"^\.", b"", body, flags=re.MULTILINE)

    def answer(self, text: str, phase: str = "", count: int = -1) -> str:
        fault = self.server.fault(phase, count) if phase else None
        if fault is not None and fault.action == "say":
            text = fault.reply
        elif fault is not None:
            self.act(fault)
        self.answers.append(text)
        if text.startswith("421"):
            self.flush()
            raise _Over
        return text

    def act(self, fault: Fault) -> None:
        self.flush()
        if fault.action == "stall":
            while self.socket.recv(65_536):  # reads on, says nothing
                pass
            raise _Over
        if fault.action == "delay":
            self.server.stopping.wait(fault.seconds)
        elif fault.action == "say":
            self.answers.append(fault.reply)
            self.flush()
            raise _Over
        elif fault.action == "reset":
            self.reset()
        else:
            raise _Over

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _Over

    def forget(self) -> None:
        self.sender, self.recipients = None, []

    def line(self) -> str:
        while b"\r\n" not in self.buffer:
            self.flush()  # nothing more to read: now the client waits for the answers
            self.receive()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line.decode("utf-8", "replace")

    def receive(self) -> None:
        chunk = self.socket.recv(65_536)
        if not chunk:
            raise EOFError
        self.buffer += chunk

    def flush(self) -> None:
        if self.answers:
            self.socket.sendall("".join(f"{text}\r\n" for text in self.answers).encode())
            self.answers.clear()


def _path(rest: str) -> str:
    found = re.search(r"<([^>]*)>", rest)
    return found[1] if found else ""
