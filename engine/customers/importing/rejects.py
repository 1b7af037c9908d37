"""`FILE.rejected.csv`: the rows that did not land, each with its line and reason, fit to be mended and imported again."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from engine.customers.importing.records import LONGEST_CELL, REJECT_COLUMNS, is_formula
from engine.errors import ImportFileError

_MOST_WAITING = 5000
_SHOWN = 1000


class Rejects:
    """Collects rejected rows and writes them in the order of the file, a batch at a time. No file without a row.

    A cell that a spreadsheet would compute gets a quote in front; it comes off when the file is imported.
    """

    def __init__(self, source: Path) -> None:
        self.path = source.with_name(source.name + ".rejected.csv")
        self.count = 0
        self.names: Sequence[str] = ()
        self._waiting: list[tuple[int, str, Sequence[Any]]] = []
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.path.unlink(missing_ok=True)  # what an earlier import left
        except OSError as error:
            raise ImportFileError(f"{self.path}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()

    def add(self, line: int, reason: str, cells: Sequence[Any]) -> None:
        self.count += 1
        self._waiting.append((line, reason, cells))
        if len(self._waiting) >= _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered."""
        if not self._waiting:
            return
        try:
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8", newline="")
                csv.writer(self._file).writerow([*REJECT_COLUMNS, *map(_safe, self.names)])
            self._waiting.sort(key=lambda rejected: rejected[0])
            csv.writer(self._file).writerows(
                [line, _safe(reason), *map(_safe, cells)] for line, reason, cells in self._waiting
            )
            self._file.flush()
        except OSError as error:
            raise ImportFileError(f"{self.path}: {error.strerror}") from error
        self._waiting.clear()


def _safe(cell: Any) -> str:
    text = str(cell).replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(text) > LONGEST_CELL:  # no reader of CSV would take it
        text = text[:_SHOWN] + "…"
    return "'" + text if is_formula(text) else text
