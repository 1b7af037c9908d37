"""Programs for the wire print their outputs as they are: whatever a template does with a value, it arrives escaped."""

from __future__ import annotations

import pytest
from jinja2 import nodes

from engine.errors import Position
from engine.rendering.environment import make_environment
from engine.rendering.links import TRACK
from engine.rendering.program import Program
from engine.rendering.quoted_printable import encode_ahead
from engine.rendering.wire import WIRE_HTML, wire_environment
from tests.rendering_kit import compiled, message, page, part

HOSTILE = "<b onload='x'>&\"=\r\n.\r\n茶\x00" + "<" * 60
PLAIN = make_environment({}, "email", autoescape=True)
EXPRESSIONS = [
    "customer.name",
    "customer.name ~ '<' ~ customer.city",
    "'<i>'|safe ~ customer.name",
    "customer.name|upper",
    "customer.name|replace('b', '<u>')",
    "[customer.name, '<u>'|safe, customer.city]|join('&')",
    "('<b>%s</b>'|safe)|format(customer.name)",
    "'%s<' % customer.name",
    "customer.name|e ~ customer.name|forceescape",
    "{'title': customer.name}|xmlattr",
    "customer.name|tojson",
    "customer.name|urlize",
    "customer.attributes",
    "customer.attributes['a'] if customer.city else '<'",
    "'<'",
    "'<'|safe",
    "order",
    "(1, '<')",
    "customer",
    "range(3)|list",
]
ONE_OF_EACH = (
    "{{% if customer.name %}}{{{{ {0} }}}}{{% endif %}}"
    "{{% for x in [{0}] %}}<td>{{{{ x }}}}</td>{{% else %}}-{{% endfor %}}"
    "{{% set y = {0} %}}{{% with z = y %}}{{{{ z }}}}{{% endwith %}}"
)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_means_on_the_wire_what_it_means_to_jinja(expression: str) -> None:
    email = compiled(page(f"<tr><td>{ONE_OF_EACH.format(expression)}</td></tr>"))
    data = message(name=HOSTILE, city="<杭州>", attributes={"a": HOSTILE})
    raw = email.compose(data)
    assert part(raw, "html") == email.render(data).html
    assert part(raw, "plain") == email.render(data).text


def test_a_value_cannot_open_a_tag() -> None:
    rows = "<tr><td title='{{ customer.name }}'>{{ customer.name }}{{ customer.city }}</td></tr>"
    email = compiled(page(rows))
    quiet = part(email.compose(message(name="x", city="y")), "html")
    loud = part(email.compose(message(name=HOSTILE, city="<script>")), "html")
    assert loud.count("<") == quiet.count("<")


@pytest.mark.parametrize(
    "rows",
    [
        "{% set _track = customer.name %}<tr><td>{{ _track }}</td></tr>",
        "<tr>{% for _view in [customer.name] %}<td>{{ _view }}</td>{% endfor %}</tr>",
        "<tr>{% with _unsubscribe = customer.name %}<td>{{ _unsubscribe }}</td>{% endwith %}</tr>",
    ],
)
def test_a_value_under_the_name_of_a_token_is_encoded_like_any_other(rows: str) -> None:
    email = compiled(page(rows))
    html = part(email.compose(message(name=HOSTILE)), "html")
    assert html == email.render(message(name=HOSTILE)).html
    assert "<b onload" not in html


@pytest.mark.parametrize("expression", ["x", "x|upper", "x|safe", "'a'", "_track ~ x", "[x]"])
def test_an_output_that_is_not_encoded_is_refused(expression: str) -> None:
    body = PLAIN.parse("{{ " + expression + " }}").body
    with pytest.raises(AssertionError, match="not encoded"):
        Program(wire_environment(PLAIN), body, lambda _: Position("x"))


def test_a_shop_cannot_name_the_filters_of_the_wire() -> None:
    assert WIRE_HTML not in PLAIN.filters
    assert WIRE_HTML in wire_environment(PLAIN).filters


def test_static_text_and_tokens_are_printed_in_as_few_pieces_as_there_are_values() -> None:
    body = PLAIN.parse("<p>{{ x }}={{ y }}</p>").body
    token = nodes.Output([nodes.Name(TRACK, "load", lineno=1)], lineno=1)
    program = Program(
        wire_environment(PLAIN), encode_ahead([*body, token], WIRE_HTML), lambda _: Position("x")
    )
    pieces = list(program.run({"x": "<", "y": "&", TRACK: "t" * 39}))
    assert pieces == [
        "<p>=\r\n",
        "&lt;=\r\n",
        "=3D=\r\n",
        "&amp;=\r\n",
        "</p>",
        "t" * 39,
        "=\r\n",
    ]
