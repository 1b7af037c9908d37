"""A version: the content of a definition with everything that it uses, and its digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

from engine.definitions.campaign import Campaign, Care, Channel, Step
from engine.definitions.closure import files_of, pulled_in
from engine.definitions.parsing import parse, path_of
from engine.definitions.report import Report
from engine.definitions.segment import Segment


def version_files(definition: Campaign | Care, files: Mapping[str, str]) -> dict[str, str]:
    """All that decides what a definition sends, by path: its YAML, its segments and theirs, its templates and theirs.

    `files` is the whole project, or a version's own files (then all of them come back).
    """
    paths = {definition.position.file}
    paths |= _segments(definition, files)
    for step in definition.wordings:
        paths |= _templates(step, files)
    return {path: files[path] for path in sorted(paths & files.keys())}


def digest(files: Mapping[str, str]) -> str:
    """SHA-256 over paths and texts, in hex; the order of the mapping does not matter.

    >>> digest({"a": "1", "b": "2"}) == digest({"b": "2", "a": "1"})
    True
    """
    written = json.dumps(sorted(files.items()), ensure_ascii=True, separators=(",", ":"))
    return sha256(written.encode()).hexdigest()


def _segments(definition: Campaign | Care, files: Mapping[str, str]) -> set[str]:
    """The segments that it names, and those that they name, over any number of steps."""
    found: set[str] = set()
    waiting = set(definition.uses)
    while waiting:
        path = path_of("segment", waiting.pop())
        if path in files and path not in found:
            found.add(path)
            segment = parse(path, files[path], Report())
            waiting |= segment.uses if isinstance(segment, Segment) else set()
    return found


def _templates(step: Step, files: Mapping[str, str]) -> set[str]:
    used: list[tuple[Channel, str]] = []
    paths: set[str] = set()
    if step.email is not None:
        used.append(("email", step.email.template))
        for text in (step.email.subject, step.email.preheader):
            paths |= pulled_in("email", text, files)
    if step.sms is not None:
        used.append(("sms", step.sms.template))
    return paths.union(*(files_of(channel, name, files) for channel, name in used))
