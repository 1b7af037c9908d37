"""Names that a template uses and nobody gives it: found without rendering, in every branch, with the nearest name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from jinja2 import meta, nodes

from engine.errors import did_you_mean
from engine.rendering.context import ITEM_KEYS, KEYS, NOT_YET
from engine.rendering.environment import Environment
from engine.rendering.flattening import clone, walk
from engine.rendering.folding import attribute

Finding = tuple[int, str, str, str]
"""Line of the tree, code, message, and the words to look for in that line."""


def check_names(
    environment: Environment, body: Sequence[nodes.Node], known: frozenset[str]
) -> Iterator[Finding]:
    """Names and keys that no message has; names that the next version will have."""
    tree = nodes.Template([clone(node) for node in body], lineno=1)
    tree.set_environment(environment)
    for name in sorted(meta.find_undeclared_variables(tree) - known):
        yield _unknown_name(name, _line_of(name, body), known)
    yield from _unknown_keys(body)


def _unknown_name(name: str, line: int, known: Iterable[str]) -> Finding:
    if name in NOT_YET:
        return line, "not-supported", f"{name!r} is not supported yet", name
    message = f"{name!r} is not defined{did_you_mean(name, known)}"
    return line, "undefined-variable", message, name


def _line_of(name: str, body: Sequence[nodes.Node]) -> int:
    for node in walk(body):
        if isinstance(node, nodes.Name) and node.name == name:
            return node.lineno
    return 1


def _unknown_keys(body: Sequence[nodes.Node]) -> Iterator[Finding]:
    nodes_of_all = list(walk(body))
    keys = _keys_of_names(nodes_of_all)
    for node in nodes_of_all:
        owner, key = attribute(node)
        if owner in keys and key not in keys[owner]:
            known = keys[owner]
            message = f"{owner!r} has no {key!r}{did_you_mean(key, known)}"
            yield node.lineno, "undefined-variable", message, f"{owner}.{key}"


def _keys_of_names(found: Sequence[nodes.Node]) -> Mapping[str, frozenset[str]]:
    """What each name may be asked for; names that the template sets itself are not judged, loops over `items` are."""
    rows = {
        node.target.name
        for node in found
        if isinstance(node, nodes.For)
        and isinstance(node.target, nodes.Name)
        and isinstance(node.iter, nodes.Name)
        and node.iter.name == "items"
    }
    stored = {n.name for n in found if isinstance(n, nodes.Name) and n.ctx != "load"}
    keys = {name: known for name, known in KEYS.items() if name not in stored}
    return {**keys, **dict.fromkeys(rows, ITEM_KEYS)}
