"""Links that are counted: found in the template, numbered over all languages of a version, named by `data-label`.

A link is known by (url, label). A click's address is `/c/TOKEN/NUMBER`: the number can only choose a link registered for
the version. A personal target, one with `{{ }}` in it, rides along as `?to=` under a seal, so that nobody can turn the
shop's domain into a redirect to anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import quote

from jinja2 import nodes
from markupsafe import escape

from engine.errors import Position, Problem
from engine.rendering.flattening import clone
from engine.rendering.skeleton import SLOT, Role, Skeleton, Slot

TRACK, UNSUBSCRIBE, VIEW = "_track", "_unsubscribe", "_view"
"""The names under which a message's tokens stand in the context."""
DELIVERY = "_delivery"
TOKENS = frozenset({TRACK, UNSUBSCRIBE, VIEW})

_ANCHOR = re.compile(
    r"<!--.*?-->|<(?:a|area)\b(?:[^>\"']|\"[^\"]*\"|'[^']*')*>", re.IGNORECASE | re.DOTALL
)
_HREF = re.compile(r"\shref\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>\"']+)", re.IGNORECASE)
_LABEL = re.compile(r"\sdata-label\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>\"']+)", re.IGNORECASE)
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_LEFT_ALONE = frozenset({"mailto", "tel", "sms", "cid"})
_BODY_END = re.compile(r"</body\s*>(?!.*</body)", re.IGNORECASE | re.DOTALL)
_URL_SAFE = "%/:?#[]@!$&'()*+,;=~-._"
_IS_QUOTED = re.compile(r"[%/:?#\[\]@!$&'()*+,;=~._A-Za-z0-9-]+").fullmatch
_IN_QUERY = {byte: quote(chr(byte), safe="") for byte in range(128)}
PIXEL = -1
"""The key of the open pixel's slot; links have their place in the list of targets."""


@dataclass(frozen=True, slots=True)
class TrackedLink:
    """`url` is the template's text where the target is personal: `https://shop.example/o/{{ order.id }}`."""

    number: int
    url: str
    label: str | None
    personal: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A tracked link of one template; `parts` are the pieces of a personal target."""

    link: TrackedLink
    parts: tuple[nodes.Expr, ...] = ()


class LinkTable:
    """Numbers links from 1 in the order in which they are first asked for."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, str | None], TrackedLink] = {}

    def register(self, url: str, label: str | None, personal: bool) -> TrackedLink:
        key = (url, label)
        if key not in self._links:
            self._links[key] = TrackedLink(len(self._links) + 1, url, label, personal)
        return self._links[key]

    @property
    def links(self) -> tuple[TrackedLink, ...]:
        return tuple(self._links.values())


@dataclass(frozen=True, slots=True)
class _Anchor:
    start: int
    tag: str
    href: re.Match[str] | None
    label: str | None


def number_links(
    skeleton: Skeleton, table: LinkTable, position: Callable[[int, int], Position]
) -> tuple[list[Target], list[Problem]]:
    """Give each link of the skeleton a slot of its own, drop `data-label`, and say what is wrong with the others.

    `position` turns a line of the merged tree and a column into a place in a file.
    """
    targets: list[Target] = []
    problems: list[Problem] = []
    pieces, at = [], 0
    for anchor in _anchors(skeleton.html):
        tag = _LABEL.sub("", anchor.tag)
        if anchor.href is not None:
            found = _judge(anchor, skeleton, table)
            line, column = skeleton.line_at(anchor.start)
            if isinstance(found, Target):
                slot = skeleton.add(Slot(Role.SPECIAL, _place(line), len(targets)))
                targets.append(found)
                tag = _HREF.sub(f' href="{slot}"', tag, count=1)
            elif found is not None:
                problems.append(Problem(position(line, column), found[1], found[0]))
        pieces += [skeleton.html[at : anchor.start], tag]
        at = anchor.start + len(anchor.tag)
    pieces.append(skeleton.html[at:])
    skeleton.html = "".join(pieces)
    return targets, problems


def add_pixel(skeleton: Skeleton) -> None:
    """A slot for the open pixel before `</body>`, or at the end."""
    slot = f"<!--{skeleton.add(Slot(Role.SPECIAL, _place(1), PIXEL))}-->"
    match = _BODY_END.search(skeleton.html)
    at = match.start() if match else len(skeleton.html)
    skeleton.html = skeleton.html[:at] + slot + skeleton.html[at:]


def special_nodes(
    targets: Sequence[Target], base: str, *, tracked: bool, html: bool
) -> Callable[[Slot], list[nodes.Node]]:
    """What stands for a link's or the pixel's slot, in HTML or in plain text."""

    def data(text: str) -> nodes.TemplateData:
        return nodes.TemplateData(str(escape(text)) if html else text, lineno=1)

    def give(slot: Slot) -> list[nodes.Node]:
        if slot.key == PIXEL:
            return _pixel(base) if tracked and html else []
        target = targets[slot.key]
        if target.parts:
            name = "tracked_target" if tracked else "direct_target"
            line = slot.node.lineno
            parts = nodes.List([clone(part) for part in target.parts], lineno=line)
            number = [nodes.Const(target.link.number, lineno=line)] if tracked else []
            call = nodes.Filter(parts, name, number, [], None, None, lineno=line)
            return [nodes.Output([call], lineno=line)]
        if not tracked:
            return [_output(data(target.link.url))]
        token = nodes.Name(TRACK, "load", lineno=1)
        return [_output(data(f"{base}/c/"), token, data(f"/{target.link.number}"))]

    return give


def _place(line: int) -> nodes.Const:
    """A slot of our own, for the sake of its line."""
    return nodes.Const(None, lineno=line)


def join_target(parts: list[Any]) -> str:
    """A personal target from its pieces, fit for a redirect. Raises ValueError unless it leads to http or https."""
    url = "".join("" if part is None else str(part) for part in parts).strip()
    if not _IS_QUOTED(url):
        url = quote(url, safe=_URL_SAFE, errors="replace")
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError(f"a link leads to {url[:80]!r}, which is no http(s) address")
    return url


def tracked_target(base: str, token: str, number: int, target: str, seal: str) -> str:
    """The address under which a click on a personal link arrives; `target` is what `join_target` gave.

    >>> tracked_target("https://m.example", "T", 2, "https://shop.example/?o=1", "S")
    'https://m.example/c/T/2?to=https%3A%2F%2Fshop.example%2F%3Fo%3D1&s=S'
    """
    return f"{base}/c/{token}/{number}?to={target.translate(_IN_QUERY)}&s={seal}"


def _output(*children: nodes.Expr) -> nodes.Output:
    return nodes.Output(list(children), lineno=1)


def _pixel(base: str) -> list[nodes.Node]:
    before = nodes.TemplateData(f'<img src="{escape(base)}/o/', lineno=1)
    after = nodes.TemplateData(
        '.gif" width="1" height="1" alt="" style="border:0;width:1px;height:1px">', lineno=1
    )
    return [_output(before, nodes.Name(TRACK, "load", lineno=1), after)]


def _anchors(html: str) -> Iterator[_Anchor]:
    for match in _ANCHOR.finditer(html):
        tag = match[0]
        if tag.startswith("<!--"):
            continue
        label = _LABEL.search(tag)
        name = unescape(label[1].strip("\"'")).strip() if label else ""
        yield _Anchor(match.start(), tag, _HREF.search(tag), name or None)


def _judge(
    anchor: _Anchor, skeleton: Skeleton, table: LinkTable
) -> Target | tuple[str, str] | None:
    """A target to count, (code, message) of a mistake, or None for a link that is left alone."""
    assert anchor.href is not None
    if anchor.label is not None and SLOT.search(anchor.label):
        return "link-label", "data-label names the link in reports: it cannot hold a variable"
    href = unescape(anchor.href[1].strip("\"'")).strip()
    scheme = _SCHEME.match(SLOT.split(href)[0])
    name = scheme[1].lower() if scheme else ""
    slots = [skeleton.slots[int(number)] for number in SLOT.findall(href)]
    if name in _LEFT_ALONE or (href.startswith("#") and not slots):
        return None
    if name not in ("", "http", "https"):
        return "unsafe-link", f"a link must not lead to {name}:"
    if slots:
        return _judge_personal(anchor, href, slots, table)
    if not name:
        return "relative-link", f"a mail has no page that {href!r} could be relative to"
    return Target(table.register(quote(href, safe=_URL_SAFE), anchor.label, personal=False))


def _judge_personal(
    anchor: _Anchor, href: str, slots: list[Slot], table: LinkTable
) -> Target | tuple[str, str] | None:
    if any(slot.role is not Role.VALUE for slot in slots):
        return "link-condition", "put the condition around the whole <a>, not inside its href"
    values = [slot.node for slot in slots]
    if any(isinstance(node, nodes.Name) and node.name in TOKENS for node in values):
        return None  # links.unsubscribe and links.view are addresses of ours already
    pieces = SLOT.split(href)
    if pieces[0] and not _SCHEME.match(pieces[0]):
        return "relative-link", "a link starts with https:// or with the variable that holds it"
    parts: list[nodes.Expr] = [nodes.Const(pieces[0], lineno=1)] if pieces[0] else []
    text = pieces[0]
    for node, following in zip(values, pieces[2::2], strict=True):
        assert isinstance(node, nodes.Expr)
        parts.append(node)
        text += "{{ " + spell(node) + " }}" + following
        if following:
            parts.append(nodes.Const(following, lineno=1))
    return Target(table.register(text, anchor.label, personal=True), tuple(parts))


def spell(node: nodes.Node) -> str:
    """An expression as a person would write it; `…` where it is more than names and filters."""
    match node:
        case nodes.Name():
            return str(node.name)
        case nodes.Const():
            return repr(node.value)
        case nodes.Getattr():
            return f"{spell(node.node)}.{node.attr}"
        case nodes.Getitem():
            return f"{spell(node.node)}[{spell(node.arg)}]"
        case nodes.Filter() if node.node is not None:
            arguments = ", ".join(spell(argument) for argument in node.args)
            return f"{spell(node.node)}|{node.name}" + (f"({arguments})" if arguments else "")
    return "…"
