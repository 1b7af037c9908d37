"""One template out of many: `extends`, `block`, `super()` and `include` resolved before anything is compiled.

CSS can only be inlined into a whole document, and each version's templates are fixed; so inheritance is settled once, on
the syntax tree. Names of templates must be written out (`{% extends "base.html.j2" %}`), which also lets a version know
all its files. One difference to Jinja: what a block sets, the `super()` inside that block sees. Line numbers of the merged tree carry the number of their file, so that an error names the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from jinja2 import nodes
from jinja2.exceptions import TemplateNotFound, TemplateSyntaxError

from engine.errors import Position, did_you_mean
from engine.rendering.environment import Environment

LINES = 1_000_000
"""A line number of a merged tree is `file number * LINES + line`."""

AnyNode = TypeVar("AnyNode", bound=nodes.Node)
_PRELUDE = (
    nodes.Assign,
    nodes.AssignBlock,
    nodes.Macro,
    nodes.Import,
    nodes.FromImport,
    nodes.ExprStmt,
)


@dataclass(frozen=True, slots=True)
class Flat:
    """A template without inheritance. `prelude`: what a child template sets or imports before its layout runs."""

    prelude: tuple[nodes.Node, ...]
    body: tuple[nodes.Node, ...]
    files: tuple[str, ...]  # paths of the project, by file number

    def position(self, line: int) -> Position:
        """Where a line of the merged tree stands."""
        number, line = divmod(line, LINES)
        return Position(self.files[min(number, len(self.files) - 1)], max(line, 1))


def flatten(environment: Environment, name: str, folder: str) -> Flat:
    """Resolve a template of the environment's loader. Raises jinja2's TemplateSyntaxError or TemplateNotFound."""
    work = _Flattening(environment)
    prelude, body = work.document(name)
    return Flat(tuple(prelude), tuple(body), tuple(folder + file for file in work.files))


def parse_text(environment: Environment, source: str) -> tuple[nodes.Node, ...]:
    """The nodes of a single-line template (a subject, a preheader), which inherits and includes nothing."""
    body = environment.parse(source).body
    for node in body:
        for found in (node, *node.find_all((nodes.Extends, nodes.Include, nodes.Block))):
            if isinstance(found, nodes.Extends | nodes.Include | nodes.Block):
                raise TemplateSyntaxError("only expressions and conditions may stand here", 1)
    return tuple(body)


def clone(node: AnyNode) -> AnyNode:
    """A copy down to the leaves: compiling folds constants into a tree in place."""
    fields = [
        [clone(item) if isinstance(item, nodes.Node) else item for item in value]
        if isinstance(value, list)
        else clone(value)
        if isinstance(value, nodes.Node)
        else value
        for _, value in node.iter_fields()
    ]
    return type(node)(*fields, lineno=node.lineno, environment=node.environment)


def sections(node: nodes.Node) -> list[list[nodes.Node]] | None:
    """The bodies of a statement that holds output, in the order of the source; None for any other node."""
    body = getattr(node, "body", None)
    if not isinstance(body, list) or isinstance(node, nodes.Output):
        return None
    result = [body]
    if isinstance(node, nodes.If):
        result += [branch.body for branch in node.elif_]
    if isinstance(node, nodes.If | nodes.For) and node.else_:
        result.append(node.else_)
    return result


def with_sections(node: AnyNode, bodies: Sequence[list[nodes.Node]]) -> AnyNode:
    """A copy of the statement with other bodies, as many as `sections` gave."""
    copy, rest = clone(node), list(bodies)
    copy.body = rest.pop(0)  # type: ignore[attr-defined]
    if isinstance(copy, nodes.If):
        for branch in copy.elif_:
            branch.body = rest.pop(0)
    if rest:
        copy.else_ = rest.pop(0)  # type: ignore[attr-defined]
    return copy


def walk(body: Iterable[nodes.Node]) -> Iterable[nodes.Node]:
    """Every node of a list of trees, themselves included."""
    for node in body:
        yield node
        yield from walk(node.iter_child_nodes())


class _Flattening:
    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.files: list[str] = []
        self._open: list[str] = []  # the chain of extends and includes that is being followed

    def document(self, name: str) -> tuple[list[nodes.Node], list[nodes.Node]]:
        """Prelude and body of one template, inheritance resolved."""
        depth = len(self._open)
        chain, prelude = [self._parse(name)], list[nodes.Node]()
        while (extends := self._extends(chain[-1])) is not None:
            prelude = [n for n in chain[-1].body if isinstance(n, _PRELUDE)] + prelude
            with self._found(extends) as parent:
                chain.append(self._parse(parent))
        blocks = _Blocks(self, chain)
        body = self._expand(chain[-1].body, blocks, None)
        del self._open[depth:]
        return prelude, body

    def _parse(self, name: str) -> nodes.Template:
        if name in self._open:
            raise TemplateSyntaxError(f"{name} extends or includes itself", 1, name)
        assert self._environment.loader is not None
        source, filename, _ = self._environment.loader.get_source(self._environment, name)
        tree = self._environment.parse(source, name, filename)
        if name not in self.files:
            self.files.append(name)
        shift = self.files.index(name) * LINES
        for node in walk([tree]):
            node.lineno = (node.lineno or 1) + shift
        self._open.append(name)
        return tree

    def _extends(self, tree: nodes.Template) -> nodes.Extends | None:
        for node in tree.body:
            if isinstance(node, nodes.Extends):
                return node
        nested = next(iter(tree.find_all(nodes.Extends)), None)
        if nested is not None:
            raise self.error("extends must not stand inside another tag", nested)
        return None

    def _literal(self, node: nodes.Node, name: nodes.Node) -> str:
        if isinstance(name, nodes.Const) and isinstance(name.value, str):
            return name.value
        raise self.error("write the template's name out, in quotes", node)

    @contextmanager
    def _found(self, node: nodes.Extends | nodes.Include) -> Iterator[str]:
        """The name of the template that the tag pulls in; that there is none is said of this place."""
        name = self._literal(node, node.template)
        try:
            yield name
        except TemplateNotFound:
            known = self._environment.list_templates()
            raise self.error(
                f"there is no template {name!r}{did_you_mean(name, known)}", node
            ) from None

    def error(self, message: str, node: nodes.Node) -> TemplateSyntaxError:
        number, line = divmod(node.lineno, LINES)
        return TemplateSyntaxError(message, line, self.files[number])

    def _expand(
        self,
        body: Iterable[nodes.Node],
        blocks: _Blocks,
        parent: Callable[[nodes.Node], list[nodes.Node]] | None,
    ) -> list[nodes.Node]:
        """`parent` gives what `{{ super() }}` stands for; None outside a block."""
        result: list[nodes.Node] = []
        for node in body:
            if isinstance(node, nodes.Block):
                result += blocks.content(node)
            elif isinstance(node, nodes.Include):
                result += self._include(node)
            elif isinstance(node, nodes.Output):
                result += self._output(node, parent)
            elif (parts := sections(node)) is not None:
                bodies = [self._expand(part, blocks, parent) for part in parts]
                result.append(with_sections(node, bodies))
            elif not isinstance(node, nodes.Extends):
                result.append(node)
        return result

    def _output(
        self, node: nodes.Output, parent: Callable[[nodes.Node], list[nodes.Node]] | None
    ) -> list[nodes.Node]:
        result: list[nodes.Node] = []
        for child in node.nodes:
            if _is_call_of(child, "super"):
                if parent is None:
                    raise self.error("super() has meaning only inside a block", child)
                result += parent(child)
            else:
                for name in walk([child]):
                    if isinstance(name, nodes.Name) and name.name in ("super", "self"):
                        raise self.error(f"{name.name} can only be used as {{{{ super() }}}}", name)
                result.append(nodes.Output([child], lineno=child.lineno))
        return result

    def _include(self, node: nodes.Include) -> list[nodes.Node]:
        if node.ignore_missing or not node.with_context:
            raise self.error("include takes a template's name and nothing else", node)
        with self._found(node) as name:
            prelude, body = self.document(name)
        return _scoped([*prelude, *body], node)


class _Blocks:
    """The blocks of a chain of templates, the most derived first."""

    def __init__(self, work: _Flattening, chain: Sequence[nodes.Template]) -> None:
        self._work = work
        self._stacks: dict[str, list[nodes.Block]] = {}
        for tree in chain:
            for block in tree.find_all(nodes.Block):
                self._stacks.setdefault(block.name, []).append(block)

    def content(self, node: nodes.Block, depth: int = 0) -> list[nodes.Node]:
        block = self._stacks[node.name][depth]
        if block.required and depth == 0:
            raise self._work.error(f"a template must fill the block {block.name!r}", block)

        def parent(call: nodes.Node) -> list[nodes.Node]:
            if depth + 1 >= len(self._stacks[node.name]):
                raise self._work.error("there is no such block above this one", call)
            return self.content(node, depth + 1)

        return _scoped(self._work._expand(block.body, self, parent), block)


def _scoped(body: list[nodes.Node], node: nodes.Node) -> list[nodes.Node]:
    """What is set inside a block or an included file stays inside."""
    if any(isinstance(inner, _PRELUDE) for inner in body):
        return [nodes.Scope(body, lineno=node.lineno)]
    return body


def _is_call_of(node: nodes.Node, name: str) -> bool:
    return (
        isinstance(node, nodes.Call)
        and isinstance(node.node, nodes.Name)
        and node.node.name == name
        and not (node.args or node.kwargs)
    )
