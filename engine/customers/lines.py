"""A file's lines, one at a time: decoded, counted, and with what is wrong with them, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import ImportFileError

LONGEST_LINE = 4_000_000
_BOM = b"\xef\xbb\xbf"
_OTHER_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")


class Lines(Iterator[str]):
    """Lines of a UTF-8 file (with or without a byte order mark).

    `number`: of the line last given, from 1. `bytes_done`: read so far. `fault`: what is wrong with a line given
    since `begin`, or None; such a line is given all the same, as far as it can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.number, self.bytes_done = path, 0, 0
        self.fault: str | None = None
        self._taken: list[str] = []
        self._again: deque[str] = deque()
        try:
            self.size = path.stat().st_size
            self._file = path.open("rb")
        except OSError as error:
            raise ImportFileError(f"{path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def begin(self) -> None:
        """A new record starts with the next line."""
        self._taken.clear()
        self.fault = None

    @property
    def taken(self) -> Sequence[str]:
        """The lines of this record."""
        return self._taken

    def give_back(self) -> None:
        """Only the first line of this record was its own: the others will be given once more."""
        back = self._taken[1:]
        self._again.extendleft(reversed(back))
        self.number -= len(back)
        del self._taken[1:]

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        self.number += 1
        self._taken.append(line)
        return line

    def _read(self) -> str:
        raw = self._file.readline(LONGEST_LINE)
        if not raw:
            raise StopIteration
        self.bytes_done += len(raw)
        if self.number == 0:
            raw = self._without_mark(raw)
        if len(raw) == LONGEST_LINE:
            raw = self._skip_rest(raw)
        if b"\0" in raw:
            self.fault = "holds a NUL byte"
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.fault = "is not UTF-8"
            return raw.decode(errors="replace")

    def _without_mark(self, raw: bytes) -> bytes:
        if raw.startswith(_OTHER_ENCODINGS):
            raise ImportFileError(f"{self.path}: is UTF-16; save it as UTF-8")
        return raw.removeprefix(_BOM)

    def _skip_rest(self, raw: bytes) -> bytes:
        self.fault = f"the line is longer than {LONGEST_LINE:,} bytes"
        while rest := self._file.readline(LONGEST_LINE):
            self.bytes_done += len(rest)
            if rest.endswith(b"\n"):
                break
        return raw[:200]
