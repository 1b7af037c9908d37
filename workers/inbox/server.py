"""The inbox as a process: an SMTP server and an HTTP server on one event loop, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session

from engine.clock import Clock
from engine.errors import ConfigurationError
from engine.settings import Settings
from workers.inbox.folder import Folder
from workers.inbox.web import create_app

_SIZE_LIMIT = 33_554_432  # octets of one mail


def run(settings: Settings, ready: Callable[[], object] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called once both ports take connections.

    Messages go to `var/inbox`. Raises ConfigurationError if a port cannot be had.
    """
    asyncio.run(_until_signal(settings, ready))


async def _until_signal(settings: Settings, ready: Callable[[], object] | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop, ready)


async def serve(
    settings: Settings, stop: asyncio.Event, ready: Callable[[], object] | None = None
) -> None:
    """Serve until `stop` is set. Raises ConfigurationError if a port cannot be had."""
    folder, clock = Folder(settings.var / "inbox"), Clock.from_environment()
    host = settings.inbox.host
    with (
        _listen(host, settings.inbox.smtp_port, "inbox.smtp_port") as for_mail,
        _listen(host, settings.inbox.http_port, "inbox.http_port") as for_http,
    ):
        web = _Web(uvicorn.Config(create_app(folder, clock, host), lifespan="off", log_config=None))
        mail = await asyncio.get_running_loop().create_server(
            lambda: _smtp(_Handler(folder, clock)), sock=for_mail
        )
        serving = asyncio.create_task(web.serve(sockets=[for_http]))
        try:
            await web.started_serving()
            if ready is not None:
                ready()
            await stop.wait()
        finally:
            mail.close()
            web.should_exit = True
            await serving


class _Handler:
    """What aiosmtpd calls: a mail is on disk before its sender gets the 250."""

    def __init__(self, folder: Folder, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        path = self._folder.add_mail(
            content,
            envelope.mail_from or "",
            [str(one) for one in envelope.rcpt_tos],
            str(session.host_name),
            self._clock.now(),
        )
        return f"250 2.0.0 Ok: kept as {path.name.partition('-')[0]}"


class _Web(uvicorn.Server):
    """Uvicorn without its signal handlers: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def started_serving(self) -> None:
        while not self.started:
            await asyncio.sleep(0.005)


def _smtp(handler: _Handler) -> SMTP:
    return SMTP(
        handler,
        data_size_limit=_SIZE_LIMIT,
        enable_SMTPUTF8=True,
        hostname="inbox.localhost",
        ident="Yanshu development inbox",
        loop=asyncio.get_running_loop(),
    )


def _listen(host: str, port: int, setting: str) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except OSError as error:
        raise ConfigurationError(f"{setting}: {host}:{port}: {error.strerror}") from None
