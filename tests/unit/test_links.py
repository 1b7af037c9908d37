"""Links: numbered once for all languages, named by their label, personal targets under a seal, nothing else redirected."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from engine.errors import RenderingError
from engine.rendering.links import TrackedLink
from engine.tokens import Purpose
from tests.rendering_kit import SIGNER, campaign, compiled, compiler, message, page, part

DELIVERY = "0123456789abcdef0123"
TOKEN = SIGNER.sign(Purpose.TRACK, DELIVERY)
BASE = "https://m.tea.example"


def hrefs(html: str) -> list[str]:
    from selectolax.lexbor import LexborHTMLParser

    return [node.attributes["href"] or "" for node in LexborHTMLParser(html).css("a")][:-1]


def cell(content: str) -> str:
    return page(f"<tr><td>{content}</td></tr>")


def test_a_link_is_counted_and_its_label_does_not_reach_the_customer() -> None:
    email = compiled(cell('<a data-label="coffee" href="https://tea.example/c?a=1&amp;b=2">c</a>'))
    assert email.links == (
        TrackedLink(1, "https://tea.example/c?a=1&b=2", "coffee", personal=False),
    )
    html = email.render(message()).html
    assert hrefs(html) == [f"{BASE}/c/{TOKEN}/1"]
    assert "data-label" not in html


def test_one_link_keeps_its_number_over_languages_steps_and_repetitions() -> None:
    link = '<a href="https://a.example/">a</a>'
    other = '<a href="https://b.example/">b</a>'
    labelled = '<a href="https://a.example/" data-label="x">a</a>'
    files = {"news.html.j2": cell(link + other + link), "news.en.html.j2": cell(other + labelled)}
    definition = campaign()
    for order in (("zh", "en"), ("en", "zh")):
        made = compiler(files, definition)
        found = {lang: made.compile(definition.steps[0], lang) for lang in order}
        assert [one.number for one in found["zh"].links] == [1, 2]
        assert [one.number for one in found["en"].links] == [2, 3]
        assert [one.number for one in made.links] == [1, 2, 3]


def test_a_personal_target_rides_under_a_seal_that_verifies() -> None:
    email = compiled(
        cell(
            '<a href="https://tea.example/o/{{ customer.id }}?n={{ customer.name|urlencode }}">o</a>'
        )
    )
    assert (
        email.links[0].url
        == "https://tea.example/o/{{ customer.id }}?n={{ customer.name|urlencode }}"
    )
    assert email.links[0].personal
    address = urlsplit(hrefs(email.render(message(ref="a b&c#")).html)[0])
    query = parse_qs(address.query)
    assert address.path == f"/c/{TOKEN}/1"
    assert query["to"] == ["https://tea.example/o/a%20b&c#?n=%E6%9D%8E%E9%9B%B7"]
    assert SIGNER.is_sealed(query["s"][0], DELIVERY, 1, query["to"][0])


def test_the_same_links_stand_in_the_text_part() -> None:
    email = compiled(
        cell(
            '<a href="https://a.example/">甲</a><a href="https://b.example/{{ customer.id }}">乙</a>'
        )
    )
    text = email.render(message()).text
    assert f"甲: {BASE}/c/{TOKEN}/1" in text
    assert f"乙: {BASE}/c/{TOKEN}/2?to=https%3A%2F%2Fb.example%2F42&s=" in text
    assert part(email.compose(message()), "plain") == text


def test_addresses_of_the_shop_are_constants_and_not_personal() -> None:
    email = compiled(cell('<a href="{{ shop.url }}/tea">t</a>'))
    assert email.links == (TrackedLink(1, "https://tea.example/tea", None, personal=False),)


@pytest.mark.parametrize("href", ["mailto:a@b.example", "tel:+861", "#top"])
def test_what_is_no_page_is_left_alone(href: str) -> None:
    email = compiled(cell(f'<a href="{href}">x</a>'))
    assert email.links == ()
    assert hrefs(email.render(message()).html) == [href]


def test_unsubscribe_and_view_have_tokens_of_their_own_and_are_not_counted() -> None:
    email = compiled(
        cell('<a href="{{ links.view }}">v</a><a href="{{ links["unsubscribe"] }}">u</a>')
    )
    assert email.links == ()
    view, unsubscribe = (
        SIGNER.sign(purpose, DELIVERY) for purpose in (Purpose.VIEW, Purpose.UNSUBSCRIBE)
    )
    assert hrefs(email.render(message()).html) == [f"{BASE}/v/{view}", f"{BASE}/u/{unsubscribe}"]


def test_the_pixel_stands_before_the_end_of_the_body() -> None:
    html = compiled(cell("x")).render(message()).html
    assert f'<img src="{BASE}/o/{TOKEN}.gif" width="1" height="1" alt=""' in html
    assert html.index("/o/") < html.index("</body>")


def test_a_preview_leads_straight_to_the_targets_and_has_no_pixel() -> None:
    email = compiled(
        cell(
            '<a href="https://a.example/?x=1&amp;y">a</a><a href="https://b.example/{{ customer.id }}">b</a>'
        )
    )
    rendered = email.render(message(tracked=False))
    assert hrefs(rendered.html) == ["https://a.example/?x=1&y", "https://b.example/42"]
    assert "/o/" not in rendered.html + rendered.text
    assert "a: https://a.example/?x=1&y" in rendered.text
    assert part(email.compose(message(tracked=False)), "html") == rendered.html


@pytest.mark.parametrize(
    ("href", "message_part"),
    [
        ("javascript:alert(1)", "must not lead to javascript:"),
        ("JavaScript:alert({{ customer.id }})", "must not lead to javascript:"),
        ("data:text/html,x", "must not lead to data:"),
        ("/tea", "no page that"),
        ("{% if customer.name %}https://a.example{% endif %}", "put the condition around"),
        ("x{{ customer.id }}", "starts with https://"),
    ],
)
def test_a_link_that_must_not_be_sent_is_an_error_with_its_place(
    href: str, message_part: str
) -> None:
    with pytest.raises(RenderingError, match=message_part) as caught:
        compiled(cell(f'\n  <a href="{href}">x</a>'))
    assert caught.value.position is not None
    assert (caught.value.position.line, caught.value.position.column) == (3, 3)


@pytest.mark.parametrize(
    "target", ["javascript:alert(1)", "//evil.example", "", " data:text/html,1"]
)
def test_data_cannot_make_a_link_lead_to_a_script(target: str) -> None:
    email = compiled(cell('<a href="{{ customer.address }}">x</a>'))
    with pytest.raises(RenderingError, match="no http"):
        email.render(message(address=target))
    with pytest.raises(RenderingError, match="no http"):
        email.compose(message(address=target))


def test_a_link_in_a_comment_is_no_link() -> None:
    assert compiled(cell('<!-- <a href="javascript:x">x</a> -->')).links == ()
