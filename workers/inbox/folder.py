"""The inbox as files: `NNNN-recipient.eml` for mails, `sms/NNNN-number.json` for text messages, each written whole."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path

_UNSAFE = re.compile(r"[^A-Za-z0-9.@_+-]+")
_NUMBERED = re.compile(r"(\d{4,})-.+\.(eml|json)")


@dataclass(frozen=True, slots=True)
class Sms:
    """One text message as the gateway took it."""

    number: int
    to: str
    text: str
    reference: str
    sms_type: str
    received_at: str  # ISO 8601, UTC
    callback: str | None = None
    requests: int = 1  # how often this reference was handed in; it is delivered once

    @property
    def id(self) -> str:
        return f"sms-{self.number:04d}"


class Folder:
    """The messages under one directory, made when the first one comes. Safe for threads of one process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._by_reference = {sms.reference: sms for sms in self.text_messages() if sms.reference}
        self._last_mail = max((number for number, _ in self._files("*.eml")), default=0)
        self._last_sms = max((number for number, _ in self._files("sms/*.json")), default=0)

    def add_mail(
        self, content: bytes, sender: str, recipients: list[str], client: str, now: datetime
    ) -> Path:
        """Keep one mail under the trace headers that a final delivery adds (RFC 5321 §4.4)."""
        trace = [f"Return-Path: <{_line(sender)}>"]
        trace += [f"Delivered-To: {_line(one)}" for one in recipients]
        trace.append(f"Received: from {_line(client)} by inbox; {format_datetime(now)}")
        head = "".join(f"{line}\r\n" for line in trace).encode("utf-8", "replace")
        with self._lock:
            self._last_mail += 1
            path = self.root / _name(self._last_mail, recipients[0], "eml")
            _write(path, head + content)
        return path

    def add_sms(
        self,
        to: str,
        text: str,
        reference: str,
        sms_type: str,
        callback: str | None,
        now: datetime,
    ) -> Sms:
        """Keep one text message; a reference that is known already only counts up its `requests`."""
        with self._lock:
            known = self._by_reference.get(reference) if reference else None
            if known is not None:
                sms = replace(known, requests=known.requests + 1)
            else:
                self._last_sms += 1
                sms = Sms(self._last_sms, to, text, reference, sms_type, now.isoformat(), callback)
            if reference:
                self._by_reference[reference] = sms
            record = json.dumps(asdict(sms), ensure_ascii=False, indent=1) + "\n"
            _write(self.root / "sms" / _name(sms.number, sms.to, "json"), record.encode())
        return sms

    def mails(self) -> list[Path]:
        """The mails, newest first."""
        return [path for _, path in sorted(self._files("*.eml"), reverse=True)]

    def text_messages(self) -> list[Sms]:
        """The text messages, newest first."""
        paths = (path for _, path in sorted(self._files("sms/*.json"), reverse=True))
        return [Sms(**json.loads(path.read_text("utf-8"))) for path in paths]

    def find_mail(self, number: int) -> Path | None:
        return next((path for found, path in self._files(f"{number:04d}-*.eml")), None)

    def clear(self) -> int:
        """Remove every message; returns how many there were. Numbers go on, so that no id comes twice."""
        with self._lock:
            paths = [path for _, path in (*self._files("*.eml"), *self._files("sms/*.json"))]
            for path in paths:
                path.unlink(missing_ok=True)
            self._by_reference.clear()
        return len(paths)

    def _files(self, pattern: str) -> Iterator[tuple[int, Path]]:
        for path in self.root.glob(pattern):
            found = _NUMBERED.fullmatch(path.name)
            if found:
                yield int(found[1]), path


def number_of(path: Path) -> int:
    """The number that a message's file name begins with."""
    return int(path.name.partition("-")[0])


def _name(number: int, recipient: str, ending: str) -> str:
    return f"{number:04d}-{_UNSAFE.sub('_', recipient)[:60].strip('.') or 'nobody'}.{ending}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _write(path: Path, content: bytes) -> None:
    """Write the whole file or none of it: whoever lists the folder never sees half a message."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
