"""Programs that write for the wire: each of their outputs is encoded before it is printed, so it is printed as it is.

Jinja would escape, finalise and convert every output once more, token by token and link by link: a third of the CPU of a
message. Nothing that is not encoded can take this way: such an output is refused when the template is compiled.
"""

from __future__ import annotations

from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame

from engine.rendering.environment import Environment
from engine.rendering.links import TOKENS
from engine.rendering.quoted_printable import encode_html_value, encode_value

WIRE_HTML, WIRE_TEXT = "wire_html", "wire_text"
"""The filters that encode a value in the HTML and in the text part. Templates of a shop cannot name them."""
_FILTERS = {WIRE_HTML: encode_html_value, WIRE_TEXT: encode_value}


def wire_environment(environment: Environment) -> Environment:
    """The same sandbox for programs that `encode_ahead` made. Expressions keep their meaning, autoescape included."""
    wire = environment.overlay(finalize=None)
    wire.filters = {**environment.filters, **_FILTERS}
    wire.code_generator_class = _EncodedOutput
    return wire


class _EncodedOutput(CodeGenerator):
    """Only outputs are generated in another way than Jinja does (its NativeCodeGenerator uses the same three methods)."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:  # noqa: ARG002
        _check(node)
        return str(node.as_const(frame.eval_ctx))

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:  # noqa: ARG002
        _check(node)

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        pass


def _check(node: nodes.Expr) -> None:
    """Static text is encoded, a token needs no encoding, a value goes through the filter. There is nothing else."""
    encoded = (
        isinstance(node, nodes.TemplateData)
        or (isinstance(node, nodes.Name) and node.name in TOKENS)
        or (isinstance(node, nodes.Filter) and node.name in _FILTERS)
    )
    if not encoded:
        raise AssertionError(f"line {node.lineno}: an output is not encoded for the wire")
