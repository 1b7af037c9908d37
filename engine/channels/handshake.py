"""From nothing to a connection that takes letters: connect, greeting, EHLO, TLS, login."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
from dataclasses import dataclass

from engine.channels.base import Refused
from engine.channels.wire import BrokenConnection, Reply, Timeouts, Wire
from engine.errors import ConfigurationError
from engine.settings import SmtpSettings
from engine.smtp_replies import ReplyKind

_HELO = re.compile(r"[A-Za-z0-9.-]{1,255}|\[[0-9A-Fa-f:.IPv]+\]")


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the server offers; read again after STARTTLS, as RFC 3207 asks."""

    pipelining: bool = False
    eight_bit: bool = False
    utf8: bool = False
    starttls: bool = False
    size: int = 0  # octets; 0 = no limit named
    login: frozenset[str] = frozenset()

    @classmethod
    def of(cls, reply: Reply) -> Extensions:
        """Read the lines of a reply to EHLO."""
        offered: dict[str, list[str]] = {}
        for line in reply.lines[1:]:
            keyword, *arguments = line.upper().replace("AUTH=", "AUTH ").split() or [""]
            offered.setdefault(keyword, []).extend(arguments)
        sizes = [int(size) for size in offered.get("SIZE", ()) if size.isdecimal()]
        return cls(
            pipelining="PIPELINING" in offered,
            eight_bit="8BITMIME" in offered,
            utf8="SMTPUTF8" in offered,
            starttls="STARTTLS" in offered,
            size=sizes[0] if sizes else 0,
            login=frozenset(offered.get("AUTH", ())),
        )


@dataclass(frozen=True, slots=True)
class Session:
    """A connection that is ready for MAIL."""

    wire: Wire
    extensions: Extensions


async def open_session(settings: SmtpSettings, timeouts: Timeouts) -> Session | Refused:
    """Connect and log in as the settings say; never in the clear where TLS is asked for.

    A server that cannot be reached or does not want us is a `Refused` that may be tried again (kind RELAY or
    CONNECTION). Raises ConfigurationError for settings that no server could take.
    """
    if not settings.host:
        raise ConfigurationError("smtp.host is not set: name the relay in yanshu.toml")
    handshake = _Handshake(settings, timeouts)
    try:
        refusal = await handshake.run()
    except asyncio.CancelledError:
        handshake.give_up()
        raise
    except BrokenConnection as broken:
        refusal = Refused(broken.detail, False, broken.phase, ReplyKind.CONNECTION)
    if refusal is None:
        return Session(handshake.wire, handshake.extensions)
    handshake.give_up()
    return refusal


class _Handshake:
    """The steps of one connection; each returns the refusal that ends it, or None."""

    wire: Wire

    def __init__(self, settings: SmtpSettings, timeouts: Timeouts) -> None:
        self._settings = settings
        self._timeouts = timeouts
        self._connected = False
        self.extensions = Extensions()

    async def run(self) -> Refused | None:
        await self._connect()
        if self._settings.security == "tls":
            await self._secure()
        return (
            await self._greeting()
            or await self._hello()
            or await self._start_tls()
            or await self._login()
        )

    def give_up(self) -> None:
        if self._connected:
            self.wire.close()

    async def _connect(self) -> None:
        address = (self._settings.host, self._settings.port)
        try:
            connected = await asyncio.to_thread(  # the look-up of the name blocks
                socket.create_connection, address, timeout=self._timeouts.connect
            )
        except (OSError, UnicodeError) as error:
            detail = getattr(error, "strerror", None) or str(error)
            raise BrokenConnection("connect", detail) from None
        self.wire = Wire(connected, self._timeouts)
        self._connected = True

    async def _secure(self) -> None:
        context = ssl.create_default_context()
        if not self._settings.verify_certificate:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        await self.wire.secure(context, self._settings.host)

    async def _greeting(self) -> Refused | None:
        reply = await self.wire.reply("greeting")
        return None if reply.code == 220 else _refused(reply, "greeting")

    async def _hello(self) -> Refused | None:
        name = _own_name(self._settings.helo, self.wire)
        reply = await self._ask(f"EHLO {name}", "ehlo")
        if reply.code in (500, 502, 504) and self._settings.security != "starttls":
            reply = await self._ask(f"HELO {name}", "ehlo")
        self.extensions = Extensions.of(reply)
        return None if reply.code == 250 else _refused(reply, "ehlo")

    async def _start_tls(self) -> Refused | None:
        if self._settings.security != "starttls":
            return None
        if not self.extensions.starttls:
            return Refused("the relay does not offer STARTTLS", False, "starttls", ReplyKind.RELAY)
        reply = await self._ask("STARTTLS", "starttls")
        if reply.code != 220:
            return _refused(reply, "starttls")
        await self._secure()
        return await self._hello()

    async def _login(self) -> Refused | None:
        username, password = self._settings.username, self._settings.password
        if not username:
            return None
        if "PLAIN" in self.extensions.login:
            reply = await self._ask(
                f"AUTH PLAIN {_base64(f'{chr(0)}{username}{chr(0)}{password}')}", "auth"
            )
        elif "LOGIN" in self.extensions.login:
            reply = await self._login_step_by_step(username, password)
        else:
            detail = "the relay offers neither AUTH PLAIN nor AUTH LOGIN"
            return Refused(detail, False, "auth", ReplyKind.RELAY)
        if reply.code == 235:
            return None
        # Only the code: some servers repeat in their text what was sent to them.
        return Refused(f"{reply.code} the relay refused the login", False, "auth", ReplyKind.RELAY)

    async def _login_step_by_step(self, username: str, password: str) -> Reply:
        reply = await self._ask("AUTH LOGIN", "auth")
        for secret in (username, password):
            if reply.code != 334:
                break
            reply = await self._ask(_base64(secret), "auth")
        return reply

    async def _ask(self, line: str, phase: str) -> Reply:
        await self.wire.send(f"{line}\r\n".encode(), phase)
        return await self.wire.reply(phase)


def _refused(reply: Reply, phase: str) -> Refused:
    return Refused(str(reply), False, phase, ReplyKind.RELAY)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _own_name(configured: str, wire: Wire) -> str:
    """The name to say in EHLO: the setting, this machine's full name, or its address (RFC 5321 §4.1.4)."""
    if configured:
        if not _HELO.fullmatch(configured):
            raise ConfigurationError(f"smtp.helo: {configured!r} is not a host name")
        return configured
    name = socket.gethostname()
    if "." in name and _HELO.fullmatch(name):
        return name
    address = wire.local_address
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
