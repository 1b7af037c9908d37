"""Headers and quoted-printable: whatever the data, lines stay short and what is read is what was written."""

from __future__ import annotations

import email.header
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import nodes

from engine.errors import ConfigurationError, Position
from engine.rendering.environment import legible, make_environment
from engine.rendering.headers import check_address, mailbox, parse_sender, unstructured
from engine.rendering.links import TRACK
from engine.rendering.program import Program
from engine.rendering.quoted_printable import (
    encode,
    encode_ahead,
    encode_html_value,
    encode_value,
)

ANY = st.text(
    st.one_of(st.characters(), st.sampled_from("=. \t\r\n茶🍵<&\"'\x00\ud800")), max_size=300
) | st.text("ab= \n", min_size=70, max_size=160)
ENVIRONMENT = make_environment({}, "email", autoescape=False).overlay(finalize=None)
ENVIRONMENT.filters["wire_text"] = encode_value
TOKEN = "a" * 39


def normal(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode()


def decoded(wire: str) -> str:
    assert wire.isascii()
    assert all(len(line) <= 76 for line in wire.split("\r\n"))
    assert "\r" not in wire.replace("\r\n", "")
    assert "\n" not in wire.replace("\r\n", "")
    assert not any(line.endswith((" ", "\t")) for line in wire.split("\r\n"))
    return quopri.decodestring(wire.encode()).decode().replace("\r\n", "\n")


def output(child: nodes.Expr) -> nodes.Output:
    return nodes.Output([child], lineno=1)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[list[nodes.Node], str, dict[str, str]]:
    """A template of text, values, tokens and branches; what it prints; its values."""
    body: list[nodes.Node] = []
    printed, values = "", {TRACK: TOKEN}
    for index in range(draw(st.integers(0, 6))):
        text, kind = draw(ANY), draw(st.sampled_from(["text", "value", "token", "yes", "no"]))
        plain = output(nodes.TemplateData(text.encode("utf-8", "replace").decode(), lineno=1))
        if kind == "value":
            values[f"v{index}"], text = text, legible(text)
            body.append(output(nodes.Name(f"v{index}", "load", lineno=1)))
        elif kind == "token":
            body.append(output(nodes.Name(TRACK, "load", lineno=1)))
            text = TOKEN
        elif kind == "text":
            body.append(plain)
        else:
            test = nodes.Const(kind == "yes", lineno=1)
            body.append(nodes.If(test, [plain], [], [], lineno=1))
            text = text if kind == "yes" else ""
        printed += normal(text)
    return body, printed, values


@given(bodies())
def test_a_template_encoded_ahead_decodes_to_what_it_would_print(
    case: tuple[list[nodes.Node], str, dict[str, str]],
) -> None:
    body, printed, values = case
    program = Program(ENVIRONMENT, encode_ahead(body, "wire_text"), lambda _: Position("x"))
    assert decoded(program.render(values)) == printed
    whole = encode(printed)
    assert decoded(whole) == printed


@given(ANY)
def test_a_text_encoded_whole_decodes_to_itself(text: str) -> None:
    assert decoded(encode(text)) == normal(text)


def test_a_value_is_escaped_once_and_what_is_safe_is_not() -> None:
    from markupsafe import Markup

    assert encode_html_value("<茶>") == "&lt;=E8=8C=B6&gt;=\r\n"
    assert encode_html_value(Markup("<b>")) == "<b>=\r\n"
    assert [encode_html_value(None), encode_html_value(""), encode_html_value(7)] == [
        "",
        "",
        "7=\r\n",
    ]


@given(ANY)
def test_a_subject_is_one_header_on_short_lines_and_reads_as_written(text: str) -> None:
    value = unstructured(text)
    lines = f"Subject: {value}".split("\r\n")
    assert all(len(line) <= 76 for line in lines)
    assert all(line.startswith(" ") for line in lines[1:])
    assert value.isascii()
    assert not set(value.replace("\r\n ", "")) & set("\r\n\x00")
    read = "".join(
        piece.decode(charset or "ascii") if isinstance(piece, bytes) else piece
        for piece, charset in email.header.decode_header(value)
    )
    assert read.isprintable() or not text.isprintable()
    if text.isprintable() and len(text) <= 250:
        assert read == text.strip()


@given(ANY)
def test_a_name_cannot_leave_its_header_or_add_an_address(name: str) -> None:
    value = mailbox(name, "a@b.example")
    assert value.endswith("<a@b.example>")
    assert value.count("<") == 1
    assert value.isascii()
    assert all(len(line) <= 76 for line in f"From: {value}".split("\r\n"))
    assert not set(value.replace("\r\n ", "")) & set('\r\n\x00,;"()')


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "a@b\r\nBcc: x@y",
        "a b@c",
        "<a@b>",
        "a@b, c@d",
        "=?utf-8?q?a?=@b",
        "李@b.example",
        "a@b..c",
        "a@b\n",
    ],
)
def test_an_address_that_hides_something_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="cannot be an email address"):
        check_address(address)


def test_a_sender_has_a_name_and_an_address_or_an_address_alone() -> None:
    assert parse_sender("店铺 <hi@shop.example>", "x") == ("店铺", "hi@shop.example")
    assert parse_sender('"Tea, Ltd" <hi@shop.example>', "x") == ("Tea, Ltd", "hi@shop.example")
    assert parse_sender("hi@shop.example", "x") == ("", "hi@shop.example")
    for wrong in ("店铺", "a <b", "x <a b@c>"):
        with pytest.raises(ConfigurationError, match=r"^here: "):
            parse_sender(wrong, "here")
