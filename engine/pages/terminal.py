"""Text for a terminal: tables that know how wide a Chinese character is, and customers' data made harmless."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

_UNBOUNDED = 10_000  # a pipe has no width: nothing is cut or wrapped there
_DANGEROUS = ("Cc", "Zl", "Zp")
# Marks that turn the direction of what follows: they can make one text look like another.
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(value: object) -> str:
    """A value as one line that cannot move the cursor, colour the screen or run backwards; None is empty.

    >>> plain("a\\x1b[31mb\\nc")
    'a\\\\x1b[31mb\\\\x0ac'
    """
    text = "" if value is None else str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if _is_dangerous(char) else char for char in text)


def _is_dangerous(char: str) -> bool:
    return unicodedata.category(char) in _DANGEROUS or char in _DIRECTION


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def local(moment: datetime | None, zone: str) -> str:
    """A moment on the wall clock of `zone`, to the second; empty for None.

    >>> from datetime import UTC
    >>> local(datetime(2026, 11, 9, 2, tzinfo=UTC), "Asia/Shanghai")
    '2026-11-09 10:00:00'
    """
    return "" if moment is None else f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[int] = (),
    title: str | None = None,
) -> str:
    """Rows under headings, columns aligned; `right` are the indexes of columns of numbers.

    Cells are escaped. On a terminal the table keeps to its width, elsewhere nothing is cut. Ends without a newline.
    """
    import io
    import shutil

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, heading in enumerate(headings):
        drawn.add_column(
            Text(heading), justify="right" if index in right else "left", overflow="fold"
        )
    for row in rows:
        drawn.add_row(*(Text(plain(cell)) for cell in row))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, force_terminal=False).print(drawn)
    lines = [line.rstrip() for line in stream.getvalue().rstrip("\n").split("\n")]
    return "\n".join([title, *lines] if title else lines)
