"""One email template in one language, read and prepared: flat, constants filled in, links numbered, not yet inlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError, nodes

from engine.definitions.campaign import EmailContent
from engine.errors import Position, Problem, RenderingError
from engine.rendering.environment import Environment, folder, rendering_error, syntax_position
from engine.rendering.flattening import Flat, flatten, parse_text
from engine.rendering.folding import Folding, used_names
from engine.rendering.inlining import squeeze
from engine.rendering.links import LinkTable, Target, add_pixel, number_links
from engine.rendering.skeleton import Skeleton, make_skeleton
from engine.rendering.variants import path_of


@dataclass(frozen=True, slots=True)
class Document:
    """A file without inheritance and with its constants filled in. `prelude`: sets, imports, macros before it."""

    path: str
    flat: Flat
    prelude: tuple[nodes.Node, ...]
    body: tuple[nodes.Node, ...]

    def position(self, line: int, column: int = 1) -> Position:
        """A line of the merged tree as a place in a file."""
        found = self.flat.position(line)
        return Position(found.file, found.line, column)


@dataclass(frozen=True, slots=True)
class Source:
    """`skeleton`: the document ready to be inlined, each link and the pixel a slot; `text`: the `.txt.j2` if there is one."""

    content: EmailContent
    html: Document
    text: Document | None
    subject: tuple[nodes.Node, ...]
    preheader: tuple[nodes.Node, ...]
    skeleton: Skeleton
    targets: tuple[Target, ...]
    problems: tuple[Problem, ...]

    def names(self) -> frozenset[str]:
        """Every name that any part of the email reads."""
        text = (*self.text.prelude, *self.text.body) if self.text else ()
        html = (*self.html.prelude, *self.html.body)
        return used_names((*html, *text, *self.subject, *self.preheader))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the sources of one definition version. `base` is the address in front of every link."""

    html: Environment
    plain: Environment
    files: Mapping[str, str]
    shop: Mapping[str, Any]
    base: str

    def read(self, content: EmailContent, language: str, table: LinkTable) -> Source:
        """Raises RenderingError where a file is missing or does not parse."""
        subject = self.line(content, content.subject)
        preheader = self.line(content, content.preheader)
        texts = {"subject": subject, "preheader": preheader}
        path = path_of("email", content.template, language)
        document = self._document(path, content, texts, html=True)
        skeleton, targets, problems = self._number_links(document, table)
        plain_path = path_of("email", content.template, language, ".txt.j2")
        has_text = plain_path in self.files
        return Source(
            content=content,
            html=document,
            text=self._document(plain_path, content, texts, html=False) if has_text else None,
            subject=subject,
            preheader=preheader,
            skeleton=skeleton,
            targets=targets,
            problems=problems,
        )

    def line(self, content: EmailContent, source: str) -> tuple[nodes.Node, ...]:
        """The nodes of a subject or a preheader."""
        try:
            return parse_text(self.plain, source)
        except TemplateError as error:
            raise rendering_error(error, content.position) from error

    def _document(
        self,
        path: str,
        content: EmailContent,
        texts: Mapping[str, Sequence[nodes.Node]],
        *,
        html: bool,
    ) -> Document:
        environment = self.html if html else self.plain
        try:
            flat = flatten(environment, path.removeprefix(folder("email")), folder("email"))
        except TemplateError as error:
            raise rendering_error(
                error, syntax_position(error, "email", content.position)
            ) from error
        folding = Folding(self.shop, self.base, texts, html=html)
        prelude = list(flat.prelude)
        body = folding.fold([*prelude, *flat.body])
        return Document(path, flat, tuple(body[: len(prelude)]), tuple(body[len(prelude) :]))

    def _number_links(
        self, document: Document, table: LinkTable
    ) -> tuple[Skeleton, tuple[Target, ...], tuple[Problem, ...]]:
        try:
            skeleton = make_skeleton(document.body)
        except ValueError as error:
            raise RenderingError(str(error), position=Position(document.path)) from error
        targets, problems = number_links(skeleton, table, document.position)
        add_pixel(skeleton)
        skeleton.html = squeeze(skeleton.html)
        return skeleton, tuple(targets), tuple(problems)
