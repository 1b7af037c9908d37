"""YAML text → nodes that know their place. Owns what YAML may do here: one document of maps, lists and scalars.

Built on PyYAML's parser events, not on its constructors (which turn `on` into True, `9:30` into 570, and take
duplicate keys). Anchors, aliases, tags and merge keys are refused, depth and size are bounded: no YAML bomb unfolds,
nothing recurses further than `MAX_DEPTH`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from engine.definitions.report import Report, clipped
from engine.errors import Position

MAX_DEPTH = 32
MAX_NODES = 20_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file: `start` and `end` are offsets in `source`."""

    position: Position
    source: str
    start: int
    end: int

    @property
    def text(self) -> str:
        """The source as written, without the blanks around it."""
        return self.source[self.start : self.end].strip()

    @property
    def line(self) -> str:
        """The whole line on which it starts, without indentation and line end."""
        end = self.source.find("\n", self.start)
        begin = self.source.rfind("\n", 0, self.start) + 1
        return self.source[begin : end if end >= 0 else None].strip()

    def to(self, last: Span) -> Span:
        """From the start of this one to the end of `last`."""
        return Span(self.position, self.source, self.start, last.end)


@dataclass(frozen=True, slots=True)
class Scalar:
    """`plain`: written without quotes and not as a block, so that `true` and `7` mean what YAML 1.2 says."""

    value: str
    plain: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    children: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Entries:
    """A map; every key is there once."""

    pairs: tuple[tuple[Scalar, Node], ...]
    span: Span

    def get(self, key: str) -> Node | None:
        return next((node for name, node in self.pairs if name.value == key), None)


Node = Scalar | Items | Entries


class _Broken(Exception):
    """Not YAML, or not YAML that is taken here: reading this file ends."""

    def __init__(self, position: Position, message: str, code: str = "syntax") -> None:
        self.position, self.message, self.code = position, message, code
        super().__init__(message)


def read_yaml(file: str, text: str, report: Report) -> Node | None:
    """The file's only document; None where it is empty, or broken, which the report then says.

    `text` may begin with a byte order mark. Of a key that stands twice, which is reported, the first counts.
    """
    source = text.removeprefix("\ufeff")
    try:
        _check_characters(file, source)
        return _Builder(file, source, report).build()
    except _Broken as broken:
        report.error(broken.position, broken.message, broken.code)
        return None


def locate(file: str, source: str, offset: int) -> Position:
    """Line and column of an offset."""
    line = source.count("\n", 0, offset) + 1
    return Position(file, line, offset - source.rfind("\n", 0, offset))


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Scalar, Node]]:
    """Every key of a tree of nodes with its path: `schedule.at`, `steps.0.email.subject`."""
    if isinstance(node, Entries):
        for key, value in node.pairs:
            here = f"{path}.{key.value}" if path else key.value
            yield here, key, value
            yield from walk(value, here)
    elif isinstance(node, Items):
        for index, child in enumerate(node.children):
            yield from walk(child, f"{path}.{index}")


def _check_characters(file: str, source: str) -> None:
    found = _UNPRINTABLE.search(source)
    if found:
        message = f"the character U+{ord(found[0]):04X} cannot stand in YAML"
        raise _Broken(locate(file, source, found.start()), message, "encoding")


@dataclass(slots=True)
class _Frame:
    """A list or map that is still open."""

    event: Any
    children: list[Node] = field(default_factory=list)


class _Builder:
    """Builds nodes from events (untyped in PyYAML's stubs) with a stack of its own."""

    def __init__(self, file: str, source: str, report: Report) -> None:
        self.file, self.source, self.report = file, source, report
        self.stack: list[_Frame] = []
        self.root: Node | None = None
        self.nodes = 0

    def build(self) -> Node | None:
        try:
            events: Iterator[Any] = yaml.parse(self.source, Loader=_LOADER)
            for event in events:
                self._take(event)
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from None
        except yaml.YAMLError as error:
            raise _Broken(Position(self.file), f"not YAML: {error}") from None
        return self.root

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise _Broken(self._position(event), "a second document; one file holds one definition")
        if isinstance(event, yaml.NodeEvent):
            self._refuse_references(event)
        if isinstance(event, yaml.ScalarEvent):
            plain = bool(event.implicit[0])
            self._add(Scalar(event.value, plain, self._span(event)))
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(self.stack) == MAX_DEPTH:
                raise _Broken(
                    self._position(event), f"nested more than {MAX_DEPTH} deep", "too-deep"
                )
            self.stack.append(_Frame(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(self.stack.pop(), event)

    def _refuse_references(self, event: Any) -> None:
        anchor, tag = event.anchor, getattr(event, "tag", None)
        if anchor is not None:
            mark = "*" if isinstance(event, yaml.AliasEvent) else "&"
            message = f"{mark}{clipped(anchor)}: anchors and aliases are not taken"
            raise _Broken(self._position(event), message, "alias")
        if tag is not None:
            message = f"the tag {clipped(tag)}: tags are not taken"
            raise _Broken(self._position(event), message, "tag")

    def _close(self, frame: _Frame, event: Any) -> None:
        # The end of a block collection is only noticed at the next token, comments and blank lines later.
        flow = frame.event.flow_style
        last = frame.children[-1].span.end if frame.children and not flow else event.end_mark.index
        span = self._span(frame.event, last)
        if isinstance(frame.event, yaml.SequenceStartEvent):
            self._add(Items(tuple(frame.children), span))
        else:
            self._add(Entries(tuple(self._pairs(frame.children)), span))

    def _pairs(self, children: list[Node]) -> Iterator[tuple[Scalar, Node]]:
        seen: dict[str, Position] = {}
        for key, value in zip(children[::2], children[1::2], strict=True):
            position = key.span.position
            if not isinstance(key, Scalar):
                raise _Broken(position, "a key must be a word, not a list or a map")
            if key.value in seen:
                first = seen[key.value].line
                self.report.error(
                    position,
                    f"the key {clipped(key.value)!r} stands here twice; first in line {first}",
                    "duplicate-key",
                )
                continue
            seen[key.value] = position
            yield key, value

    def _add(self, node: Node) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _Broken(
                node.span.position, f"more than {MAX_NODES:,} values in one file", "too-large"
            )
        if self.stack:
            self.stack[-1].children.append(node)
        else:
            self.root = node

    def _span(self, event: Any, end: int | None = None) -> Span:
        end = event.end_mark.index if end is None else end
        return Span(self._position(event), self.source, event.start_mark.index, end)

    def _position(self, event: Any) -> Position:
        return Position(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _syntax(self, error: yaml.MarkedYAMLError) -> _Broken:
        position = self._place(error)
        if self._at(error.problem_mark) == "\t":
            return _Broken(position, "a tab; indent with spaces")
        context = error.context_mark
        while_ = f" ({error.context} in line {context.line + 1})" if context else ""
        return _Broken(position, f"not YAML: {error.problem}{while_}")

    def _place(self, error: yaml.MarkedYAMLError) -> Position:
        """Where it went wrong. What never ends is told where it began: that says more than the file's end."""
        for mark in (error.problem_mark, error.context_mark):
            if mark is not None and self.source[mark.index :].strip():
                return Position(self.file, mark.line + 1, mark.column + 1)
        return locate(self.file, self.source, max(len(self.source.rstrip()) - 1, 0))

    def _at(self, mark: Any) -> str:
        return self.source[mark.index : mark.index + 1] if mark is not None else ""
