"""The web as a process: it says when it is up, ends in good order, and tells why it cannot start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from engine.errors import ConfigurationError
from engine.store.migrate import upgrade
from engine.store.session import Store
from workers.web.server import listen

PROGRAM = """
from pathlib import Path
from engine.clock import Clock
from engine.settings import load_settings
from workers.web.server import run
run(load_settings(Path("{project}")), Clock(), lambda: print("up", flush=True))
print("ended", flush=True)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_once_it_says_so_and_ends_with_0_on_a_signal(
    tmp_path: Path, number: int
) -> None:
    port = free_port()
    (tmp_path / "yanshu.toml").write_text(f"[web]\nport = {port}\n")
    store = Store(f"sqlite:///{tmp_path / 'var' / 'yanshu.db'}")
    upgrade(store)
    store.close()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(project=tmp_path)],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"YANSHU_PROJECT": ""},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = ""
        while said != "up":
            line = process.stdout.readline()
            assert line, "it ended before it was up"
            said = line.strip()
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert "server" not in answer.headers
        process.send_signal(number)
        rest, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert rest.strip().endswith("ended")
    finally:
        process.kill()
        process.wait()


def test_an_address_that_is_taken_is_told_in_a_sentence() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
            listen("127.0.0.1", port)


def test_a_host_that_is_none_is_told_in_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"no\.such\.host\.invalid:80"):
        listen("no.such.host.invalid", 80)
