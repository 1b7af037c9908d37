"""The SMS gateway of development: the one that `yanshu inbox` runs, over plain JSON."""

from __future__ import annotations

from typing import Any

import httpx

from engine.channels.base import Accepted, Outcome, Refused, Unknown
from engine.settings import SmsSettings
from engine.smtp_replies import ReplyKind

# Shorter than any server keeps an idle connection: one that it closes under our request would leave us unsure.
_LIMITS = httpx.Limits(keepalive_expiry=2.0)
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class DevelopmentGateway:
    """One client of the gateway, for one thread at a time; keeps its connection until `close`."""

    def __init__(self, settings: SmsSettings, callback: str | None = None) -> None:
        """`callback` is where the gateway is to report deliveries."""
        self._url = settings.url
        self._callback = callback
        self._client = httpx.Client(timeout=settings.timeout, limits=_LIMITS, trust_env=False)

    def send(self, to: str, text: str, reference: str, sms_type: str) -> Outcome:
        """Hand over one message; `to` in E.164.

        `reference` is the delivery's public id and the number of the attempt: the gateway takes one reference only
        once. Accepted holds the gateway's own id of the message.
        """
        order = {"to": to, "text": text, "reference": reference, "sms_type": sms_type}
        if self._callback:
            order["callback"] = self._callback
        try:
            response = self._client.post(self._url, json=order)
        except _NOTHING_SENT as error:
            return Refused(_describe(error), False, "connect", ReplyKind.CONNECTION)
        except httpx.TransportError as error:
            return Unknown("send", _describe(error))
        return _understand(response)

    def close(self) -> None:
        self._client.close()


def _understand(response: httpx.Response) -> Outcome:
    answer = _json_object(response)
    if response.is_success:
        identity = answer.get("id")
        if isinstance(identity, str | int):
            return Accepted(str(identity))
        return Unknown("send", f"{response.status_code} without an id")
    text = f"{response.status_code} {answer.get('error', response.reason_phrase)}"[:500]
    kind = _kind(response.status_code)
    return Refused(text, not kind.retryable, "send", kind)


def _kind(status: int) -> ReplyKind:
    if status == 429:
        return ReplyKind.RATE_LIMITED
    return ReplyKind.PERMANENT if 400 <= status < 500 else ReplyKind.TEMPORARY


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _describe(error: httpx.TransportError) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")[:500]
