"""A template as a document with numbered slots, and back: so that tools which know only HTML can work on its source.

Every expression and every tag becomes a slot `zqj12jqz`: bare inside a tag, an attribute or a raw element, a comment
between elements (a table keeps a comment where it would throw out text). Whatever was done to the document, `rebuild`
reads the slots in the order in which they now stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from jinja2 import nodes

from engine.rendering.flattening import clone, sections, with_sections

SLOT = re.compile(r"(?:<!--)?zqj(\d+)jqz(?:-->)?")


class Role(Enum):
    VALUE = auto()  # an expression whose text stands here
    STATEMENT = auto()  # a tag without a body
    OPEN = auto()  # a tag with bodies: its start,
    NEXT = auto()  # the border between two of its bodies,
    CLOSE = auto()  # and its end
    SPECIAL = auto()  # a link or the pixel: `rebuild` is told what stands for it


@dataclass(frozen=True, slots=True)
class Slot:
    role: Role
    node: nodes.Node
    key: int = 0  # of a SPECIAL slot: what it is, for whoever put it there


@dataclass
class Skeleton:
    """`origins`: (offset in `html`, line of the merged tree) of each piece of static text, ascending."""

    html: str
    slots: list[Slot]
    origins: list[tuple[int, int]] = field(default_factory=list)

    def order(self) -> list[int]:
        """The numbers of the slots as they stand."""
        return [int(number) for number in SLOT.findall(self.html)]

    def add(self, slot: Slot) -> str:
        """A further slot; the text to put where it shall stand."""
        self.slots.append(slot)
        return mark(len(self.slots) - 1)

    def line_at(self, offset: int) -> tuple[int, int]:
        """The line (of the merged tree) and column of a place in `html`, as it was when the skeleton was made."""
        start, line = 0, 1
        for begin, number in self.origins:
            if begin > offset:
                break
            start, line = begin, number
        before = self.html[start:offset]
        return line + before.count("\n"), len(before) - before.rfind("\n")


def mark(number: int) -> str:
    """
    >>> mark(12)
    'zqj12jqz'
    """
    return f"zqj{number}jqz"


class UnbalancedError(ValueError):
    """The slots of a tag no longer enclose each other properly."""


def make_skeleton(body: Iterable[nodes.Node]) -> Skeleton:
    """The document of a flattened template."""
    work = _Making()
    work.emit(body)
    return Skeleton("".join(work.pieces), work.slots, work.origins)


class _Making:
    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.slots: list[Slot] = []
        self.origins: list[tuple[int, int]] = []
        self._markup = MarkupScanner()
        self._length = 0

    def emit(self, body: Iterable[nodes.Node]) -> None:
        for node in body:
            if isinstance(node, nodes.Output):
                for child in node.nodes:
                    if isinstance(child, nodes.TemplateData):
                        self._text(child)
                    else:
                        self._slot(Role.VALUE, child)
            elif (parts := sections(node)) is not None:
                self._bodies(node, parts)
            else:
                self._slot(Role.STATEMENT, node)

    def _bodies(self, node: nodes.Node, parts: Sequence[Sequence[nodes.Node]]) -> None:
        self._slot(Role.OPEN, node)
        for index, part in enumerate(parts):
            if index:
                self._slot(Role.NEXT, node)
            self.emit(part)
        self._slot(Role.CLOSE, node)

    def _text(self, data: nodes.TemplateData) -> None:
        if SLOT.search(data.data):
            raise ValueError("zqj…jqz is reserved")
        self.origins.append((self._length, data.lineno))
        self._markup.feed(data.data)
        self._append(data.data)

    def _slot(self, role: Role, node: nodes.Node) -> None:
        text = mark(len(self.slots))
        self.slots.append(Slot(role, node))
        bare = role is Role.VALUE or not self._markup.between_elements
        self._append(text if bare else f"<!--{text}-->")

    def _append(self, text: str) -> None:
        self.pieces.append(text)
        self._length += len(text)


def rebuild(
    html: str,
    slots: Sequence[Slot],
    special: Callable[[Slot], list[nodes.Node]],
) -> list[nodes.Node]:
    """The template that a document with slots stands for. Slots may be missing or repeated.

    `special` gives the nodes of a SPECIAL slot. Raises UnbalancedError where the parts of a tag do not match.
    """
    pieces = SLOT.split(html)
    work = _Rebuilding(slots, special, iter(zip(pieces[1::2], pieces[2::2], strict=True)))
    result, last = work.read(pieces[0], 1)
    if last is not None:
        raise UnbalancedError("a tag ends that did not begin")
    return result


class _Rebuilding:
    def __init__(
        self,
        slots: Sequence[Slot],
        special: Callable[[Slot], list[nodes.Node]],
        pieces: Iterator[tuple[str, str]],
    ) -> None:
        self._slots, self._special, self._pieces = slots, special, pieces

    def read(self, text: str, line: int) -> tuple[list[nodes.Node], Slot | None]:
        """Nodes up to the slot that ends this body (None: the end of the document)."""
        result = static(text, line)
        for number, following in self._pieces:
            slot = self._slots[int(number)]
            if slot.role in (Role.NEXT, Role.CLOSE):
                self._after = following
                return result, slot
            result += self._nodes(slot, following)
        return result, None

    def _nodes(self, slot: Slot, following: str) -> list[nodes.Node]:
        line = slot.node.lineno
        if slot.role is Role.OPEN:
            return self._statement(slot, following)
        if slot.role is Role.SPECIAL:
            return [*self._special(slot), *static(following, line)]
        node = clone(slot.node)
        if isinstance(node, nodes.Expr):
            return [nodes.Output([node], lineno=line), *static(following, line)]
        return [node, *static(following, line)]

    def _statement(self, slot: Slot, following: str) -> list[nodes.Node]:
        bodies, end, line = [], None, slot.node.lineno
        while end is None or end.role is Role.NEXT:
            body, end = self.read(following, line)
            if end is None or end.node is not slot.node:
                raise UnbalancedError("a tag is split by an element")
            bodies.append(body)
            following = self._after
        if len(bodies) != len(sections(slot.node) or ()):
            raise UnbalancedError("a branch of a tag is missing")
        return [with_sections(slot.node, bodies), *static(following, line)]


def static(text: str, line: int) -> list[nodes.Node]:
    """Static text as nodes; nothing for no text."""
    if not text:
        return []
    return [nodes.Output([nodes.TemplateData(text, lineno=line)], lineno=line)]


class MarkupScanner:
    """Follows static text and knows whether it stands between elements, where a comment is at home."""

    _RAW = ("style", "script", "title", "textarea")

    def __init__(self) -> None:
        self._state = "text"  # text | tag | " | ' | comment | the name of a raw element
        self._element = ""

    @property
    def between_elements(self) -> bool:
        return self._state == "text"

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            at = self._step(text, at)

    def _step(self, text: str, at: int) -> int:
        pattern = _ENDS.get(self._state) or re.compile(rf"</{self._state}\s*>", re.IGNORECASE)
        match = pattern.search(text, at)
        if match is None:
            return len(text)
        if self._state == "text":
            self._element = (match[1] or "").lower()
            self._state = "comment" if match[0] == "<!--" else "tag"
        elif self._state == "tag":
            self._state = match[0] if match[0] != ">" else self._inside()
        elif self._state in ('"', "'"):
            self._state = "tag"
        else:
            self._state = "text"
        return match.end()

    def _inside(self) -> str:
        return self._element if self._element in self._RAW else "text"


_ENDS = {
    "text": re.compile(r"<!--|</?([a-zA-Z][a-zA-Z0-9]*)"),
    "tag": re.compile("[\"'>]"),
    '"': re.compile('"'),
    "'": re.compile("'"),
    "comment": re.compile("-->"),
}
