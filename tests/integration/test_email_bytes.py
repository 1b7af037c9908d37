"""Figure 15 in short form: hostile customer fields, and the bytes read by a second parser."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import RenderingError
from engine.rendering.environment import legible
from tests.rendering_kit import campaign, compiled, message, page, parse, part

ROWS = (
    '<tr><td title="{{ customer.address }}">{{ customer.name }}, {{ customer.city }}</td></tr>'
    "{% for item in items %}<tr><td>{{ item.title }}</td></tr>{% endfor %}"
    '{% if customer.province %}<tr><td><a href="https://tea.example/{{ customer.province }}">x</a></td></tr>{% endif %}'
)
SUBJECT = "{{ customer.name }}，{{ customer.city }}专享"
EMAIL = compiled(page(ROWS), campaign(SUBJECT))
LATE = compiled(
    page(ROWS.replace("<td>", '<td class="{{ customer.gender }}">'), css=".female{margin:0}"),
    campaign(SUBJECT),
)
HEADERS = list(parse(EMAIL.compose(message())).keys())
PIECES = [
    "\r\nBcc: x@y.example", "\n", "\r", "\x00", "\x0b", "\x85", "\u2028", "=?UTF-8?Q?=0A?=Bcc: x@y",
    "=?utf-8?b?DQpCY2M6IHhAeQ==?=", "\u202e\u2066", "🍵👨‍👩‍👧", "{{ 7*7 }}", "{% raw %}", "{# #}", "zqj0jqz",
    "<!--zqj1jqz-->", "<script>alert(1)</script>", "\"' onload=x ", "&amp;<b>", "--=_yanshu_part--", ".", "\r\n.\r\n",
    "..", "." * 60, ".\n" * 40, "." + "茶" * 30, "a" * 75 + ".", "\n" + "." * 80 + "a", "=", "=\r\n", "\t ", "名" * 3000, "A" * 10_000, "\ud800", "\udfff", ",;<>@()[]", "<evil@y.example>", "é" * 70,
]  # fmt: skip
hostile = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=4).map("".join),
    st.text(st.characters(), max_size=200),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=5).map("".join),
)


def check(raw: bytes, name: str, city: str) -> None:
    assert raw.isascii()
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\x00" not in raw
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    body = raw.split(b"\r\n\r\n", 1)[1]
    assert max(map(len, body.split(b"\r\n"))) <= 76
    parsed = parse(raw)
    assert list(parsed.keys()) == HEADERS
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]
    assert [address.addr_spec for address in parsed["To"].addresses] == ["li@mail.example"]
    assert not parsed.defects
    for header in ("To", "Subject"):
        assert not any(ord(character) < 32 for character in str(parsed[header]))
    assert "49" not in str(parsed["Subject"]) or "49" in name + city


def test_one_of_the_two_templates_is_inlined_message_by_message() -> None:
    assert (EMAIL.inlines_after, LATE.inlines_after) == (False, True)
    assert (EMAIL.is_plain, LATE.is_plain) == (True, False)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(hostile, hostile, hostile, hostile)
def test_hostile_fields_add_no_header_no_long_line_and_run_no_template(
    name: str, city: str, address: str, title: str
) -> None:
    data = message(name=name, city=city, address=address, province=title, items=[{"title": title}])
    raw = EMAIL.compose(data)
    check(raw, name, city)
    assert b"\r\n." not in raw  # so is_plain promises
    assert raw.endswith(b"\r\n")
    rendered = EMAIL.render(data)
    assert part(raw, "html") == rendered.html
    assert part(raw, "plain") == rendered.text
    assert parse(raw)["Subject"] == rendered.subject
    escaped = legible(name).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert escaped.replace('"', "&#34;").replace("'", "&#39;") in rendered.html
    assert "<script>" not in rendered.html
    late = LATE.compose(data)
    check(late, name, city)
    assert part(late, "plain") == rendered.text


def test_every_hostile_piece_in_every_field_survives_dot_stuffing() -> None:
    random.seed(15)
    for name, city in itertools.islice(itertools.product(PIECES, PIECES), 0, None, 7):
        raw = EMAIL.compose(message(name=name, city=city, province=random.choice(PIECES)))
        check(raw, name, city)
        assert b"\r\n." not in raw
        stuffed = b"\r\n".join(
            b"." + line if line[:1] == b"." else line for line in raw.split(b"\r\n")
        )
        assert b"\r\n.\r\n" not in stuffed
        unstuffed = b"\r\n".join(
            line[1:] if line[:1] == b"." else line for line in stuffed.split(b"\r\n")
        )
        assert unstuffed == raw


@pytest.mark.parametrize(
    "address", ["x@y.example\r\nBcc: z@y.example", "=?utf-8?q?a=0A?=@y", "", "a,b@c.example"]
)
def test_an_address_that_is_none_holds_the_message_back(address: str) -> None:
    with pytest.raises(RenderingError, match="cannot be an email address"):
        EMAIL.compose(message(email=address))


@pytest.mark.parametrize("identity", ["<a@b>\r\nBcc: x@y", "", "<=?a?=\x00>"])
def test_an_impossible_message_id_holds_the_message_back(identity: str) -> None:
    with pytest.raises(RenderingError, match="cannot be a Message-ID"):
        EMAIL.compose(message()._replace(message_id=identity))
