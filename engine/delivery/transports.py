"""The ways out that a worker process opens: SMTP connections, and the SMS gateway behind the same small interface."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from engine.channels.base import Envelope, Outcome, Refused
from engine.channels.smtp import SmtpConnection
from engine.delivery.send import Transport
from engine.rendering.headers import SHOP_SENDER, parse_sender
from engine.settings import Settings

if TYPE_CHECKING:
    from engine.channels.sms_development import DevelopmentGateway

_SMS_CONNECTIONS = 2


class SmsTransport:
    """A gateway as a transport: one request per message. The envelope's `sender` is the gateway's message type, its
    `delivery` the reference that the gateway takes once."""

    def __init__(self, connect: Callable[[], DevelopmentGateway]) -> None:
        self._connect = connect
        self._gateway: DevelopmentGateway | None = None

    async def open(self) -> Refused | None:
        if self._gateway is None:
            self._gateway = await asyncio.to_thread(self._connect)
        return None  # a gateway that is away says so at the first message, before anything was sent

    async def send_window(
        self, envelopes: Sequence[Envelope], told: Callable[[int, Outcome], object]
    ) -> None:
        assert self._gateway is not None, "open comes first"
        for place, one in enumerate(envelopes):
            text = one.body.decode()
            outcome = await asyncio.to_thread(
                self._gateway.send, one.recipient, text, one.delivery, one.sender
            )
            told(place, outcome)

    async def close(self) -> None:
        if self._gateway is not None:
            self._gateway.close()


def transports(
    settings: Settings, connections: int
) -> Mapping[str, Sequence[Callable[[], Transport]]]:
    """Per channel, how to open each of this process's connections. Raises ConfigurationError without an SMTP host
    or a sender."""
    settings.require_smtp()
    parse_sender(settings.smtp.sender, SHOP_SENDER)
    ways: dict[str, Sequence[Callable[[], Transport]]] = {
        "email": [lambda: SmtpConnection(settings.smtp)] * max(1, connections)
    }
    if settings.sms.gateway == "development":
        ways["sms"] = [lambda: SmsTransport(lambda: _gateway(settings))] * _SMS_CONNECTIONS
    return ways


def _gateway(settings: Settings) -> DevelopmentGateway:
    # Imported with the first text message: a worker that only sends mail needs no HTTP client, which weighs 10 MiB.
    from engine.channels.sms_development import DevelopmentGateway

    return DevelopmentGateway(settings.sms, f"{settings.web_url}/hooks/development")
