"""The end of a process, told by a signal."""

from __future__ import annotations

import os
import select
import signal


class Stop:
    """Set once, by a signal or a thread, and waited for by any thread.

    A `threading.Event` would do but for the signal: its lock is not re-entrant, so a handler that sets it waits for ever
    for the code that it interrupted, and a second signal does come at once where systemd tells each process of a unit and
    the first of them tells the others.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._ready, self._tell = os.pipe2(os.O_CLOEXEC)

    def on_signals(self) -> Stop:
        """Be set by SIGTERM and SIGINT from now on; the main thread's business."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.set())
        return self

    def set(self) -> None:
        if not self._is_set:
            self._is_set = True
            os.write(self._tell, b"\0")

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Whether it is set, at the latest after so many seconds."""
        if not self._is_set:
            told = select.poll()
            told.register(self._ready, select.POLLIN)
            told.poll(seconds * 1000)
        return self._is_set
