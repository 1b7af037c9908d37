"""A file's lines: decoded, counted, and with what is wrong with them, in bounded memory."""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import ImportFileError

LONGEST_LINE = 4_000_000
"""Bytes; the rest of a longer line is passed over, and what is left of it is too long for any cell."""

_BLOCK = 1 << 19
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_OWN_REJECTS = b"line,reason"
_REJECTED_JSON = re.compile(rb"(\xef\xbb\xbf)?line,reason,record\r?\n")
_UTF_8 = "utf-8"
_OTHERS = ("gb18030", "utf-8")


class Lines(Iterator[str]):
    """Lines of a file, read and decoded by the block.

    `encodings`: those that the file may have. A byte order mark says UTF-8; else the first block that is not plain
    ASCII tells: the one that reads most of its lines, of several the first. A file of rejected rows is UTF-8.
    `taken`: the lines given since it was last cleared. `number`: of the line last given, from 1. `bytes_done`: read
    so far. A line with a fault is given too, as far as it can be read; `fault` says what is wrong with those taken.
    """

    def __init__(self, path: Path, encodings: Sequence[str] = (_UTF_8,)) -> None:
        self.path, self.number, self.bytes_done = path, 0, 0
        self.taken: list[str] = []
        self._ready: deque[str] = deque()
        self._faults: dict[int, str] = {}
        self._has_told = False  # a line that is no plain ASCII was in the file's encoding
        self._filled = 0  # lines that have been read from the file
        self._encodings = encodings
        self._encoding = encodings[0] if len(encodings) == 1 else None
        try:
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

    def __next__(self) -> str:
        if not self._ready:
            self._fill()
        line = self._ready.popleft()
        self.number += 1
        self.taken.append(line)
        return line

    @property
    def fault(self) -> str | None:
        """What is wrong with the lines taken, or None."""
        if self._faults:
            for number in range(self.number - len(self.taken) + 1, self.number + 1):
                if number in self._faults:
                    return self._faults[number]
        return None

    @property
    def is_rejects(self) -> bool:
        """Whether an import of ours wrote this file. Asked before the first line is taken."""
        return self._file.peek(64).removeprefix(_BOM).startswith(_OWN_REJECTS)

    @property
    def is_rejected_json(self) -> bool:
        """Whether that import was of JSON lines, which are in its third column."""
        return _REJECTED_JSON.match(self._file.peek(64)) is not None

    def give_back(self) -> None:
        """Of the lines taken only the first was rightly so: the others will be given once more."""
        back = self.taken[1:]
        self._ready.extendleft(reversed(back))
        self.number -= len(back)
        del self.taken[1:]

    def _fill(self) -> None:
        block = self._file.read(_BLOCK)
        if not block:
            raise StopIteration
        if not block.endswith(b"\n"):
            block += self._rest_of_line()
        self.bytes_done += len(block)
        if self._filled == 0:
            block = self._without_mark(block)
        encoding = self._encoding or self._settle(block)
        self._faults = {line: fault for line, fault in self._faults.items() if line > self.number}
        try:
            lines = list(io.StringIO(block.decode(encoding), newline="\n"))
            self._has_told |= not block.isascii()
        except UnicodeDecodeError:
            self._refuse_another(block, encoding)
            lines = [raw.decode(encoding, "replace") for raw in io.BytesIO(block)]
            self._note_faults(block, encoding)
        if b"\0" in block:
            self._note_faults(block, encoding)
        self._filled += len(lines)
        self._ready.extend(lines)

    def _refuse_another(self, block: bytes, encoding: str) -> None:
        """Raises ImportFileError where no line that could tell is in this encoding: its rows, rejected, would be unreadable."""
        telling = [line for line in block.splitlines() if not line.isascii()]
        if self._has_told or len(telling) == 1 or any(_decodes(line, encoding) for line in telling):
            self._has_told = True
            return
        likely = next(
            (name for name in _OTHERS if all(_decodes(one, name) for one in telling)), None
        )
        looks = f"; it looks like {likely.upper()}" if likely else ""
        raise ImportFileError(
            f"{self.path}: is not {encoding.upper()}{looks}: save it as UTF-8 CSV, or import it with a mapping that has"
            " its encoding among `encodings`"
        )

    def _settle(self, block: bytes) -> str:
        """The encoding of this block, which that of the file is from then on."""
        if block.isascii():
            return _UTF_8
        lines = [line for line in block.splitlines() if not line.isascii()]
        counts = [sum(_decodes(line, name) for line in lines) for name in self._encodings]
        self._encoding = self._encodings[counts.index(max(counts))]
        return self._encoding

    def _rest_of_line(self) -> bytes:
        rest = self._file.readline(LONGEST_LINE)
        if len(rest) < LONGEST_LINE or rest.endswith(b"\n"):
            return rest
        while more := self._file.readline(LONGEST_LINE):
            self.bytes_done += len(more)
            if more.endswith(b"\n"):
                break
        return rest

    def _note_faults(self, block: bytes, encoding: str) -> None:
        for number, raw in enumerate(io.BytesIO(block), start=self._filled + 1):
            if b"\0" in raw:
                self._faults[number] = "holds a NUL byte"
            if not _decodes(raw, encoding):
                self._faults[number] = f"is not {encoding.upper()}"

    def _without_mark(self, block: bytes) -> bytes:
        if block.startswith(_UTF_16):
            raise ImportFileError(f"{self.path}: is UTF-16; save it as UTF-8")
        if block.startswith((_BOM, _OWN_REJECTS)):
            self._encoding = _UTF_8
        return block.removeprefix(_BOM)


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
