"""Which files a template pulls in. Apart from `templates`, so that what only reads the policy does not load Jinja."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from jinja2 import Environment, TemplateSyntaxError, nodes

from engine.definitions.campaign import Channel
from engine.definitions.templates import template_file

_ENVIRONMENT = Environment(autoescape=True)  # only parses; nothing is ever rendered with it


def files_of(channel: Channel, name: str, files: Mapping[str, str]) -> set[str]:
    """The files of one template, in every language, with all that they pull in."""
    own = (
        path
        for path in files
        if (one := template_file(path)) and (one.channel, one.name) == (channel, name)
    )
    return closure(own, files)


def pulled_in(channel: Channel, text: str, files: Mapping[str, str]) -> set[str]:
    """The files that a text (a subject) pulls in from the channel's folder."""
    return closure(_targets(f"templates/{channel}/", text, files), files)


def closure(paths: Iterable[str], files: Mapping[str, str]) -> set[str]:
    """These files with everything that they extend, include or import, over any number of steps."""
    found: set[str] = set()
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if path in files and path not in found:
            found.add(path)
            folder = "/".join(path.split("/")[:2]) + "/"
            waiting.extend(_targets(folder, files[path], files))
    return found


def _targets(folder: str, text: str, files: Mapping[str, str]) -> Iterator[str]:
    """Paths that a template names (names are relative to its channel's folder, there or not).

    A name that is computed can be any file of the folder, and so can all in a template that does not parse.
    """
    names = _named(text)
    if names is None:
        yield from (path for path in files if path.startswith(folder))
    else:
        yield from (folder + name for name in names)


@lru_cache(maxsize=1024)
def _named(text: str) -> tuple[str, ...] | None:
    """The names in a template, None if it can be any. Remembered: a layout is pulled in by most templates, and a template
    by several definitions."""
    try:
        tree = _ENVIRONMENT.parse(text) if "{%" in text else nodes.Template([])
    except TemplateSyntaxError:
        return None
    kinds = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)
    found: list[str] = []
    for node in tree.find_all(kinds):
        names = _constants(node.template)  # type: ignore[attr-defined]  # all four have it, their common root has not
        if names is None:
            return None
        found += names
    return tuple(found)


def _constants(node: nodes.Expr) -> list[str] | None:
    """The names in a constant, a list of constants, or either branch of a choice; None if one is computed."""
    if isinstance(node, nodes.Const):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, nodes.List | nodes.Tuple):
        parts = [_constants(item) for item in node.items]
    elif isinstance(node, nodes.CondExpr):
        parts = [_constants(node.expr1), _constants(node.expr2) if node.expr2 else []]
    else:
        return None
    return None if None in parts else [name for part in parts if part for name in part]
