"""Rows 1, 2, 3 and 9: the whole pipeline, from `apply` to the last `sent`, into Postfix's smtp-sink on this machine.

`init` defaults: SQLite, the embedded Valkey, commits on. The daemon runs and is idle when `apply` starts the clock.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil
from sqlalchemy import func, select

from bench.rows import Measured, Row
from engine.store.run_rows import has_open_rows
from engine.store.session import Store
from engine.store.tables import deliveries, leases, runs

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "20000"))
REPETITIONS = int(os.environ.get("BENCH_REPETITIONS", "3"))
_BASELINES = Path(__file__).parent / "baselines"
_SINK = shutil.which("smtp-sink", path=os.environ.get("PATH", "") + ":/usr/sbin")
_SOURCE = shutil.which("smtp-source", path=os.environ.get("PATH", "") + ":/usr/sbin")
_PATIENCE = 600.0
_TEMPLATE = Path(__file__).parent / "letter.html.j2"
_CAMPAIGN = """kind: campaign
class: marketing
schedule: {at: "2026-01-05T10:00"}
audience: {all: []}
steps: [{id: mail, email: {subject: "{{ customer.name }}，老客专享", template: letter}}]
"""
NOW = "2026-01-05T10:00:05"


@dataclass(frozen=True)
class Engine:
    """One run of the pipeline."""

    rate: float  # messages a second, from `apply` to the last `sent`
    worker_cpu: float  # seconds a message, over all worker processes
    peak_rss: int  # bytes, of the largest worker


@contextmanager
def sink() -> Iterator[int]:
    """Postfix's smtp-sink on a free port."""
    if _SINK is None or _SOURCE is None:
        raise SystemExit(
            "rows 1, 2, 3 and 9 need smtp-sink and smtp-source: install Debian's postfix package"
        )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [_SINK, *user, f"127.0.0.1:{port}", "256"], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: _answers(port), "smtp-sink")
        yield port
    finally:
        process.terminate()
        process.wait()


@lru_cache(maxsize=1)
def _measurements() -> Mapping[str, list[float]]:
    """Everything in turn, REPETITIONS times: the machine's mood hits all of them alike."""
    found: dict[str, list[float]] = {
        key: [] for key in ("loop", "loop_cpu", "source", "one", "one_cpu", "two", "rss")
    }
    with sink() as port, tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder:
        prebuilt = _prebuilt(Path(folder))
        for _ in range(REPETITIONS):
            loop = _run_loop(port, prebuilt)
            found["loop"].append(loop["messages"] / loop["seconds"])
            found["loop_cpu"].append(loop["cpu"] / loop["messages"])
            one = run_engine(port, processes=1)
            found["one"].append(one.rate)
            found["one_cpu"].append(one.worker_cpu)
            found["source"].append(_run_source(port, prebuilt.stat().st_size))
            two = run_engine(port, processes=2)
            found["two"].append(two.rate)
            found["rss"].append(max(one.peak_rss, two.peak_rss) / 2**20)
    return found


def _run_loop(port: int, prebuilt: Path) -> Mapping[str, float]:
    command = [
        sys.executable,
        str(_BASELINES / "smtplib_loop.py"),
        str(port),
        str(MESSAGES),
        str(prebuilt),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: Mapping[str, float] = json.loads(done.stdout)
    return answer


def _run_source(port: int, size: int) -> float:
    assert _SOURCE is not None
    started = time.perf_counter()
    command = [_SOURCE, "-d", "-s", "10", "-m", str(MESSAGES), "-l", str(size), f"127.0.0.1:{port}"]
    subprocess.run(command, check=True)
    return MESSAGES / (time.perf_counter() - started)


def run_engine(port: int, *, processes: int, made: Path | None = None) -> Engine:
    """`made`: a project to send from in place of the usual one; it is copied."""
    with tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder:
        project = Path(folder) / "shop"
        environment = project_environment(project, port, processes)
        if made is None:
            lay_down(project, environment)
        else:
            shutil.copytree(made, project)
        daemon = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", "up", "--now", NOW],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        store = Store(f"sqlite:///{project / 'var' / 'yanshu.db'}")
        try:
            wait_for(lambda: workers_ready(store) >= processes, "the workers")
            return _time_pipeline(environment, store, psutil.Process(daemon.pid))
        finally:
            daemon.terminate()
            daemon.wait()
            store.close()


def _time_pipeline(environment: Mapping[str, str], store: Store, daemon: psutil.Process) -> Engine:
    workers = [child for child in daemon.children() if "worker" in child.cmdline()]
    before = sum(_cpu(worker) for worker in workers)
    started = time.time()
    yanshu(environment, "apply", "--yes", "--now", NOW)
    wait_for(lambda: _all_sent(store), "the last message")
    seconds = time.time() - started
    cpu = sum(_cpu(worker) for worker in workers) - before
    return Engine(
        MESSAGES / seconds, cpu / MESSAGES, max(_peak_rss(worker.pid) for worker in workers)
    )


def lay_down(project: Path, environment: Mapping[str, str]) -> None:
    """The example shop with one campaign to everybody, and MESSAGES customers."""
    yanshu(environment, "init", str(project))
    for old in (*(project / "campaigns").glob("*"), *(project / "care").glob("*")):
        old.unlink()
    (project / "campaigns" / "bench.yaml").write_text(_CAMPAIGN, encoding="utf-8")
    shutil.copy(_TEMPLATE, project / "templates" / "email" / "letter.html.j2")
    people = project / "customers.csv"
    with people.open("w", encoding="utf-8") as file:
        file.write("id,name,email,email_consent\n")
        file.writelines(f"{n},顾客{n},c{n}@example.com,yes\n" for n in range(MESSAGES))
    yanshu(environment, "import", "customers", str(people), "--now", NOW)


def yanshu(environment: Mapping[str, str], *words: str) -> None:
    command = [sys.executable, "-m", "engine.cli", *words]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def project_environment(project: Path, port: int, processes: int) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("YANSHU_")}
    with socket.create_server(("127.0.0.1", 0)) as free:
        web = free.getsockname()[1]
    return kept | {
        "YANSHU_PROJECT": str(project),
        "YANSHU_SMTP__HOST": "127.0.0.1",
        "YANSHU_SMTP__PORT": str(port),
        "YANSHU_SMTP__CONNECTIONS": "8",
        "YANSHU_WORKER__PROCESSES": str(processes),
        "YANSHU_WEB__PORT": str(web),
    }


def _prebuilt(folder: Path) -> Path:
    """One message as the engine writes it: what the bare loop sends again and again."""
    project = folder / "prebuilt"
    environment = project_environment(project, 25, 1)
    lay_down(project, environment)
    out = folder / "out"
    yanshu(environment, "preview", "bench", "--customer", "1", "--out", str(out))
    return next(out.glob("*.eml"))


def workers_ready(store: Store) -> int:
    try:
        with store.read() as connection:
            query = select(func.count()).where(leases.c.name.startswith("worker:"))
            return int(connection.execute(query).scalar_one())
    except Exception:
        return 0


def _all_sent(store: Store) -> bool:
    """Asked twenty times a second beside what is measured: while something is open, one step into an index."""
    with store.read() as connection:
        if connection.execute(select(runs.c.id).where(has_open_rows())).first():
            return False
        query = select(func.count()).where(deliveries.c.state == "sent")
        return int(connection.execute(query).scalar_one()) >= MESSAGES


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_rss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(condition: object, what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {what} did not come in {_PATIENCE:.0f} s")
        time.sleep(0.05)


def _ratio(over: str, under: str, how: str) -> Measured:
    found = _measurements()
    ratios = [a / b for a, b in zip(found[over], found[under], strict=True)]
    notes = [
        f"{key}: " + ", ".join(f"{value:,.6g}" for value in found[key]) for key in (over, under)
    ]
    return Measured(ratios, f"{how}; {MESSAGES:,} messages, SQLite, in turn", notes)


def _row_1() -> Measured:
    return _ratio(
        "two", "source", "engine with 2 workers ÷ smtp-source -d -s 10, messages a second"
    )


def _row_2() -> Measured:
    return _ratio(
        "one",
        "loop",
        "engine with 1 worker ÷ bare smtplib loop of prebuilt bytes, messages a second",
    )


def _row_3() -> Measured:
    return _ratio("one_cpu", "loop_cpu", "worker CPU a message ÷ the loop's")


def _row_9() -> Measured:
    return Measured(_measurements()["rss"], "peak resident memory of the largest worker")


ENGINE_ROWS = (
    Row("1", "engine, 2 workers", _row_1, 0.48, 0.80, more_is_better=True, binds=False),
    Row("2", "engine, 1 worker", _row_2, 1.1, 2.0, more_is_better=True, binds=True),
    Row("3", "worker CPU per message", _row_3, 1.2, 0.6, more_is_better=False, binds=False),
    Row("9", "memory of a worker", _row_9, 120, 80, more_is_better=False, binds=False, unit="MiB"),
)
