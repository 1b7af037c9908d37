"""What is the same in every message of a version is written into the template when it is compiled.

The shop's name and address, a subject and a preheader without variables, the fixed part of the unsubscribe and view
links: each is escaped once and becomes static text. Only what varies is left to be rendered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import nodes
from markupsafe import escape

from engine.rendering.flattening import clone, sections, walk, with_sections
from engine.rendering.links import UNSUBSCRIBE, VIEW


class Folding:
    """`texts`: nodes that stand for a name (`subject`, `preheader`), their own text not yet escaped."""

    def __init__(
        self,
        shop: Mapping[str, Any],
        base: str,
        texts: Mapping[str, Sequence[nodes.Node]],
        *,
        html: bool,
    ) -> None:
        self._shop, self._base, self._html = shop, base, html
        self._texts = {name: self._escaped(body) for name, body in texts.items()}
        self._taken: frozenset[str] = frozenset()

    def fold(self, body: Sequence[nodes.Node]) -> list[nodes.Node]:
        """The template with its constants filled in. A name that the template itself sets is left alone."""
        names = (node for node in walk(body) if isinstance(node, nodes.Name))
        self._taken = frozenset(node.name for node in names if node.ctx != "load")
        return self._body(body)

    def _body(self, body: Iterable[nodes.Node]) -> list[nodes.Node]:
        result: list[nodes.Node] = []
        for node in body:
            if isinstance(node, nodes.Output):
                for child in node.nodes:
                    result += self._child(child)
            elif (parts := sections(node)) is not None:
                result.append(with_sections(node, [self._body(part) for part in parts]))
            else:
                result.append(node)
        return result

    def _child(self, child: nodes.Expr) -> list[nodes.Node]:
        if isinstance(child, nodes.Name) and child.name not in self._taken:
            known = self._texts.get(child.name)
            if known is not None:
                return [clone(node) for node in known]
        owner, key = attribute(child)
        if "shop" not in self._taken and (text := self._of_shop(child)) is not None:
            return [_output(self._data(text, child.lineno))]
        if owner == "links" and key in ("unsubscribe", "view") and owner not in self._taken:
            letter, token = ("u", UNSUBSCRIBE) if key == "unsubscribe" else ("v", VIEW)
            start = self._data(f"{self._base}/{letter}/", child.lineno)
            return [_output(start, nodes.Name(token, "load", lineno=child.lineno))]
        return [_output(child)]

    def _of_shop(self, child: nodes.Expr) -> str | None:
        """`shop.name`, `shop.name[0]`: the text, or None where it is not there or something else."""
        try:
            value = _lookup(child, self._shop)
        except (LookupError, TypeError):
            return None
        return value if isinstance(value, str) else None

    def _data(self, text: str, line: int) -> nodes.TemplateData:
        return nodes.TemplateData(str(escape(text)) if self._html else text, lineno=line)

    def _escaped(self, body: Sequence[nodes.Node]) -> list[nodes.Node]:
        copies = [clone(node) for node in body]
        for node in walk(copies):
            if isinstance(node, nodes.TemplateData) and self._html:
                node.data = str(escape(node.data))
        return copies


def _lookup(node: nodes.Node, shop: Mapping[str, Any]) -> Any:
    match node:
        case nodes.Name(name="shop"):
            return shop
        case nodes.Getattr():
            return _lookup(node.node, shop)[node.attr]
        case nodes.Getitem(arg=nodes.Const() as key):
            return _lookup(node.node, shop)[key.value]
    raise LookupError


def attribute(node: nodes.Node) -> tuple[str, str]:
    """`shop.name` or `shop["name"]` as ("shop", "name"); ("", "") for anything else."""
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return node.node.name, node.attr
    if (
        isinstance(node, nodes.Getitem)
        and isinstance(node.node, nodes.Name)
        and isinstance(node.arg, nodes.Const)
    ):
        return node.node.name, str(node.arg.value)
    return "", ""


def used_names(body: Iterable[nodes.Node]) -> frozenset[str]:
    """The names that a template reads or sets."""
    return frozenset(node.name for node in walk(body) if isinstance(node, nodes.Name))


def constant(body: Sequence[nodes.Node]) -> str | None:
    """The text of a template without variables, else None."""
    pieces = []
    for node in body:
        children = node.nodes if isinstance(node, nodes.Output) else [node]
        for child in children:
            if not isinstance(child, nodes.TemplateData):
                return None
            pieces.append(child.data)
    return "".join(pieces)


def _output(*children: nodes.Expr) -> nodes.Output:
    return nodes.Output(list(children), lineno=children[0].lineno)
