"""Row idle: what the scheduler takes of a core while nothing happens, with a thousand definitions in force.

The care rules of the example shop, copied until there are BENCH_DEFINITIONS, over 20,000 customers without an order. `up` runs
by the real clock; measured is the scheduler process from a minute after its first look on, BENCH_MINUTES of 60 s each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from bench.engine_rate import project_environment, wait_for, workers_ready, yanshu
from bench.rows import Measured, Row
from engine.store.session import Store

DEFINITIONS = int(os.environ.get("BENCH_DEFINITIONS", "1000"))
MINUTES = int(os.environ.get("BENCH_MINUTES", "3"))
_PEOPLE = 20_000


def _lay_down(project: Path, environment: Mapping[str, str]) -> None:
    yanshu(environment, "init", str(project))
    for campaign in (project / "campaigns").glob("*"):
        campaign.unlink()
    care = project / "care"
    rules = {path.stem: path.read_text(encoding="utf-8") for path in sorted(care.glob("*.yaml"))}
    names = list(rules)
    for number in range(DEFINITIONS - len(names)):
        name = names[number % len(names)]
        (care / f"{name}-{number}.yaml").write_text(rules[name], encoding="utf-8")
    people = project / "customers.csv"
    with people.open("w", encoding="utf-8") as file:
        file.write("id,name,email,email_consent\n")
        file.writelines(f"{n},顾客{n},c{n}@example.com,yes\n" for n in range(_PEOPLE))
    yanshu(environment, "import", "customers", str(people))


def _measure() -> Measured:
    with tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder:
        project = Path(folder) / "shop"
        environment = project_environment(project, 25, 1)
        _lay_down(project, environment)
        started = time.perf_counter()
        yanshu(environment, "apply", "--yes")
        applied = time.perf_counter() - started
        daemon = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", "up"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        store = Store(f"sqlite:///{project / 'var' / 'yanshu.db'}")
        try:
            wait_for(lambda: workers_ready(store) >= 1, "the workers")
            shares, first = _shares(psutil.Process(daemon.pid))
        finally:
            daemon.terminate()
            daemon.wait()
            store.close()
    return Measured(
        shares,
        f"CPU of the scheduler, percent of a core, a minute each; {DEFINITIONS:,} care rules, {_PEOPLE:,} customers, SQLite",
        [
            f"`apply` took {applied:.0f} s, the scheduler's first look and start {first:.0f} s of CPU"
        ],
    )


def _shares(daemon: psutil.Process) -> tuple[list[float], float]:
    [scheduler] = [child for child in daemon.children() if "scheduler" in child.cmdline()]
    before = _calm(scheduler)
    first, shares = before, []
    for _ in range(MINUTES):
        time.sleep(60)
        after = _cpu(scheduler)
        shares.append((after - before) / 60 * 100)
        before = after
    return shares, first


def _calm(scheduler: psutil.Process) -> float:
    """Seconds of CPU once the first look is done: ten seconds in which it took less than one."""
    before = _cpu(scheduler)
    while True:
        time.sleep(10)
        after = _cpu(scheduler)
        if after - before < 1:
            return after
        before = after


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


IDLE_ROW = Row("idle", "an idle scheduler", _measure, 1.0, None, more_is_better=False, binds=True, unit="%")  # fmt: skip
