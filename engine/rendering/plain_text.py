"""The text part, made from the HTML template once: links as `label: url`, pictures as their alt text, rows as lines.

It works on the template's skeleton, so variables and conditions stay where they are. Line breaks are written just before
the text that needs them: a branch that is not taken leaves no hole. What a macro writes is not in the skeleton: the text
of such a template is made from the HTML of each message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import lxml.html  # type: ignore[import-untyped]
from jinja2 import nodes
from lxml import etree

from engine.rendering.flattening import walk
from engine.rendering.skeleton import SLOT, Role, Slot

_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "ul", "ol", "blockquote", "table"})
_LINES = frozenset({"div", "tr", "li", "center", "section", "header", "footer", "body"})
_CELLS = frozenset({"td", "th"})
_SILENT = frozenset({"head", "style", "script", "title"})
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\n\f\u00a0]+")
_WRITTEN_ELSEWHERE = (
    nodes.Macro, nodes.CallBlock, nodes.AssignBlock, nodes.Import, nodes.FromImport,
)  # fmt: skip
"""Tags whose body, a piece of HTML, comes out at another place than the one where it stands."""
_INVISIBLE = re.compile("[\u00ad\u034f\u200b-\u200d\ufeff]")


def can_make_ahead(body: Sequence[nodes.Node]) -> bool:
    """Whether the template's own elements are all there are: no macro or `{% set %}` block writes further ones."""
    return not any(isinstance(node, _WRITTEN_ELSEWHERE) for node in walk(body))


def to_text(html: str, slots: Sequence[Slot] = ()) -> str:
    """The plain text of a document with slots, slots included (those of attributes that text has no use for are gone).

    Without slots it is a message's own HTML, and what looks like a slot is somebody's text.
    """
    writer = _Writer(slots)
    writer.element(lxml.html.document_fromstring(html))
    return "".join(writer.out).strip("\n") + "\n"


class _Writer:
    def __init__(self, slots: Sequence[Slot]) -> None:
        self.out: list[str] = []
        self._slots = slots
        self._breaks = 0  # line breaks due before the next word
        self._space = ""  # what stands between the last word and the next one of the same line
        self._open: list[tuple[int, bool]] = []

    def element(self, element: etree._Element) -> None:
        if element.tag is etree.Comment:
            self._comment(element.text or "")
        elif isinstance(element.tag, str) and not self._is_hidden(element):
            self._visible(element)

    def _is_hidden(self, element: etree._Element) -> bool:
        if element.get("aria-hidden") == "true":  # mere decoration
            return True
        return element.tag in _SILENT or _HIDDEN.search(element.get("style", "")) is not None

    def _visible(self, element: etree._Element) -> None:
        breaks = 2 if element.tag in _PARAGRAPHS else 1 if element.tag in _LINES else 0
        self._break(breaks)
        match element.tag:
            case "br":
                self._breaks = min(self._breaks + 1, 2)
            case "img":
                self._words(element.get("alt", ""))
            case "a":
                self._link(element)
            case "li":
                self._words("- ")
                self._content(element)
            case _:
                if element.tag in _CELLS:
                    self._space = self._space and "  "
                self._content(element)
                if element.tag in _CELLS:
                    self._space = "  "
        self._break(breaks)

    def _content(self, element: etree._Element) -> None:
        self._words(element.text or "")
        for child in element:
            self.element(child)
            self._words(child.tail or "")

    def _link(self, element: etree._Element) -> None:
        before = len(self.out)
        self._content(element)
        url = element.get("href", "")
        if not url or url.startswith("#"):
            return
        label = "".join(self.out[before:]).strip()
        address = re.sub(r"^(mailto|tel|sms):", "", url)
        if label == address:
            return
        if label:
            self.out.append(": ")
            self._space = ""
        self._words(address)
        self._break(1)

    def _comment(self, text: str) -> None:
        match = SLOT.fullmatch(text)
        if (
            match and self._slots and self._slots[int(match[1])].role is not Role.SPECIAL
        ):  # the open pixel
            self._slot(text)

    def _words(self, text: str) -> None:
        text = _INVISIBLE.sub("", text)
        for piece in _split(text) if self._slots else (text,):
            if self._slots and SLOT.fullmatch(piece):
                self._slot(piece)
            else:
                self._word(_SPACES.sub(" ", piece))

    def _word(self, text: str) -> None:
        if text.startswith(" "):
            self._space = self._space or " "
        if bare := text.strip(" "):
            self._flush()
            self.out.append(bare)
            self._space = " " if text.endswith(" ") else ""

    def _slot(self, text: str) -> None:
        match = SLOT.fullmatch(text)
        assert match is not None
        slot = self._slots[int(match[1])]
        if slot.role in (Role.VALUE, Role.SPECIAL):
            self._flush()
            self.out.append(match[0])
        elif slot.role is Role.STATEMENT:
            self.out.append(match[0])
        else:
            self._tag(slot, match[0])

    def _tag(self, slot: Slot, text: str) -> None:
        """Where a branch begins, what was due is due again; after it, at least as much as before it."""
        if slot.role is Role.OPEN:
            self._open.append((self._breaks, bool(self._space)))
        due, space = self._open[-1] if self._open else (0, False)
        if slot.role is Role.NEXT:
            self._breaks, self._space = due, " " * space
        if slot.role is Role.CLOSE and self._open:
            self._open.pop()
            self._breaks = max(self._breaks, min(due, 1))
        self.out.append(text)

    def _break(self, count: int) -> None:
        self._breaks = max(self._breaks, count)

    def _flush(self) -> None:
        if self._breaks:
            self.out.append("\n" * self._breaks)
        elif self._space:
            self.out.append(self._space)
        self._breaks, self._space = 0, ""


def _split(text: str) -> Iterator[str]:
    at = 0
    for match in SLOT.finditer(text):
        yield text[at : match.start()]
        yield match[0]
        at = match.end()
    yield text[at:]
