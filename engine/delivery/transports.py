"""The ways out that a worker process opens: SMTP connections, and the SMS gateway behind the same small interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from engine.channels.base import Envelope, Outcome, Refused
from engine.channels.sms_development import DevelopmentGateway
from engine.channels.smtp import SmtpConnection
from engine.delivery.send import Transport
from engine.settings import Settings

_SMS_CONNECTIONS = 2


class SmsTransport:
    """A gateway as a transport: one request per message. The envelope's `sender` is the gateway's message type, its
    `delivery` the reference that the gateway takes once."""

    def __init__(self, gateway: DevelopmentGateway) -> None:
        self._gateway = gateway

    def open(self) -> Refused | None:
        return None  # a gateway that is away says so at the first message, before anything was sent

    def send_window(self, envelopes: Sequence[Envelope]) -> Iterator[tuple[int, Outcome]]:
        for place, envelope in enumerate(envelopes):
            text = envelope.body.decode()
            yield (
                place,
                self._gateway.send(envelope.recipient, text, envelope.delivery, envelope.sender),
            )

    def close(self) -> None:
        self._gateway.close()


def transports(
    settings: Settings, connections: int
) -> Mapping[str, Sequence[Callable[[], Transport]]]:
    """Per channel, how to open each of this process's connections. Raises ConfigurationError without an SMTP host."""
    settings.require_smtp()
    ways: dict[str, Sequence[Callable[[], Transport]]] = {
        "email": [lambda: SmtpConnection(settings.smtp)] * max(1, connections)
    }
    if settings.sms.gateway == "development":
        callback = f"{settings.web_url}/hooks/development"
        ways["sms"] = [
            lambda: SmsTransport(DevelopmentGateway(settings.sms, callback))
        ] * _SMS_CONNECTIONS
    return ways
