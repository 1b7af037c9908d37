"""The frame of every HTML page: templates, autoescape, one style for light and dark, nothing from the network.

A page is one self-contained file without scripts, so that it can be mailed, archived, or served under a strict
Content-Security-Policy. Texts stand in `words`, charts in the template `charts.html.j2`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from engine.pages.words import language_of, words


def render(template: str, language: str | None, **context: Any) -> str:
    """The page `engine/pages/templates/<template>.html.j2` in `language` (any tag; zh where it is not known).

    Templates see the context, `t` (the texts), `language`, and the filters `number` and `percent`.
    """
    tag = language_of(language)
    page = _environment().get_template(f"{template}.html.j2")
    return page.render(language="zh-CN" if tag == "zh" else tag, t=words(tag), **context)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("engine.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent, monogram=monogram)
    return environment


def number(value: int | None) -> str:
    """A count with its thousands parted; a dash for what is not known.

    >>> number(12345), number(None)
    ('12,345', '–')
    """
    return "–" if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """A share with as many digits as it deserves.

    >>> percent(0.2351), percent(0.00042), percent(0.0), percent(1.0), percent(None)
    ('23.5%', '0.04%', '0%', '100%', '–')
    """
    if value is None:
        return "–"
    digits = 1 if value >= 0.01 else 2
    text = f"{value * 100:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "%"


def monogram(name: str) -> str:
    """The letter that stands for a shop.

    >>> monogram("雁南飞"), monogram("  acme "), monogram("")
    ('雁', 'A', '·')
    """
    return name.strip()[:1].upper() or "·"
