"""Where something stands in a TOML file, for the messages about it: the library's reader keeps no places."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from engine.errors import Position

_PLACED = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def fault(file: str, content: bytes) -> str | None:
    """Why this is no TOML, as `file:line:col: text`; None where it is.

    >>> fault("a.toml", b"[smtp]\\nhost relay\\n")
    "a.toml:2:6: Expected '=' after a key in a key/value pair"
    """
    try:
        text = content.decode()
        tomllib.loads(text)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode().split("\n")
        place = Position(file, len(before), len(before[-1]) + 1)
        return (
            f"{place}: the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        )
    except tomllib.TOMLDecodeError as error:
        match = _PLACED.fullmatch(str(error))
        what, line, column = match.groups() if match else (str(error), None, None)
        lines = text.rstrip("\n").split("\n")
        end = (len(lines), len(lines[-1]) + 1)
        return f"{Position(file, *((int(line), int(column)) if line and column else end))}: {what}"
    return None


def position(file: str, text: str, path: Sequence[str | int], value: object) -> Position | None:
    """The place of the key at this path; None where the file gives it no such value.

    >>> str(position("a.toml", "[smtp]\\n# port = 1\\nport = 2\\n", ("smtp", "port"), 2))
    'a.toml:3:1'
    """
    if _at(text, path) != value:
        return None
    lines = text.split("\n")
    begin = 0
    # A key stands in the first lines that know it; those before it can be read without them.
    for end in range(1, len(lines) + 1):
        read = "\n".join(lines[:end])
        if _at(read, path) is not None:
            break
        if _read(read) is not None:
            begin = end
    name = next(str(part) for part in reversed(path) if isinstance(part, str))
    found = re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", lines[begin])
    return Position(file, begin + 1, found.start() + 1 if found else 1)


def _at(text: str, path: Sequence[str | int]) -> object:
    found: Any = _read(text)
    try:
        for part in path:
            found = found[part]
    except (KeyError, IndexError, TypeError):
        return None
    return found


def _read(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
