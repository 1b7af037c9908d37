"""What is wrong with templates, all at once, with file, line and column: before anything is applied.

Each template is judged for every definition that uses it, in every language, on made-up customers; templates that nobody
uses yet are judged too, so that a mistake is found while it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from jinja2 import TemplateError

from engine.definitions.campaign import (
    Care,
    Definition,
    EmailContent,
    SmsContent,
    Step,
)
from engine.definitions.loader import Definitions
from engine.definitions.segment import EVERYONE
from engine.definitions.templates import template_file, template_names
from engine.errors import Position, Problem, RenderingError
from engine.rendering.context import EMAIL_NAMES, SMS_NAMES, MessageData
from engine.rendering.email import CompiledEmail, EmailCompiler
from engine.rendering.environment import folder, rendering_error, syntax_position
from engine.rendering.flattening import Flat, flatten, walk
from engine.rendering.folding import attribute
from engine.rendering.lint_design import check_design, place
from engine.rendering.lint_names import check_names
from engine.rendering.samples import samples
from engine.rendering.skeleton import make_skeleton
from engine.rendering.sms import SmsCompiler
from engine.rendering.source import Source
from engine.rendering.variants import languages
from engine.settings import Settings
from engine.tokens import Signer

_PAID_REVIEW = re.compile("(?:好评|五星|晒图)[^。！？\n]{0,6}(?:返现|返红包|返[0-9０-９]|返钱)")
_PULLS_IN = re.compile(r"\{%-?\s*(?:extends|include|import|from)\s+[\"']([^\"']+)[\"']")
_IMAGE = re.compile(r"<img\b(?:[^>\"']|\"[^\"]*\"|'[^']*')*>", re.IGNORECASE)
_ALT = re.compile(r"\salt\s*(?:=|\s|>)", re.IGNORECASE)
_NOWHERE = Position("templates")
_UNUSED = ""
_INLINES_AFTER = (
    "a condition inside a tag, or a macro, decides about styles: this template is inlined message by message, which "
    "is 60 times slower"
)


def check_templates(
    definitions: Definitions, settings: Settings, *, only: Collection[str] | None = None
) -> list[Problem]:
    """Every problem of every template, in file order, each once; `only`: of those that these definitions send."""
    files = definitions.files
    found: set[Problem] = set()
    sendable = definitions.sendable().values()
    judged = (
        [*sendable, *_unused(definitions)]
        if only is None
        else [d for d in sendable if d.id in only]
    )
    for definition in judged:
        check = _Check(definition, settings, files)
        found.update(check.emails())
        found.update(check.texts())
    found.update(_paid_reviews(files))
    return sorted(found)


@dataclass(frozen=True)
class _Check:
    """One definition's templates."""

    definition: Definition
    settings: Settings
    files: Mapping[str, str]

    def emails(self) -> Iterator[Problem]:
        compiler = EmailCompiler(self.settings, Signer(["lint"]), self.files, self.definition)
        for step in self.definition.wordings:
            for language in compiler.languages(step):
                source = compiler.source(step, language)
                if isinstance(source, RenderingError):
                    yield _problem(source, "template-syntax")
                else:
                    yield from self._email(compiler, step, language, source)

    def texts(self) -> Iterator[Problem]:
        compiler = SmsCompiler(self.settings, self.files, self.definition)
        for step in self.definition.wordings:
            if step.sms is not None:
                for language in languages(self.files, "sms", step.sms.template):
                    yield from self._text(compiler, step, language)

    def _email(
        self, compiler: EmailCompiler, step: Step, language: str, source: Source
    ) -> Iterator[Problem]:
        names = list(_email_names(source, compiler, self.files))
        yield from (*source.problems, *names, *_missing_alts(source))
        if self.definition.message_class != "transactional" and not _can_unsubscribe(source):
            message = f"a {self.definition.message_class} mail needs {{{{ links.unsubscribe }}}}"
            yield Problem(Position(source.html.path), message, "missing-unsubscribe")
        if source.problems:  # links that must not be sent: nothing is compiled
            return
        try:
            compiled = compiler.compile(step, language)
        except RenderingError as error:
            yield _problem(error, "template-syntax")
            return
        if compiled.inlines_after:
            yield Problem(Position(compiled.path), _INLINES_AFTER, "inline-after", "warning")
        problems, documents = self._try(lambda data: compiled.render(data).html)
        yield from () if names else problems
        yield from self._design(compiled, documents)

    def _design(self, compiled: CompiledEmail, documents: Iterable[str]) -> Iterator[Problem]:
        document = compiled.source.html
        written = make_skeleton(document.body)
        shop = self.settings.shop
        for html in documents:
            for code, message, element in check_design(html, ignore=(shop.name, shop.address)):
                at = place(element, written.html)
                where = (
                    Position(document.path)
                    if at is None
                    else document.position(*written.line_at(at))
                )
                mild = code == "text-only" and self.definition.message_class == "transactional"
                yield Problem(where, message, code, "warning" if mild else "error")

    def _text(self, compiler: SmsCompiler, step: Step, language: str) -> Iterator[Problem]:
        try:
            compiled = compiler.compile(step, language)
            flat = _flat(compiler, compiled.path)
        except RenderingError as error:
            yield _problem(error, "template-syntax")
            return
        body = [*flat.prelude, *flat.body]
        names = [
            Problem(_at(flat.position(line), words, self.files), message, code)
            for line, code, message, words in check_names(compiler.environment, body, SMS_NAMES)
        ]
        yield from names or self._try(lambda data: compiled.render(data).text)[0]

    def _try(self, render: Callable[[MessageData], str]) -> tuple[list[Problem], list[str]]:
        """The first problem on samples that resemble this definition's messages, and what could be rendered."""
        problems, documents = [], []
        for data in self._samples():
            try:
                documents.append(render(data))
            except RenderingError as error:
                code = "sms-parts" if "max_parts" in str(error) else "undefined-variable"
                problems.append(_problem(error, code))
        if self.definition.id == _UNUSED and documents:
            return [], documents  # nobody knows yet whether it will have an order
        return problems[:1], documents

    def _samples(self) -> list[MessageData]:
        found = samples(tracked=False)
        if self.definition.id == _UNUSED:
            return list(found)
        has_order = isinstance(self.definition, Care) and self.definition.trigger.has_order
        return [data for data in found if (data.order is not None) is has_order]


def _flat(compiler: SmsCompiler, path: str) -> Flat:
    """Raises RenderingError where a template that is pulled in is missing, does not parse, or pulls itself in."""
    try:
        return flatten(compiler.environment, path.removeprefix(folder("sms")), folder("sms"))
    except TemplateError as error:
        raise rendering_error(error, syntax_position(error, "sms", Position(path))) from error


def _email_names(
    source: Source, compiler: EmailCompiler, files: Mapping[str, str]
) -> Iterator[Problem]:
    for document in (source.html, source.text):
        if document is not None:
            body = [*document.flat.prelude, *document.flat.body]
            for line, code, message, words in check_names(compiler.environment, body, EMAIL_NAMES):
                yield Problem(_at(document.position(line), words, files), message, code)
    for text in (source.subject, source.preheader):
        known = EMAIL_NAMES - {"subject", "preheader"}
        for _, code, message, _ in check_names(compiler.environment, text, known):
            yield Problem(source.content.position, message, code)


def _at(position: Position, words: str, files: Mapping[str, str]) -> Position:
    """The column of some words in their line; Jinja knows only lines."""
    lines = files.get(position.file, "").splitlines()
    line = lines[position.line - 1] if position.line <= len(lines) else ""
    return Position(position.file, position.line, max(line.find(words), 0) + 1)


def _can_unsubscribe(source: Source) -> bool:
    return any(
        attribute(node) == ("links", "unsubscribe")
        for node in walk([*source.html.flat.prelude, *source.html.flat.body])
    )


def _missing_alts(source: Source) -> Iterator[Problem]:
    written = make_skeleton(source.html.body)
    for match in _IMAGE.finditer(written.html):
        if not _ALT.search(match[0]):
            where = source.html.position(*written.line_at(match.start()))
            yield Problem(
                where, 'a picture needs an alt text (alt="" for mere decoration)', "missing-alt"
            )


def _paid_reviews(files: Mapping[str, str]) -> Iterator[Problem]:
    """Paying for good reviews is forbidden by the platforms and by SMS gateways."""
    for path, text in files.items():
        for match in _PAID_REVIEW.finditer(text):
            line, column = (
                text.count("\n", 0, match.start()) + 1,
                match.start() - text.rfind("\n", 0, match.start()),
            )
            message = (
                f"{match[0]!r}: paying for good reviews is forbidden; asking for an opinion is fine"
            )
            yield Problem(Position(path, line, column), message, "paid-review")


def _unused(definitions: Definitions) -> Iterator[Definition]:
    """A stand-in definition that sends each template which no definition uses and no other template pulls in."""
    files, steps = (
        definitions.files,
        [s for d in definitions.sendable().values() for s in d.wordings],
    )
    pulled_in = {
        (path.split("/")[1], name.split(".")[0])
        for path, text in files.items()
        if template_file(path)
        for name in _PULLS_IN.findall(text)
    }
    emails = {step.email.template for step in steps if step.email}
    texts = {step.sms.template for step in steps if step.sms}
    emails |= {name for channel, name in pulled_in if channel == "email"}
    texts |= {name for channel, name in pulled_in if channel == "sms"}
    lone_emails = sorted(template_names(files, "email") - emails)
    lone_texts = sorted(template_names(files, "sms") - texts)
    yield _stand_in(
        [
            *(
                _step(EmailContent(subject="", template=t, position=_NOWHERE), None)
                for t in lone_emails
            ),
            *(
                _step(None, SmsContent(template=t, position=_NOWHERE, sms_type="promotion"))
                for t in lone_texts
            ),
        ]
    )


def _step(email: EmailContent | None, sms: SmsContent | None) -> Step:
    name = f"email:{email.template}" if email else f"sms:{sms.template if sms else ''}"
    return Step(
        id=name, channels=("email",) if email else ("sms",), email=email, sms=sms, position=_NOWHERE
    )


def _stand_in(steps: list[Step]) -> Definition:
    return Definition(
        id=_UNUSED,
        kind="campaign",
        message_class="transactional",
        priority=0,
        audience=EVERYONE,
        uses=frozenset(),
        steps=tuple(steps),
        on_uncertain="leave",
        position=_NOWHERE,
        lines={},
    )


def _problem(error: RenderingError, code: str) -> Problem:
    where = error.position or _NOWHERE
    message = str(error).removeprefix(f"{where}: ")
    if "'None' has no attribute" in message:
        message = "there is no order in this definition's messages: write {% if order %} around it"
    return Problem(where, message, code)
