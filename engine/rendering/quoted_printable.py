"""Quoted-printable (RFC 2045 §6.7), mostly before there is a message: static text is encoded once, when compiling.

Every value of a message then brings its own encoding: it starts and ends at a soft line break, so that no line ever
grows over 76 octets, whatever the value. Templates that work on rendered text (macros, `{% filter %}`, `{% set %}` with
a body) are left as they are and encoded whole, message by message.
"""

from __future__ import annotations

import re
from binascii import b2a_qp
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jinja2 import nodes
from markupsafe import escape

from engine.rendering.environment import legible
from engine.rendering.flattening import clone, sections, walk, with_sections
from engine.rendering.links import TOKENS

SOFT_BREAK = "=\r\n"
TOKEN_CHARS = 39
_DOT = ord(".")
_SHORT = 40  # characters of a value worth keeping
_LINE = 75  # and one for the `=` of a soft line break
_PLAIN_VALUE = re.compile(r"(?!\.)[ -<>-~]{1,74}").fullmatch
_DOTS = re.compile(r"^\.+", re.MULTILINE)
_DOTS_A_LINE = 25
_OVERFULL = re.compile(r"^([^\n]{74,75})(=20|=09)$", re.MULTILINE)
"""A full line that ends in white space: b2a_qp encodes that white space without a look at the line's length."""
_NEEDS_ESCAPE = re.compile("[&<>'\"]").search
_REWORKS_OUTPUT = (
    nodes.Macro,
    nodes.CallBlock,
    nodes.FilterBlock,
    nodes.AssignBlock,
    nodes.Import,
    nodes.FromImport,
    nodes.ScopedEvalContextModifier,
)


def encode(text: str) -> str:
    """Any text as quoted-printable with CRLF; it decodes to the text with its line breaks as CRLF.

    >>> encode("a=b\\r\\n茶 \\n")
    'a=3Db\\r\\n=E8=8C=B6=20\\r\\n'
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    # b2a_qp breaks lines as the text does, at the first it meets: `\n`, or none at all; so CRLF comes in afterwards.
    encoded = b2a_qp(text.encode("utf-8", "replace")).decode("ascii")
    if len(encoded) >= _LINE:
        encoded = _OVERFULL.sub(r"\1=\n\2", encoded)
    return encoded.replace("\n", "\r\n")


def encode_value(value: Any) -> str:
    """A value in the text part, from the start of a line, with a soft break after it. No line begins with a dot."""
    text = "" if value is None else str(value)
    return _short(text) if len(text) <= _SHORT else _any(text)


def encode_html_value(value: Any) -> str:
    """The same in the HTML part, escaped before."""
    if type(value) is str and len(value) <= _SHORT:
        return _short_html(value)
    return encode_value(None if value is None else str(escape(value)))


def _any(text: str) -> str:
    if _PLAIN_VALUE(text):
        return text + SOFT_BREAK
    encoded = _DOTS.sub(_encoded_dots, encode(legible(text)))
    if len(encoded) - encoded.rfind("\n") > _LINE + 1:  # b2a_qp fills the last line to the brim
        encoded = encoded[:-1] + SOFT_BREAK + encoded[-1].replace(".", "=2E")
    return encoded + SOFT_BREAK if text else ""


def _encoded_dots(match: re.Match[str]) -> str:
    """A line that begins with dots, in a line of their own: they would have to be stuffed (RFC 5321 §4.5.2)."""
    count = len(match[0])
    full, rest = divmod(count, _DOTS_A_LINE)
    lines = ["=2E" * _DOTS_A_LINE] * full + ["=2E" * rest] * (rest > 0)
    return "".join(line + SOFT_BREAK for line in lines)


_short = lru_cache(maxsize=4096)(_any)
"""A name stands in a message more than once, a product or a city in thousands of messages."""


@lru_cache(maxsize=4096)
def _short_html(text: str) -> str:
    return encode_value(str(escape(text)) if _NEEDS_ESCAPE(text) else text)


def can_encode_ahead(body: Sequence[nodes.Node]) -> bool:
    """Whether every piece of output goes straight into the message, and the tokens' names stand for tokens."""
    return not any(
        isinstance(node, _REWORKS_OUTPUT)
        or (isinstance(node, nodes.For) and node.recursive)
        or (isinstance(node, nodes.Name) and node.name in TOKENS and node.ctx != "load")
        for node in walk(body)
    )


def encode_ahead(body: Sequence[nodes.Node], filter_name: str) -> list[nodes.Node]:
    """The template whose output is the encoded text. `filter_name`: the filter that encodes a value."""
    return _Encoding(filter_name).section(body)


class _Encoding:
    def __init__(self, filter_name: str) -> None:
        self._filter = filter_name
        self._column = 0

    def section(self, body: Sequence[nodes.Node]) -> list[nodes.Node]:
        """A whole template, a branch or the body of a loop: it begins and ends at the start of a line."""
        return _joined([*self._body(body), *self.start_of_line()])

    def _body(self, body: Sequence[nodes.Node]) -> list[nodes.Node]:
        result: list[nodes.Node] = []
        for node in _joined(body):
            if isinstance(node, nodes.Output):
                for child in node.nodes:
                    result += self._child(child)
            elif (parts := sections(node)) is not None:
                result += self.start_of_line()
                result.append(with_sections(node, [self.section(part) for part in parts]))
            else:
                result.append(clone(node))
        return result

    def start_of_line(self) -> list[nodes.Node]:
        """A soft break, unless the line is empty: branches and loops must find the same place."""
        broken: list[nodes.Node] = [_data(SOFT_BREAK)] if self._column else []
        self._column = 0
        return broken

    def _child(self, child: nodes.Node) -> list[nodes.Node]:
        if isinstance(child, nodes.TemplateData):
            return [_data(self._static(child.data))]
        assert isinstance(child, nodes.Expr)
        if isinstance(child, nodes.Name) and child.name in TOKENS:
            broken = self.start_of_line() if self._column + TOKEN_CHARS > _LINE else []
            self._column += TOKEN_CHARS
            return [*broken, nodes.Output([clone(child)], lineno=child.lineno)]
        broken = self.start_of_line()
        encoded = nodes.Filter(clone(child), self._filter, [], [], None, None, lineno=child.lineno)
        return [*broken, nodes.Output([encoded], lineno=child.lineno)]

    def _static(self, text: str) -> str:
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        pieces = []
        for index, line in enumerate(lines):
            if index:
                pieces.append("\r\n")
                self._column = 0
            last = index == len(lines) - 1
            pieces.append(self._line(line, ends_here=not last))
        return "".join(pieces)

    def _line(self, line: str, *, ends_here: bool) -> str:
        pieces, data = [], line.encode()
        for index, byte in enumerate(data):
            # White space at the end of a line would be lost on the way (RFC 2045 §6.7 (3)).
            exposed = byte in b" \t" and ends_here and index == len(data) - 1
            # A line that begins with a dot would have to be stuffed, message by message (RFC 5321 §4.5.2).
            dot = byte == _DOT and self._column in (0, _LINE)
            literal = _is_literal(byte) and not (exposed or dot)
            piece = chr(byte) if literal else f"={byte:02X}"
            if self._column + len(piece) > _LINE:
                pieces.append(SOFT_BREAK)
                self._column = 0
            pieces.append(piece)
            self._column += len(piece)
        return "".join(pieces)


def _joined(body: Sequence[nodes.Node]) -> list[nodes.Node]:
    """Neighbouring static texts in one piece: a space may end the one and a line break begin the next."""
    result: list[nodes.Node] = []
    for node in body:
        for child in node.nodes if isinstance(node, nodes.Output) else [node]:
            last = _static_text(result)
            if isinstance(child, nodes.TemplateData) and last is not None:
                last.data += child.data
            elif isinstance(child, nodes.Stmt):
                result.append(child)
            else:
                result.append(nodes.Output([clone(child)], lineno=child.lineno))
    return result


def _static_text(body: Sequence[nodes.Node]) -> nodes.TemplateData | None:
    """The text with which a list of single outputs and statements ends, if it does."""
    if not body or not isinstance(body[-1], nodes.Output):
        return None
    last = body[-1].nodes[0]
    return last if isinstance(last, nodes.TemplateData) else None


def _is_literal(byte: int) -> bool:
    return (32 <= byte <= 126 and byte != 61) or byte == 9


def _data(text: str) -> nodes.Output:
    return nodes.Output([nodes.TemplateData(text, lineno=1)], lineno=1)
