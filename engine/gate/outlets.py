"""Where messages leave the shop: the provider of each channel, and the address that an email is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr

from sqlalchemy import Connection

from engine.definitions.campaign import Channel
from engine.gate.candidates import Catalog
from engine.gate.volume import Outlet
from engine.settings import Settings

_PROVIDERS: Mapping[Channel, str] = {"email": "smtp", "sms": "sms"}


@dataclass(frozen=True)
class Outlets:
    """What the installation says. `sender`: the address of emails whose step names none; `providers`: by channel."""

    sender: str = ""
    providers: Mapping[Channel, str] = field(default_factory=lambda: _PROVIDERS)
    _found: dict[tuple[str, str, Channel], Outlet] = field(default_factory=dict)

    def of(
        self, connection: Connection, catalog: Catalog, digest: str, step: str, channel: Channel
    ) -> Outlet:
        """The outlet of a version's step; remembered, since a version never changes."""
        key = (digest, step, channel)
        found = self._found.get(key)
        if found is None:
            steps = catalog.version(connection, digest).definition.steps
            content = next((one.email for one in steps if one.id == step), None)
            found = self._found[key] = self._made(channel, content.sender if content else "")
        return found

    def _made(self, channel: Channel, written: str) -> Outlet:
        sender = parseaddr(written or self.sender)[1].lower() if channel == "email" else None
        return Outlet(self.providers[channel], sender)


def outlets(settings: Settings) -> Outlets:
    """Those of an installation."""
    return Outlets(settings.smtp.sender, settings.providers())
