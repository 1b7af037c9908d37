"""The process that serves the web: its socket, its signals, its end."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import structlog
import uvicorn

from engine.clock import Clock
from engine.errors import ConfigurationError
from engine.settings import Settings
from engine.store.session import Store
from engine.tokens import Signer
from workers.web.app import create_app

_GRACE_SECONDS = 10
_BACKLOG = 2048
_log = structlog.get_logger("yanshu.web")


def run(settings: Settings, clock: Clock, ready: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then answer what has begun (10 s at most) and return.

    `ready` is called once, when the socket accepts. From the main thread of a process; blocks. Raises
    ConfigurationError where the address cannot be had.
    """
    with listen(settings.web.host, settings.web.port) as listener:
        store = Store(settings.database)
        try:
            app = create_app(store, settings, Signer(settings.signing_keys()), clock)
            config = uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
            _log.info("web is up", url=settings.web_url, port=settings.web.port)
            _Server(config, ready).run(sockets=[listener])
        finally:
            store.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError with the address in it."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"web: cannot listen on {host}:{port}: {reason}") from error


class _Server(uvicorn.Server):
    """uvicorn, told when it is up, and ending by returning: the original raises the signal again afterwards, and the
    process would look killed to whoever waits for it."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._ready is not None:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        caught = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in caught}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
