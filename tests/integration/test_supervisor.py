"""The supervisor of `yanshu up`, with real processes."""

from __future__ import annotations

import os

from workers.supervisor import Child, Supervisor


def test_until_idle_ends_with_a_scheduler_that_fails_again_and_again() -> None:
    scheduler = Child(["scheduler", "--no-such-option"], os.environ)
    assert Supervisor([scheduler], None).run(until_idle=True) == 2
    assert scheduler.failures == 2  # and once more


def test_until_idle_ends_with_workers_that_fail_again_and_again_though_nothing_is_due() -> None:
    idle = Child(["scheduler", "--help"], os.environ)  # finds nothing to do, each time it looks
    worker = Child(["worker", "--no-such-option"], os.environ)
    worker.start()
    assert worker.process is not None
    worker.process.wait()  # before the first look: whoever is done by then has not seen it fail
    assert Supervisor([idle, worker], None).run(until_idle=True) == 2
    assert worker.failures == 2
