"""A process that is told to stop several times at once stops."""

from __future__ import annotations

import subprocess
import sys
import threading

from workers.stopping import Stop

STORM = """
import signal, time
from workers.stopping import Stop

stop = Stop().on_signals()
signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGTERM))
signal.setitimer(signal.ITIMER_REAL, 2e-4, 2e-4)
until = time.perf_counter() + 0.5
while time.perf_counter() < until:
    stop.wait(0.001)
signal.setitimer(signal.ITIMER_REAL, 0)
print(stop.is_set())
"""


def test_signals_on_the_heels_of_each_other_stop_a_process() -> None:
    """Each may come while the one before is being noted: a lock that the handler took would never be had again."""
    done = subprocess.run(
        [sys.executable, "-c", STORM], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "True\n"


def test_every_thread_that_waits_is_told() -> None:
    stop, told = Stop(), []
    threads = [threading.Thread(target=lambda: told.append(stop.wait(60))) for _ in range(3)]
    for thread in threads:
        thread.start()
    stop.set()
    for thread in threads:
        thread.join(60)
    assert told == [True] * 3
    assert stop.is_set()
    assert stop.wait(60)


def test_nobody_is_told_what_did_not_happen() -> None:
    assert not Stop().wait(0)
