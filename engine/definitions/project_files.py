"""The project's files on disk → text by relative path. The only part of the definitions that touches the disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.definitions.mapping import FOLDER as MAPPINGS
from engine.definitions.membership import FILE as MEMBERSHIP_FILE
from engine.definitions.parsing import FOLDERS
from engine.definitions.policy import FILE as POLICY_FILE
from engine.definitions.report import Report
from engine.definitions.tagging import FILE as TAGGING_FILE
from engine.definitions.yaml_nodes import locate
from engine.errors import Position

MAX_BYTES = 1_000_000
TEMPLATES = "templates"
MISNAMED_POLICY = "policy.yml"
LATER_FILES = ("sms_templates.yaml",)
"""Files of the wider design: read so that they can be refused by name."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`files`: path relative to the root → text. `unreadable`: paths that are there, but are no text."""

    files: Mapping[str, str]
    unreadable: frozenset[str]


def read(root: Path, report: Report) -> Reading:
    """Read every definition and template under `root`; what cannot be read is reported.

    Line ends become `\\n` and a byte order mark goes, so that a checkout's settings never make a new version.
    """
    files: dict[str, str] = {}
    unreadable = set()
    for path in sorted(_paths(root)):
        name = path.relative_to(root).as_posix()
        text = _text(path, name, report)
        if text is None:
            unreadable.add(name)
        else:
            files[name] = text
    return Reading(files, frozenset(unreadable))


def _paths(root: Path) -> Iterator[Path]:
    for name in (POLICY_FILE, MISNAMED_POLICY, TAGGING_FILE, MEMBERSHIP_FILE, *LATER_FILES):
        if (root / name).exists():
            yield root / name
    for folder in (*FOLDERS, MAPPINGS):
        # The wrong ending and deeper folders are read too: skipping them silently would surprise.
        yield from _visible(root / folder, (".yaml", ".yml"))
    yield from _visible(root / TEMPLATES, (".j2",))


def _visible(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Files with these endings, leaving out those that editors hide (`.#a.yaml`)."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in endings and not hidden:
            yield path


def _text(path: Path, name: str, report: Report) -> str | None:
    position = Position(name)
    try:
        if path.exists() and not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "is not a file"
            report.error(position, what, "unreadable")
            return None
        size = path.stat().st_size
        if size > MAX_BYTES:
            message = f"{size:,} bytes; a file has at most {MAX_BYTES:,}"
            report.error(position, message, "too-large")
            return None
        content = path.read_bytes()
    except OSError as error:
        report.error(position, f"cannot be read: {error.strerror}", "unreadable")
        return None
    return decode(content, name, report)


def decode(content: bytes, name: str, report: Report) -> str | None:
    """UTF-8 text with `\\n` line ends, or None after a report that says where it is not."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        body = error.object  # what was decoded: without the mark
        good = body[: error.start].decode("utf-8", "replace")
        message = f"the byte 0x{body[error.start]:02x} is not UTF-8; save the file as UTF-8"
        report.error(locate(name, good, len(good)), message, "encoding")
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")
