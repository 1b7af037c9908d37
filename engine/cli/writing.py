"""Files that a command writes: whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from engine.errors import YanshuError


def write_whole(path: Path, text: str) -> None:
    """Write the text beside the file and put it in its place: a full disk leaves the old file as it was.

    What is no regular file (/dev/stdout, a pipe) is written to as it is. Raises YanshuError where it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        _replace(path.resolve() if path.is_symlink() else path, text)
    except OSError as error:
        raise YanshuError(f"{path}: {error.strerror}") from error


def _replace(path: Path, text: str) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        new.chmod(mode)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The mask is only told to who sets it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
