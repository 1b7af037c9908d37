"""Real processes that are let go at one moment, again and again: what several schedulers and workers do at once.

    with racers(4, make, url) as crew:      # make(place, url) runs in each process: what it shall do with a word
        answers = crew.race("go")           # all at once; one answer each

They are forked from one clean process that has imported what they need, so each costs milliseconds.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context
from typing import Any, Protocol

PATIENCE = 600.0
_PROCESSES = get_context("forkserver")


class Racer(Protocol):
    """What one process does with each word that it is given. Closed at the end."""

    def __call__(self, word: Any, /) -> Any: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class _Failed:
    told: str


@dataclass(frozen=True)
class Crew:
    """The processes, by place, and the lines to them."""

    pids: Sequence[int]
    _lines: Sequence[Any]

    def race(self, word: Any) -> list[Any]:
        """Let all go at one moment with this word; what each answers. Raises AssertionError where one failed."""
        for place in range(len(self._lines)):
            self.send(place, word)
        return [self.answer(place) for place in range(len(self._lines))]

    def send(self, place: int, word: Any) -> None:
        """All that were sent a word begin when the last of them has it: send one to each."""
        self._lines[place].send(word)

    def has_answered(self, place: int, seconds: float) -> bool:
        return bool(self._lines[place].poll(seconds))

    def answer(self, place: int) -> Any:
        assert self.has_answered(place, PATIENCE), f"process {place} does not answer"
        answer = self._lines[place].recv()
        assert not isinstance(answer, _Failed), f"process {place}: {answer.told}"
        return answer


@contextmanager
def racers(count: int, make: Callable[..., Racer], *arguments: Any) -> Iterator[Crew]:
    """So many processes, each with `make(place, *arguments)` of its own; ended and waited for at the end."""
    _PROCESSES.set_forkserver_preload([make.__module__])
    gate = _PROCESSES.Barrier(count)
    lines, started = [], []
    for place in range(count):
        mine, theirs = _PROCESSES.Pipe()
        process = _PROCESSES.Process(
            target=_live, args=(theirs, gate, make, place, *arguments), daemon=True
        )
        process.start()
        theirs.close()
        lines.append(mine)
        started.append(process)
    try:
        yield Crew([process.pid or 0 for process in started], lines)
    finally:
        for line in lines:
            line.close()
        for process in started:
            process.join(30)
            if process.is_alive():
                process.kill()
                process.join()


def _live(
    line: connection.Connection, gate: Any, make: Callable[..., Racer], place: int, *arguments: Any
) -> None:
    try:
        racer = make(place, *arguments)
    except BaseException:
        line.send(_Failed(traceback.format_exc()))
        raise
    try:
        while True:
            word = line.recv()
            gate.wait(PATIENCE)
            try:
                line.send(racer(word))
            except Exception:
                line.send(_Failed(traceback.format_exc()))
    except EOFError:
        racer.close()
