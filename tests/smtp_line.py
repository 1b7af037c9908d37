"""An SMTP connection for tests that are no coroutines: each call runs the event loop until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import uvloop

from engine.channels.base import Envelope, Outcome, Refused
from engine.channels.smtp import SmtpConnection
from engine.channels.wire import Timeouts
from engine.settings import SmtpSettings


class SmtpLine:
    """Between the calls the loop stands still."""

    def __init__(self, settings: SmtpSettings, timeouts: Timeouts | None = None) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.connection = SmtpConnection(settings, timeouts)

    def open(self) -> Refused | None:
        return self._runner.run(self.connection.open())

    def send(
        self,
        envelopes: Sequence[Envelope],
        on_outcome: Callable[[int, Outcome], object] = lambda *_: None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> list[Outcome]:
        """The outcomes in the order of the envelopes; every one has exactly one. `meanwhile` is called in the loop
        while the window is on the wire."""
        found: list[tuple[int, Outcome]] = []

        def told(place: int, outcome: Outcome) -> None:
            found.append((place, outcome))
            on_outcome(place, outcome)

        async def send() -> None:
            asyncio.get_running_loop().call_later(0.01, meanwhile)
            await self.connection.send_window(envelopes, told)

        self._runner.run(send())
        assert sorted(place for place, _ in found) == list(range(len(envelopes)))
        return [outcome for _, outcome in sorted(found, key=lambda pair: pair[0])]

    def close(self) -> None:
        self._runner.run(self.connection.close())
        self._runner.close()

    def abandon(self, envelopes: Sequence[Envelope]) -> None:
        """Leave a window after its first outcome."""

        def leave(_: int, __: Outcome) -> None:
            raise InterruptedError

        with suppress(InterruptedError):
            self._runner.run(self.connection.send_window(envelopes, leave))
