"""An SMTP connection for tests that are no coroutines: each call runs the event loop until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

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
        on_transmit: Callable[[int], object] | None = None,
        on_outcome: Callable[[int, Outcome], object] | None = None,
    ) -> list[Outcome]:
        """The outcomes in the order of the envelopes; every one has exactly one."""

        async def collect() -> list[tuple[int, Outcome]]:
            found = []
            async for place, outcome in self.connection.send_window(envelopes, on_transmit):
                found.append((place, outcome))
                if on_outcome is not None:
                    on_outcome(place, outcome)
            return found

        found = self._runner.run(collect())
        assert sorted(place for place, _ in found) == list(range(len(envelopes)))
        return [outcome for _, outcome in sorted(found, key=lambda pair: pair[0])]

    def close(self) -> None:
        self._runner.run(self.connection.close())
        self._runner.close()

    def abandon(self, envelopes: Sequence[Envelope]) -> None:
        """Leave a window after its first outcome."""

        async def first() -> None:
            window = self.connection.send_window(envelopes)
            async for _ in window:
                break
            await window.aclose()  # type: ignore[attr-defined]  # it is a generator

        self._runner.run(first())
