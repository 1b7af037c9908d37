"""The sandbox in which templates run: strict about names, deaf to data, immutable.

Only files of the project are compiled. What a customer is called, ordered or wrote is a value: it is escaped in HTML and
never parsed as a template. Filters beside Jinja's own: `money`, `date`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import DictLoader, StrictUndefined, Template, TemplateError, nodes, pass_context
from jinja2.exceptions import TemplateSyntaxError
from jinja2.runtime import Context
from jinja2.sandbox import MAX_RANGE, ImmutableSandboxedEnvironment
from markupsafe import Markup

from engine.definitions.campaign import Channel
from engine.errors import Position, RenderingError

_SYMBOLS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "HKD": "HK$", "TWD": "NT$"}
_UNREADABLE = re.compile("\r\n?|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_COUNTED = "__counted__"
_WITHOUT_CENTS = frozenset({"JPY", "KRW", "TWD", "VND"})

POSITION = "__position__"
"""The name in a compiled template's globals that turns a line of its tree into a place in a file."""

TEMPLATE_ERRORS = (
    TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError,
    RecursionError, MemoryError,
)  # fmt: skip
"""What the expressions of a template can raise on somebody's data."""


class Environment(ImmutableSandboxedEnvironment):
    """Jinja, sandboxed. For a plain dict a key wins over a method: `order.items` can never mean `dict.items`."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict:
            try:
                return obj[attribute]
            except KeyError:
                return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def _generate(
        self,
        source: nodes.Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,
    ) -> str:
        """Loops that can run inside others are counted: the sandbox bounds each `range`, not how often one is run."""
        outer = source.find_all((nodes.For, nodes.Macro, nodes.CallBlock))
        for loop in {inner for each in outer for inner in each.find_all(nodes.For)}:
            loop.iter = nodes.Filter(loop.iter, _COUNTED, [], [], None, None, lineno=loop.lineno)
            loop.iter.set_environment(self)
        return super()._generate(source, name, filename, defer_init)


@pass_context
def _counted(context: Context, values: Iterable[Any]) -> Collection[Any]:
    """What an inner loop goes over. Raises OverflowError where a rendering takes too many turns."""
    found = values if isinstance(values, Collection) else list(values)
    turns = context.vars[_COUNTED] = context.vars.get(_COUNTED, 0) + len(found)
    if turns > MAX_RANGE:
        raise OverflowError(f"loops inside others take more than {MAX_RANGE:,} turns")
    return found


def folder(channel: Channel) -> str:
    """Where a channel's templates lie; names inside templates are relative to it."""
    return f"templates/{channel}/"


def make_environment(
    files: Mapping[str, str],
    channel: Channel,
    *,
    autoescape: bool,
    finalize: Callable[[Any], Any] | None = None,
) -> Environment:
    """An environment over a version's files (relative posix path → text)."""
    prefix = folder(channel)
    sources = {
        path.removeprefix(prefix): text for path, text in files.items() if path.startswith(prefix)
    }
    environment = Environment(
        loader=DictLoader(sources),
        undefined=StrictUndefined,
        autoescape=autoescape,
        finalize=finalize or printed,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
        keep_trailing_newline=True,
    )
    environment.globals = {"range": environment.globals["range"]}
    environment.filters[_COUNTED] = _counted
    environment.filters["money"] = money
    environment.filters["date"] = date
    return environment


def printed(value: Any) -> Any:
    """How a value prints: an unknown time or number as nothing, text as `legible` has it."""
    if isinstance(value, Markup):  # what is safe stays safe
        return Markup(legible(value))  # noqa: S704
    if isinstance(value, str):
        return legible(value)
    return "" if value is None else value


def legible(text: str) -> str:
    """Data as it may stand in a document: line breaks as `\\n`, U+FFFD for what neither HTML nor UTF-8 can hold.

    >>> legible("a\\r\\nb\\x00")
    'a\\nb\ufffd'
    """
    if _UNREADABLE.search(text) is None:
        return text
    return _UNREADABLE.sub(lambda match: "\n" if match[0][0] == "\r" else "\ufffd", text)


def money(amount: int | None, currency: str = "CNY") -> str:
    """`{{ order.amount|money(order.currency) }}`: whole numbers of the smallest unit as people write them.

    >>> money(129900), money(29950), money(-500, "USD"), money(1200, "JPY"), money(None)
    ('¥1,299', '¥299.50', '-$5', '¥1,200', '')
    """
    if amount is None:
        return ""
    sign = "-" if amount < 0 else ""
    symbol = _SYMBOLS.get(currency, f"{currency} " if currency else "¥")
    if currency in _WITHOUT_CENTS:
        return f"{sign}{symbol}{abs(amount):,}"
    whole, cents = divmod(abs(amount), 100)
    return f"{sign}{symbol}{whole:,}" + (f".{cents:02d}" if cents else "")


@pass_context
def date(context: Context, moment: datetime | None, style: str = "%Y-%m-%d") -> str:
    """`{{ order.placed_at|date('%m月%d日') }}`: a moment as a date where the customer is, else where the shop is."""
    if moment is None:
        return ""
    customer, shop = context.get("customer"), context.get("shop")
    zone = (customer and customer.get("timezone")) or (shop and shop.get("timezone")) or "UTC"
    return moment.astimezone(ZoneInfo(zone)).strftime(style)


def error_line(error: BaseException) -> int:
    """The line of the template in which an exception arose, or 1."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        names = trace.tb_frame.f_globals
        if "__jinja_exception__" in names:  # a frame that Jinja has already translated
            line = trace.tb_lineno
        elif isinstance(template := names.get("__jinja_template__"), Template):
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


def error_position(error: BaseException, fallback: Position) -> Position:
    """The place in a file of the project where a Program raised an exception."""
    found, trace = fallback, error.__traceback__
    while trace is not None:
        names = trace.tb_frame.f_globals
        template, position = names.get("__jinja_template__"), names.get(POSITION)
        if isinstance(template, Template) and position is not None:
            found = position(template.get_corresponding_lineno(trace.tb_lineno))
        trace = trace.tb_next
    return found


def rendering_error(error: BaseException, position: Position, delivery: str = "") -> RenderingError:
    """A template's failure as one sentence with its place."""
    # Jinja's own text of a syntax error repeats the place.
    said = error.message if isinstance(error, TemplateSyntaxError) else str(error)
    what = said or type(error).__name__
    return RenderingError(what, delivery=delivery or None, position=position)


def syntax_position(error: TemplateError, channel: Channel, fallback: Position) -> Position:
    """Where a template does not parse, as a path of the project; `fallback` for a file that is not there."""
    if isinstance(error, TemplateSyntaxError) and error.name is not None:
        return Position(folder(channel) + error.name, error.lineno)
    return fallback
