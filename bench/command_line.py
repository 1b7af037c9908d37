"""Row 16: what `yanshu --help` costs beside a bare typer program's help."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.rows import Measured, Row

_REPETITIONS = 15
_BARE = Path(__file__).parent / "baselines" / "typer_help.py"


def _measure() -> Measured:
    ratios = []
    for _ in range(_REPETITIONS):
        bare = _seconds([sys.executable, str(_BARE), "--help"])
        ours = _seconds([sys.executable, "-m", "engine.cli", "--help"])
        ratios.append(ours / bare)
    return Measured(ratios, "`yanshu --help` ÷ the same of a one-command typer program, in turn")


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


HELP_ROW = Row("16", "yanshu --help", _measure, 2.0, 1.3, more_is_better=False, binds=True)
