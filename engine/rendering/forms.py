"""The compiled programs of one email: readable and for the wire, tracked and not. Each is made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from jinja2 import nodes

from engine.errors import RenderingError
from engine.rendering.context import MessageData
from engine.rendering.environment import TEMPLATE_ERRORS
from engine.rendering.flattening import clone, walk
from engine.rendering.inlining import inline, inline_skeleton, same_either_way
from engine.rendering.links import special_nodes
from engine.rendering.plain_text import can_make_ahead, to_text
from engine.rendering.program import Program
from engine.rendering.quoted_printable import can_encode_ahead, encode, encode_ahead
from engine.rendering.skeleton import Slot, UnbalancedError, rebuild
from engine.rendering.source import Reader, Source
from engine.rendering.wire import WIRE_HTML, WIRE_TEXT, wire_environment

Values = dict[str, Any]
_ALWAYS, _NEVER = "yanshu_always", "yanshu_never"
"""Names that no author would take."""


class Shape:
    """A source after the decision when to inline. `inlines_after`: each message is inlined after rendering, because the
    template does not survive it before. `text_after`: nor can its text part be made before."""

    def __init__(
        self,
        source: Source,
        reader: Reader,
        values: Callable[[MessageData], Values],
        samples: Sequence[MessageData],
    ) -> None:
        self.source, self._reader = source, reader
        self._wire = {env: wire_environment(env) for env in (reader.html, reader.plain)}
        inlined = inline_skeleton(source.skeleton)
        self.inlines_after = inlined is None or not self._survives(inlined, values, samples)
        self.document = source.skeleton.html if inlined is None or self.inlines_after else inlined
        html = (*source.html.prelude, *source.html.body)
        self.text_after = source.text is None and not can_make_ahead(html)

    def html_nodes(self, document: str, *, tracked: bool) -> list[nodes.Node]:
        """The template of a document with slots."""
        special = self.special(tracked=tracked, html=True)
        body = rebuild(document, self.source.skeleton.slots, special)
        return [*self.source.html.prelude, *body]

    def text_nodes(self, *, tracked: bool) -> list[nodes.Node]:
        """The template of the text part: the author's own, else made from the HTML."""
        source = self.source
        if source.text is not None:
            return [*source.text.prelude, *source.text.body]
        text = to_text(self.document, source.skeleton.slots)
        try:
            body = rebuild(text, source.skeleton.slots, self.special(tracked=tracked, html=False))
        except UnbalancedError as error:
            message = f"no text part can be made ({error}): add a .txt.j2 beside this template"
            raise RenderingError(message, position=source.html.position(1)) from error
        return [*source.html.prelude, *body]

    def html_program(self, body: Sequence[nodes.Node], *, wire: bool = False) -> Program:
        """Nodes of the HTML part, compiled."""
        environment = self._reader.html
        position = self.source.html.position
        return Program(self._wire[environment] if wire else environment, body, position)

    def text_program(self, body: Sequence[nodes.Node], *, wire: bool = False) -> Program:
        """Nodes of the text part, compiled."""
        environment = self._reader.plain
        position = (self.source.text or self.source.html).position
        return Program(self._wire[environment] if wire else environment, body, position)

    def special(self, *, tracked: bool, html: bool) -> Callable[[Slot], list[nodes.Node]]:
        return special_nodes(self.source.targets, self._reader.base, tracked=tracked, html=html)

    def _survives(
        self,
        inlined: str,
        values: Callable[[MessageData], Values],
        samples: Sequence[MessageData],
    ) -> bool:
        """Compare both orders: as the samples go, then down each branch of all conditions."""
        if "<style" not in self.source.skeleton.html:
            return True
        skeleton = self.source.skeleton
        try:
            before = self.html_nodes(skeleton.html, tracked=True)
            after = self.html_nodes(inlined, tracked=True)
        except UnbalancedError:
            return False
        programs = [self.html_program(forceable(body)) for body in (after, before)]
        for outcome in (None, True, False) if has_conditions(before) else (None,):
            pair = [_attempt(program, values, outcome) for program in programs]
            if not same_either_way(samples, *pair):
                return False
        return True


class Form:
    """The programs of one shape for one kind of message, `tracked` or not."""

    def __init__(self, shape: Shape, *, tracked: bool) -> None:
        self._shape, self._tracked = shape, tracked

    @cached_property
    def is_encoded_ahead(self) -> bool:
        """Whether no line for the wire begins with a dot: static text and values are encoded so."""
        return self._wire_html is not None and self._wire_text is not None

    def html(self, values: Values) -> str:
        """The HTML as a string."""
        html = self._html.render(values)
        return inline(html) if self._shape.inlines_after else html

    def text(self, values: Values) -> str:
        """The text part as a string, its lines ending in `\\n`."""
        if self._shape.text_after:
            return to_text(self._html.render(values))
        return self._text.render(values)

    def wire_html(self, values: Values) -> Sequence[str]:
        """The HTML, quoted-printable, in pieces."""
        program = self._wire_html
        if program is None:
            return (encode(self.html(values)),)
        return list(program.run(values))

    def wire_text(self, values: Values) -> Sequence[str]:
        """The text part, quoted-printable, in pieces."""
        program = self._wire_text
        if program is None:
            return (encode(self.text(values)),)
        return list(program.run(values))

    @cached_property
    def _html_nodes(self) -> list[nodes.Node]:
        return self._shape.html_nodes(self._shape.document, tracked=self._tracked)

    @cached_property
    def _text_nodes(self) -> list[nodes.Node]:
        return self._shape.text_nodes(tracked=self._tracked)

    @cached_property
    def _html(self) -> Program:
        return self._shape.html_program(self._html_nodes)

    @cached_property
    def _text(self) -> Program:
        return self._shape.text_program(self._text_nodes)

    @cached_property
    def _wire_html(self) -> Program | None:
        if self._shape.inlines_after or not can_encode_ahead(self._html_nodes):
            return None
        return self._shape.html_program(encode_ahead(self._html_nodes, WIRE_HTML), wire=True)

    @cached_property
    def _wire_text(self) -> Program | None:
        if self._shape.text_after or not can_encode_ahead(self._text_nodes):
            return None
        return self._shape.text_program(encode_ahead(self._text_nodes, WIRE_TEXT), wire=True)


def has_conditions(body: Sequence[nodes.Node]) -> bool:
    """Whether a template holds any `{% if %}`."""
    return any(isinstance(node, nodes.If) for node in walk(body))


def forceable(body: Sequence[nodes.Node]) -> list[nodes.Node]:
    """The template, in which two more names, _ALWAYS and _NEVER, decide every condition where they are true."""
    copies = [clone(node) for node in body]
    for node in list(walk(copies)):
        if isinstance(node, nodes.If):
            always, never = (
                nodes.Name(name, "load", lineno=node.lineno) for name in (_ALWAYS, _NEVER)
            )
            asked = nodes.And(nodes.Not(never, lineno=node.lineno), node.test, lineno=node.lineno)
            node.test = nodes.Or(always, asked, lineno=node.lineno)
    return copies


def _attempt(
    program: Program, values: Callable[[MessageData], Values], outcome: bool | None
) -> Callable[[MessageData], str | None]:
    """`outcome`: of all conditions; None leaves them as they are."""
    decided = {_ALWAYS: outcome is True, _NEVER: outcome is False}

    def render(data: MessageData) -> str | None:
        try:
            return program.render(values(data) | decided)
        except TEMPLATE_ERRORS:
            return None

    return render
