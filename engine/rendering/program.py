"""A tree of nodes, compiled and ready to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jinja2
from jinja2 import Template, nodes
from jinja2.nodes import EvalContext
from jinja2.runtime import Context

from engine.errors import Position
from engine.rendering.environment import POSITION
from engine.rendering.flattening import clone


class _Context(Context):
    """Jinja's context of a template without blocks. Jinja takes three times as long, and a message needs three."""

    def __init__(
        self,
        environment: jinja2.Environment,
        evaluation: EvalContext,
        values: dict[str, Any],
        globals_keys: set[str],
    ) -> None:
        self.parent, self.vars, self.blocks = values, {}, {}
        self.environment, self.eval_ctx = environment, evaluation
        self.name, self.exported_vars, self.globals_keys = None, set(), globals_keys


class Program:
    """A compiled template without inheritance. `position` tells where a line of its tree stands in the project."""

    def __init__(
        self,
        environment: jinja2.Environment,
        body: Sequence[nodes.Node],
        position: Callable[[int], Position],
    ) -> None:
        tree = nodes.Template([clone(node) for node in body], lineno=1)
        tree.set_environment(environment)
        code = environment.compile(tree)
        template = Template.from_code(environment, code, environment.globals)
        self._environment, self._globals_keys = environment, set(environment.globals)
        # `{% autoescape %}` changes the evaluation context for the length of its block, also where that block fails.
        changes = any(tree.find_all(nodes.EvalContextModifier))
        self._evaluation = None if changes else EvalContext(environment)
        self._root = template.root_render_func
        self._root.__globals__[POSITION] = position

    def run(self, values: dict[str, Any]) -> Iterator[str]:
        """The pieces of the output. `values` hold the environment's globals too, and are not copied.

        Raises what the template's expressions raise (`error_position` finds the line).
        """
        evaluation = self._evaluation or EvalContext(self._environment)
        return self._root(_Context(self._environment, evaluation, values, self._globals_keys))

    def render(self, values: dict[str, Any]) -> str:
        """The output as a string."""
        return "".join(self.run(values))
