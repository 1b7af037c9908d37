"""`make soak FIGURE=n STORE=sqlite|postgres`: the long form of a reliability test, on one store.

The tests are those of `make test`; the environment makes them larger. Each prints its seed and what it counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_MEMORY = "/dev/shm"


@dataclass(frozen=True)
class Soak:
    tests: Sequence[str]
    environment: dict[str, str]
    at_once: Sequence[str] = ("test",)
    """Which of the tests run one after the other, in so many processes at once (pytest's `-k`)."""


FIGURES = {
    "1": Soak(
        ["tests/acceptance/test_kill.py"], {"YANSHU_KILL_PEOPLE": "10000", "YANSHU_KILLS": "50"}
    ),
    "5": Soak(
        ["tests/integration/test_races.py"],
        {
            "YANSHU_RACE_RUNS": "1000",
            "YANSHU_RACE_ROUNDS": "100",
            "YANSHU_RACE_WIDE": "4",
            "YANSHU_STOPS": "10",
        },
    ),
    "10": Soak(
        ["tests/integration/test_caps_at_length.py", "tests/integration/test_worlds.py"],
        {
            "YANSHU_CAPS_LIVES": "2200x5x430000 6500x2x570000",
            "YANSHU_RACE_PEOPLE": "300",
            "YANSHU_RACE_DAYS": "4",
            "YANSHU_RACE_HOURS": "1",
            "YANSHU_TEST_WORLDS": "100",
            "YANSHU_TEST_THEME": "caps",
        },
        at_once=("2200x5 or eight", "6500x2 or worlds"),
    ),
    "11": Soak(["tests/integration/test_send_time.py"], {"YANSHU_TEST_ZONES": "1000"}),
    "13": Soak(["tests/unit/test_broken_files.py"], {}),
    "14": Soak(["tests/integration/test_web_fuzz.py"], {"YANSHU_FUZZ_URLS": "1000000"}),
    "worlds": Soak(["tests/integration/test_worlds.py"], {"YANSHU_TEST_WORLDS": "1000"}),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--figure", choices=sorted(FIGURES), required=True)
    parser.add_argument("--store", choices=("sqlite", "postgres", "postgresql"), default="sqlite")
    options = parser.parse_args()
    soak = FIGURES[options.figure]
    chosen = "sqlite" if options.store == "sqlite" else "postgresql"
    other = "sqlite" if chosen == "postgresql" else "postgresql"
    # Races and caps are no matter of what survives a power cut: where there is memory to write to, nothing waits for a disk.
    quick = {"TMPDIR": _MEMORY} if os.access(_MEMORY, os.W_OK) else {}
    environment = os.environ | quick | soak.environment
    command = [sys.executable, "-m", "pytest", "-s", *soak.tests, "-k"]
    running = [
        subprocess.Popen([*command, f"not {other} and ({names})"], env=environment)
        for names in soak.at_once
    ]
    return max(abs(process.wait()) for process in running)


if __name__ == "__main__":
    sys.exit(main())
