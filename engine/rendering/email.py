"""Emails: one template in one language, compiled once, then rendered or written for the wire as often as needed.

Compiling resolves inheritance, fills in what never varies, numbers the links, inlines the CSS and makes the text part.
What is left per message is a handful of values; static text is already encoded for the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.runtime import Context

from engine.definitions.campaign import Definition, EmailContent, Step
from engine.errors import ConfigurationError, RenderingError
from engine.rendering.context import MessageData, message_context, shop_context
from engine.rendering.environment import (
    TEMPLATE_ERRORS,
    Environment,
    error_position,
    make_environment,
    rendering_error,
)
from engine.rendering.folding import constant
from engine.rendering.forms import Form, Shape, Values
from engine.rendering.headers import MAX_SUBJECT_CHARACTERS, clean
from engine.rendering.links import (
    DELIVERY,
    TRACK,
    UNSUBSCRIBE,
    VIEW,
    LinkTable,
    TrackedLink,
    join_target,
    tracked_target,
)
from engine.rendering.message import Headers, assemble
from engine.rendering.program import Program
from engine.rendering.samples import samples
from engine.rendering.source import Reader, Source
from engine.rendering.variants import choose, languages, path_of
from engine.settings import Settings
from engine.tokens import Purpose, Signer

__all__ = ["CompiledEmail", "Email", "EmailCompiler", "MessageData", "TrackedLink"]

_MAX_CHOICES = 1000


@dataclass(frozen=True, slots=True)
class Email:
    """What a customer reads: the subject as its header says it; HTML and text with lines that end in `\\n`."""

    subject: str
    html: str
    text: str


class CompiledEmail:
    """One template of a step in one language; made by EmailCompiler."""

    def __init__(self, source: Source, workshop: _Workshop) -> None:
        self.source, self._workshop = source, workshop
        self.path = source.html.path
        self._names = source.names()
        self._subject = _Line(source, source.subject, workshop)
        self._preheader = _Line(source, source.preheader, workshop)
        self.shape = Shape(source, workshop.reader, self._values, samples()[:3])
        self._forms = {tracked: Form(self.shape, tracked=tracked) for tracked in (True, False)}

    @property
    def links(self) -> tuple[TrackedLink, ...]:
        """The tracked links of this template, in the order in which they stand (each once)."""
        return tuple(dict.fromkeys(target.link for target in self.source.targets))

    @property
    def is_plain(self) -> bool:
        """Whether what `compose` writes for customers is known to hold no line that begins with a dot."""
        return self._forms[True].is_encoded_ahead

    @property
    def inlines_after(self) -> bool:
        """Whether CSS has to be inlined message by message (slow): a condition decides about a tag's attributes."""
        return self.shape.inlines_after

    def render(self, data: MessageData) -> Email:
        """Subject, HTML and text of one message. Raises RenderingError with the template's line."""
        form = self._forms[data.tracked]
        try:
            values = self._values(data)
            subject = clean(values["subject"], MAX_SUBJECT_CHARACTERS)
            return Email(subject, form.html(values), form.text(values))
        except TEMPLATE_ERRORS as error:
            raise self._explained(error, data) from error

    def compose(self, data: MessageData) -> bytes:
        """One message for the wire: CRLF, ASCII, lines ≤ 998 octets (76 in the body), not dot-stuffed.

        Raises RenderingError with the template's line, or for an address or id that no header can hold;
        ConfigurationError where no sender is set.
        """
        form, headers = self._forms[data.tracked], self._headers
        try:
            values = self._values(data)
            header = headers.lines(
                recipient=data.customer["email"],
                name=data.customer["name"],
                subject=values["subject"],
                moment=data.now,
                message_id=data.message_id,
                delivery=data.delivery,
                unsubscribe=values[UNSUBSCRIBE],
            )
            return assemble(header, form.wire_text(values), form.wire_html(values))
        except TEMPLATE_ERRORS as error:
            raise self._explained(error, data) from error

    @cached_property
    def sender(self) -> str:
        """The address in From."""
        return self._headers.sender

    @cached_property
    def _headers(self) -> Headers:
        workshop = self._workshop
        return Headers(workshop.settings, workshop.definition, self.source.content.sender)

    def _values(self, data: MessageData) -> Values:
        workshop, delivery = self._workshop, data.delivery
        sign = workshop.signer.sign
        values: Values = {
            **workshop.reader.html.globals,
            **message_context(data, workshop.shop),
            DELIVERY: delivery,
            UNSUBSCRIBE: sign(Purpose.UNSUBSCRIBE, delivery),
        }
        if data.tracked:
            values[TRACK] = sign(Purpose.TRACK, delivery)
        if VIEW in self._names:
            values[VIEW] = sign(Purpose.VIEW, delivery)
        if "links" in self._names:
            values["links"] = workshop.links(delivery)
        values["subject"] = self._subject.text(values)
        if "preheader" in self._names:
            values["preheader"] = self._preheader.text(values)
        return values

    def _explained(self, error: BaseException, data: MessageData) -> RenderingError:
        position = error_position(error, self.source.content.position)
        return rendering_error(error, position, data.delivery)


class EmailCompiler:
    """Compiles the email templates of one definition version. Safe to keep for as long as the version lives.

    `files` is the version's own (path → text); `timezone` the shop's zone, in which dates are shown to customers who
    have none.
    """

    def __init__(
        self,
        settings: Settings,
        signer: Signer,
        files: Mapping[str, str],
        definition: Definition,
        *,
        timezone: str = "Asia/Shanghai",
    ) -> None:
        self._workshop = _Workshop(settings, signer, files, definition, timezone)
        self._compiled: dict[tuple[str, str], CompiledEmail] = {}  # by the template's language
        self._chosen: dict[tuple[str, str | None], CompiledEmail] = {}  # by the customer's

    @property
    def links(self) -> tuple[TrackedLink, ...]:
        """Every tracked link of the version, over all steps and languages, by number from 1."""
        self._workshop.sources  # noqa: B018
        return self._workshop.table.links

    def languages(self, step: Step) -> tuple[str, ...]:
        """The languages in which the step's template is there; "" is the file without a language."""
        files, content = self._workshop.reader.files, step.email
        return languages(files, "email", content.template) if content else ()

    @property
    def environment(self) -> Environment:
        """The sandbox of the HTML templates."""
        return self._workshop.reader.html

    def source(self, step: Step, language: str) -> Source | RenderingError:
        """One of `languages(step)` as it was read, or why it could not be."""
        return self._workshop.sources[step.id, language]

    def compile(self, step: Step, language: str | None) -> CompiledEmail:
        """The step's template in the best language for a customer (their `language`, or None); compiled once.

        Raises RenderingError where a template is missing, does not parse, or holds a link that must not be sent.
        """
        found = self._chosen.get((step.id, language))
        if found is None:
            found = self._compile(step, language)
            if len(self._chosen) < _MAX_CHOICES:  # a customer's language is anybody's text
                self._chosen[step.id, language] = found
        return found

    def _compile(self, step: Step, language: str | None) -> CompiledEmail:
        if step.email is None:
            raise ConfigurationError(f"step {step.id!r} sends no email")
        shop = self._workshop.settings.shop.language
        chosen = choose(self.languages(step), language, shop)
        if chosen is None:
            missing = path_of("email", step.email.template, "")
            raise RenderingError(f"there is no {missing}", position=step.email.position)
        if (step.id, chosen) not in self._compiled:
            source = self.source(step, chosen)
            if isinstance(source, RenderingError):
                raise source
            for problem in source.problems:
                raise RenderingError(problem.message, position=problem.position)
            self._compiled[step.id, chosen] = CompiledEmail(source, self._workshop)
        return self._compiled[step.id, chosen]


class _Workshop:
    """What all templates of a version share."""

    def __init__(
        self,
        settings: Settings,
        signer: Signer,
        files: Mapping[str, str],
        definition: Definition,
        timezone: str,
    ) -> None:
        self.settings, self.signer, self.definition = settings, signer, definition
        self.shop = shop_context(settings, timezone)
        self.table = LinkTable()
        html = make_environment(files, "email", autoescape=True)
        plain = make_environment(files, "email", autoescape=False)
        for environment in (html, plain):
            environment.filters["tracked_target"] = self._tracked_target
            environment.filters["direct_target"] = join_target
        self.reader = Reader(html, plain, files, self.shop, settings.web_url)

    @cached_property
    def sources(self) -> dict[tuple[str, str], Source | RenderingError]:
        """Every step in every language, in a fixed order: it decides about the numbers of the links."""
        found: dict[tuple[str, str], Source | RenderingError] = {}
        for step in self.definition.wordings:
            if step.email is not None:
                for language in languages(self.reader.files, "email", step.email.template):
                    found[step.id, language] = self._source(step.email, language)
        return found

    def _source(self, content: EmailContent, language: str) -> Source | RenderingError:
        try:
            return self.reader.read(content, language, self.table)
        except RenderingError as error:
            return error

    def links(self, delivery: str) -> dict[str, str]:
        """`links` of a template."""
        base, sign = self.settings.web_url, self.signer.sign
        return {
            "unsubscribe": f"{base}/u/{sign(Purpose.UNSUBSCRIBE, delivery)}",
            "view": f"{base}/v/{sign(Purpose.VIEW, delivery)}",
        }

    @cached_property
    def _tracked_target(self) -> Any:
        base, sign = self.settings.web_url, self.signer.seal

        @lru_cache(maxsize=64)  # text and HTML of a message hold the same links
        def address(delivery: str, token: str, number: int, url: str) -> str:
            return tracked_target(base, token, number, url, sign(delivery, number, url))

        @pass_context
        def target(context: Context, parts: list[Any], number: int) -> str:
            return address(context[DELIVERY], context[TRACK], number, join_target(parts))

        return target


class _Line:
    """A subject or a preheader: text, or a small program."""

    def __init__(self, source: Source, body: tuple[nodes.Node, ...], workshop: _Workshop) -> None:
        place = source.content.position
        self._constant, self._program = constant(body), None
        if self._constant is None:
            self._program = Program(workshop.reader.plain, body, lambda _: place)

    def text(self, values: Values) -> str:
        if self._program is None:
            return self._constant or ""
        return self._program.render(values)
