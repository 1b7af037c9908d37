"""A real project in a directory and the real `yanshu` beside it, for tests that look at whole processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from engine.store.session import Store
from engine.store.tables import deliveries, leases

NOW = "2026-11-02T10:00"
CAMPAIGN = """kind: campaign
class: transactional
schedule: {at: "2026-11-02T10:00"}
audience: {all: []}
steps: [{id: mail, email: {subject: "你好，{{ customer.name }}", template: promotion}}]
"""
PATIENCE = 120.0


@dataclass
class Project:
    """A project directory and the environment in which its commands run."""

    root: Path
    environment: Mapping[str, str]

    def yanshu(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; with `check` it must exit 0."""
        done = subprocess.run(
            [sys.executable, "-m", "engine.cli", *words],
            env=dict(self.environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"yanshu {words}: {done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self.yanshu(*words, "-o", "json").stdout)

    def add_customers(self, count: int) -> None:
        people = self.root / "customers.csv"
        rows = "".join(f"{n:05},客人{n},c{n:05}@example.com,yes\n" for n in range(count))
        people.write_text("id,name,email,email_consent\n" + rows, encoding="utf-8")
        self.yanshu("import", "customers", str(people), "--now", NOW)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a daemon command as the head of a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "engine.cli", *words],
            env=dict(self.environment), stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    @contextmanager
    def store(self) -> Iterator[Store]:
        opened = Store(self.environment["YANSHU_DATABASE_URL"])
        yield opened
        opened.close()

    def states(self) -> dict[str, int]:
        with self.store() as store, store.read() as connection:
            rows = connection.execute(
                select(deliveries.c.state, func.count().label("number")).group_by(
                    deliveries.c.state
                )
            )
            return {row.state: row.number for row in rows}

    def living_workers(self) -> int:
        with self.store() as store, store.read() as connection:
            query = select(func.count()).where(leases.c.name.startswith("worker:"))
            return int(connection.execute(query).scalar_one())


def make_project(root: Path, database_url: str, smtp_port: int, **more: str) -> Project:
    """The example shop with a single campaign to everybody, on this database, sending to this SMTP port."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("YANSHU_")}
    environment = kept | {
        "YANSHU_PROJECT": str(root),
        "YANSHU_DATABASE_URL": database_url,
        "YANSHU_SMTP__HOST": "127.0.0.1",
        "YANSHU_SMTP__PORT": str(smtp_port),
        "YANSHU_SMTP__CONNECTIONS": "4",
        "YANSHU_WEB__PORT": str(free_port()),
        **more,
    }
    project = Project(root, environment)
    project.yanshu("init", str(root))
    for old in (*(root / "campaigns").glob("*.yaml"), *(root / "care").glob("*.yaml")):
        old.unlink()
    (root / "campaigns" / "sale.yaml").write_text(CAMPAIGN, encoding="utf-8")
    return project


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of the whole process group, as a crashing machine would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def children_of(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in found.split()]


def is_alive(process: int) -> bool:
    """Not ended; a zombie that nobody has asked for has."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {patience:.0f} s"
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
