"""CSS into style attributes, once per template version instead of once per message (2.9 ms each).

premailer works on the template's skeleton. Some templates do not survive that: a condition inside a tag or an attribute
changes which rules match. So both orders are compared on samples when compiling; where they differ, the template is
inlined after rendering, message by message, and lint says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeVar

import lxml.html  # type: ignore[import-untyped]

from engine.rendering.skeleton import SLOT, Skeleton

_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>\s*", re.IGNORECASE)
_INDENTATION = re.compile(r"[ \t]*\n\s*")
_STYLE = re.compile(r"<style.*?</style>", re.IGNORECASE | re.DOTALL)
_SPACE = re.compile(r"\s+")
DOCTYPE = "<!DOCTYPE html>"
Sample = TypeVar("Sample")


@lru_cache(maxsize=128)  # `plan`, `apply` and the senders ask the same of the same documents
def inline(html: str) -> str:
    """A document with its CSS in style attributes; one `<style>` with the @media rules stays. Never fetches anything."""
    # premailer is the slowest import of all: for those who compile a template, not for each command.
    from engine.rendering.premailing import OPTIONS, Inliner

    html = DOCTYPE + "\n" + _DOCTYPE.sub("", html, count=1).strip()
    inlined = str(Inliner(html, **OPTIONS).transform(pretty_print=False))
    return _STYLE.sub(lambda match: _INDENTATION.sub("\n", match[0]), inlined)


def inline_skeleton(skeleton: Skeleton) -> str | None:
    """The skeleton's document, inlined; None where that moved, lost or repeated a slot."""
    inlined = inline(skeleton.html)
    order = [int(number) for number in SLOT.findall(inlined)]
    return inlined if order == skeleton.order() else None


def squeeze(html: str) -> str:
    """Without indentation and blank lines, which cost bytes in every message. A `<pre>` keeps everything.

    >>> squeeze("<table>\\n    <tr>\\n\\n  </tr>")
    '<table>\\n<tr>\\n</tr>\\n'
    """
    if "<pre" in html or "<textarea" in html:
        return html
    return _INDENTATION.sub("\n", html).strip() + "\n"


def same_either_way(
    samples: Iterable[Sample],
    inlined: Callable[[Sample], str | None],
    plain: Callable[[Sample], str | None],
) -> bool:
    """Whether inline-then-render and render-then-inline give one document for every sample.

    Both callables render a sample; None means that the template does not take this sample.
    """
    for sample in samples:
        before = plain(sample)
        if before is None:
            continue
        after = inlined(sample)
        if after is None or canonical(after) != canonical(inline(before)):
            return False
    return True


def canonical(html: str) -> str:
    """A document as the parser sees it, white space aside."""
    tree = lxml.html.document_fromstring(html)
    return _SPACE.sub(" ", lxml.html.tostring(tree, encoding="unicode"))
