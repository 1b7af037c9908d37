"""Text messages: 【signature】 first, the way to refuse last, counted in the parts that they cost.

A promotion ends with how to refuse it; a notice must not say so (Chinese gateways reject either mistake). A template that
ends with its own words for it, as an English one does, keeps them. Values are cleaned on their way in: a name with a line
break or with 【】 cannot pass for a second signature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from jinja2 import Template, TemplateError

from engine.definitions.campaign import Definition, SmsContent, Step
from engine.errors import ConfigurationError, Position, RenderingError
from engine.rendering.context import MessageData, message_context, shop_context
from engine.rendering.environment import (
    TEMPLATE_ERRORS,
    error_line,
    make_environment,
    rendering_error,
    syntax_position,
)
from engine.rendering.sms_parts import Encoding, split
from engine.rendering.variants import choose, languages, path_of
from engine.settings import Settings

SmsType = Literal["notice", "promotion"]

OPT_OUT_WORDS = re.compile(r"拒收|退订|回复?\s?[TRN]\b|opt[ -]?out|\bstop\b", re.IGNORECASE)
"""How texts tell a customer to refuse; found in a template's own last words, never in data."""

_UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_BRACKETS = str.maketrans({"【": "[", "】": "]", "\n": " "})
_LAST_TAG = re.compile(r"(?:\}\}|%\}|#\})(?!.*(?:\}\}|%\}|#\}))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sms:
    """`text` is `segments` put together; `parts` is how many of them are paid for."""

    text: str
    parts: int
    segments: tuple[str, ...]
    encoding: Encoding
    sms_type: SmsType


@dataclass(frozen=True, slots=True)
class CompiledSms:
    """One template of a step in one language."""

    template: Template
    path: str
    shop: Mapping[str, Any]
    signature: str  # with its brackets
    opt_out: str  # "" for a notice, and where the template has its own words
    sms_type: SmsType
    content: SmsContent

    def render(self, data: MessageData) -> Sms:
        """The message for one customer.

        Raises RenderingError if the template fails on the data or needs more than `max_parts` parts.
        """
        try:
            body = self.template.render(message_context(data, self.shop))
        except TEMPLATE_ERRORS as error:
            place = Position(self.path, error_line(error))
            raise rendering_error(error, place, data.delivery) from error
        parts = split(self._assemble(body), domestic=is_domestic(data.customer["phone"]))
        limit = self.content.max_parts
        if limit is not None and len(parts.segments) > limit:
            raise RenderingError(
                f"this text takes {len(parts.segments)} parts ({parts.units} characters), max_parts is {limit}",
                delivery=data.delivery,
                position=self.content.position,
            )
        text = "".join(parts.segments)
        return Sms(text, len(parts.segments), parts.segments, parts.encoding, self.sms_type)

    def _assemble(self, body: str) -> str:
        body = body.replace("\r\n", "\n").strip()
        if not body.startswith(self.signature):
            body = self.signature + body
        if body.endswith(self.opt_out):
            return body
        # A word or a link must not run into what follows; Chinese text needs no space, and a space is paid for.
        return f"{body} {self.opt_out}" if body[-1].isascii() else body + self.opt_out


class SmsCompiler:
    """Compiles the SMS templates of one definition version. Safe to keep for as long as the version lives.

    `files` is the version's own (path → text); `timezone` the shop's zone, in which dates are shown to customers who
    have none.
    """

    def __init__(
        self,
        settings: Settings,
        files: Mapping[str, str],
        definition: Definition,
        *,
        timezone: str = "Asia/Shanghai",
    ) -> None:
        self._settings, self._files, self._definition = settings, files, definition
        self._shop = shop_context(settings, timezone)
        self.environment = make_environment(files, "sms", autoescape=False, finalize=clean)
        self._compiled: dict[tuple[str, str], CompiledSms] = {}

    def compile(self, step: Step, language: str | None) -> CompiledSms:
        """The step's template in the best language for a customer (their `language`, or None).

        Raises RenderingError where the template is missing, does not parse, or is a notice that tells how to refuse.
        """
        content = step.sms
        if content is None:
            raise ConfigurationError(f"step {step.id!r} of {self._definition.id!r} sends no SMS")
        available = languages(self._files, "sms", content.template)
        chosen = choose(available, language, self._settings.shop.language)
        if chosen is None:
            raise RenderingError(
                f"there is no {path_of('sms', content.template, '')}", position=content.position
            )
        if (step.id, chosen) not in self._compiled:
            self._compiled[step.id, chosen] = self._build(content, chosen)
        return self._compiled[step.id, chosen]

    def _build(self, content: SmsContent, language: str) -> CompiledSms:
        path = path_of("sms", content.template, language)
        try:
            template = self.environment.get_template(path.removeprefix("templates/sms/"))
        except TemplateError as error:
            place = syntax_position(error, "sms", content.position)
            raise rendering_error(error, place) from error
        kind = sms_type(self._definition, content)
        return CompiledSms(
            template=template,
            path=path,
            shop=self._shop,
            signature=signature(self._settings),
            opt_out=self._opt_out(kind, path),
            sms_type=kind,
            content=content,
        )

    def _opt_out(self, kind: SmsType, path: str) -> str:
        says_so = opt_out_line(self._files[path])
        if kind == "notice":
            if says_so:
                message = "a notice must not say how to refuse it; gateways reject that"
                raise RenderingError(message, position=Position(path, says_so))
            return ""
        return "" if ends_with_opt_out(self._files[path]) else self._settings.sms.opt_out


def sms_type(definition: Definition, content: SmsContent) -> SmsType:
    """Promotion for marketing and care (gateways file birthday greetings there too), unless the YAML says otherwise."""
    if content.sms_type is not None:
        return content.sms_type
    return "notice" if definition.message_class == "transactional" else "promotion"


def signature(settings: Settings) -> str:
    """The 【signature】 that every text starts with: the setting, else the shop's name."""
    name = (settings.sms.signature or settings.shop.name).strip("【】 ")
    return f"【{name}】"


def opt_out_line(source: str) -> int | None:
    """The line (from 1) of a template that says how to refuse, or None. Comments count for nothing."""
    text = re.sub(r"\{#.*?#\}", lambda match: "\n" * match[0].count("\n"), source, flags=re.DOTALL)
    match = OPT_OUT_WORDS.search(text)
    return text.count("\n", 0, match.start()) + 1 if match else None


def ends_with_opt_out(source: str) -> bool:
    """Whether a template's last words, after its last tag, say how to refuse."""
    tag = _LAST_TAG.search(source)
    return OPT_OUT_WORDS.search(source[tag.end() if tag else 0 :]) is not None


def clean(value: Any) -> str:
    """A value as it may stand in a text: one line, no control characters, no signature brackets."""
    text = "" if value is None else str(value)
    return _UNSAFE.sub(" ", text.translate(_BRACKETS))


@lru_cache(maxsize=4096)
def is_domestic(phone: str) -> bool:
    """Whether a number (E.164) is billed by the domestic Chinese profile.

    >>> is_domestic("+8613800138000"), is_domestic("+85261234567"), is_domestic("")
    (True, False, True)
    """
    return not phone or phone.startswith("+86")
