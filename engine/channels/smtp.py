"""Letters over SMTP: a connection that is kept, and windows of up to eight letters on it, pipelined where offered.

With PIPELINING (RFC 2920) one write carries the content of a letter, its dot and MAIL, RCPT and DATA of the next one;
content itself is only ever sent after its own 354.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from engine.channels.base import Envelope, Outcome, Refused
from engine.channels.handshake import Extensions, Session, open_session
from engine.channels.transaction import Letter, bad_address, open_letter, transact
from engine.channels.wire import BrokenConnection, Timeouts
from engine.settings import SmtpSettings
from engine.smtp_replies import ReplyKind

MAX_WINDOW = 8
_NOT_STARTED = Refused(
    "an earlier letter lost the connection", False, "not started", ReplyKind.CONNECTION
)


class SmtpConnection:
    """One connection to the relay, opened when first needed and kept over windows. For one task at a time, in one event loop."""

    def __init__(self, settings: SmtpSettings, timeouts: Timeouts | None = None) -> None:
        self._settings = settings
        self._timeouts = timeouts or Timeouts()
        self._session: Session | None = None
        self._midway = (
            False  # a window was left unfinished: the server waits for something else than MAIL
        )

    async def open(self) -> Refused | None:
        """Make sure of a usable connection; one that the server closed meanwhile is replaced.

        Returns the refusal if there is none to be had. Raises ConfigurationError for impossible settings.
        """
        if self._session is not None and (self._midway or not self._session.wire.is_idle()):
            self._drop()
        if self._session is None:
            opened = await open_session(self._settings, self._timeouts)
            if isinstance(opened, Refused):
                return opened
            self._session, self._midway = opened, False
        return None

    async def send_window(
        self, envelopes: Sequence[Envelope], told: Callable[[int, Outcome], object]
    ) -> None:
        """Send up to eight letters; `told` hears (index, outcome) of every one of them, each as soon as it is known.

        After a lost connection the rest of the window is refused as `not started`. What `told` raises ends the window
        and costs the connection. Raises ValueError for a larger window, and ConfigurationError as `open` does.
        """
        if len(envelopes) > MAX_WINDOW:
            raise ValueError(f"{len(envelopes)} letters in a window of at most {MAX_WINDOW}")
        letters, refused = await self._prepare(envelopes)
        for index, refusal in refused:
            told(index, refusal)
        if self._session is None or not letters:
            return
        wire, pipelining = self._session.wire, self._session.extensions.pipelining
        self._midway = True
        known, goes_on = await transact(wire, letters, pipelining=pipelining, told=told)
        self._midway = False
        if not goes_on:
            self._drop()
        for letter in letters[known:]:
            told(letter.place, _NOT_STARTED)

    async def close(self) -> None:
        """Say QUIT where the server expects a command, and close."""
        if self._session is not None and not self._midway:
            with contextlib.suppress(BrokenConnection):
                await self._session.wire.send(b"QUIT\r\n", "rset")
        self._drop()

    @property
    def _extensions(self) -> Extensions:
        return self._session.extensions if self._session else Extensions()

    def _drop(self) -> None:
        if self._session is not None:
            self._session.wire.close()
            self._session = None

    async def _prepare(
        self, envelopes: Sequence[Envelope]
    ) -> tuple[Sequence[Letter], Sequence[tuple[int, Refused]]]:
        """The letters that can go, in the words of the protocol, and apart from them those that cannot."""
        letters: list[Letter] = []
        refused = [(i, no) for i, one in enumerate(envelopes) if (no := bad_address(one))]
        unfit = {index for index, _ in refused}
        fit = [(i, one) for i, one in enumerate(envelopes) if i not in unfit]
        cause = await self.open() if fit else None
        for index, envelope in fit:
            letter = cause or open_letter(index, envelope, self._extensions)
            if isinstance(letter, Letter):
                letters.append(letter)
            else:
                refused.append((index, letter))
        return letters, refused


async def send_one(settings: SmtpSettings, envelope: Envelope) -> Outcome:
    """Send one letter on a connection of its own. Raises ConfigurationError as `SmtpConnection.open` does."""
    connection = SmtpConnection(settings)
    try:
        outcomes: list[Outcome] = []
        await connection.send_window([envelope], lambda _, outcome: outcomes.append(outcome))
    finally:
        await connection.close()
    return outcomes[0]
