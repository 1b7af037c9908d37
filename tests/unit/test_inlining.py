"""CSS is inlined once per template version, and only where that gives what inlining each message would give."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from premailer import Premailer

from engine.rendering.email import CompiledEmail, MessageData
from engine.rendering.environment import make_environment
from engine.rendering.inlining import DOCTYPE, canonical, inline, squeeze
from engine.tokens import Purpose
from tests.rendering_kit import (
    SIGNER,
    campaign,
    compiled,
    compiler,
    example_templates,
    message,
    page,
    part,
)

CSS = "td{color:#123456}.a{margin:1px}.female{margin:2px} td:first-child{padding:1px}"
CELL = '{% macro cell(x) %}<td class="a">{{ x }}</td>{% endmacro %}'
ITEMS: list[Mapping[str, object]] = [{"title": "龙井"}, {"title": "豆"}]
MESSAGES = [
    message(city="杭州", gender="female", items=ITEMS, tracked=False),
    message(name="<b>", gender="male", tracked=False),
]


def inlined_after(files: Mapping[str, str], data: MessageData) -> str:
    """What Jinja and premailer give, one after the other, for this very message."""
    paths = {f"templates/email/{name}": text for name, text in files.items()}
    template = make_environment(paths, "email", autoescape=True).get_template("news.html.j2")
    unsubscribe = f"https://m.tea.example/u/{SIGNER.sign(Purpose.UNSUBSCRIBE, data.delivery)}"
    values = {"customer": data.customer, "items": data.items, "links": {"unsubscribe": unsubscribe}}
    return canonical(inline(template.render(values)))


def same_as_inlined_after(rows: str) -> CompiledEmail:
    files = {"news.html.j2": page(rows, css=CSS), "cell.j2": CELL}
    email = compiled(files)
    for data in MESSAGES:
        assert canonical(email.render(data).html) == inlined_after(files, data)
        assert canonical(part(email.compose(data), "html")) == inlined_after(files, data)
    return email


@pytest.mark.parametrize(
    "rows",
    [
        "<tr><td>{{ customer.name }}</td></tr>",
        "{% for item in items %}<tr><td>{{ item.title }}</td></tr>{% else %}<tr><td>-</td></tr>{% endfor %}",
        "{% if customer.city %}<tr><td class='a'>x</td></tr>{% else %}<tr><td>y</td></tr>{% endif %}",
        '<tr><td title="{{ customer.name }}">x</td></tr>',
        "{% set x = customer.name %}<tr><td>{{ x }}</td></tr>",
        CELL + "<tr>{{ cell(customer.name) }}</tr>",
        "<tr><td>{% filter upper %}a{{ customer.name }}{% endfilter %}</td></tr>",
    ],
)
def test_an_ordinary_template_is_inlined_ahead(rows: str) -> None:
    assert not same_as_inlined_after(rows).inlines_after


@pytest.mark.parametrize(
    "rows",
    [
        '<tr><td {% if customer.city %}class="a"{% endif %}>x</td></tr>',
        '<tr><td class="{% if customer.city %}a{% endif %}">x</td></tr>',
        '<tr><td class="{{ customer.gender }}">x</td></tr>',
        '<tr>{% if customer.city %}<td>{% else %}<td class="a">{% endif %}x</td></tr>',
        '{% from "cell.j2" import cell %}<tr>{{ cell(customer.name) }}</tr>',
        '<tr>{% if customer.city %}<td class="a">x</td>{% endif %}<td>y</td></tr>',
        '<tr><td class="a" style="width:{{ 5 }}px">x</td></tr>',
    ],
)
def test_a_template_that_would_come_out_differently_is_inlined_message_by_message(
    rows: str,
) -> None:
    assert same_as_inlined_after(rows).inlines_after


def test_the_shops_own_templates_are_all_inlined_ahead() -> None:
    files = {
        path.removeprefix("templates/email/"): text
        for path, text in example_templates().items()
        if "/email/" in path
    }
    for name in ("promotion", "winback", "birthday", "thanks", "order-update", "review"):
        definition = campaign(template=name)
        made = compiler(files, definition)
        for language in made.languages(definition.steps[0]):
            assert not made.compile(definition.steps[0], language).inlines_after, (name, language)


def test_media_rules_stay_in_one_style_and_important_is_kept() -> None:
    css = ".a{color:red !important} @media (max-width:600px){.a{width:100%}} .b{margin:0} @media print{.b{margin:1px}}"
    html = inline(
        f'<!doctype html><html><head><style>{css}</style></head><body><p class="a">x</p></body></html>'
    )
    assert html.startswith("<!DOCTYPE html>\n<html>")
    assert html.count("<style") == 1
    assert "@media (max-width: 600px)" in html
    assert "@media print" in html
    assert 'style="color:red !important"' in html


def test_a_style_sheet_that_is_read_once_gives_every_document_what_premailer_gives() -> None:
    css = (
        "td,.a:hover,#b .a{color:red !important;margin:1px} a:visited{color:blue} "
        "@media (max-width:600px){.a{width:100%;width:90% !important} /* x */} @media print{td{margin:0}}"
    )
    head = f"<html><head><style>{css}</style></head><body>"
    for body in (
        "<p class='a'>x</p>",
        "<table><tr><td id='b'><i class='a'>y</i></td></tr></table>",
    ):
        html = f"{DOCTYPE}\n{head}{body}</body></html>"
        whole = Premailer(
            html, strip_important=False, disable_validation=True, allow_network=False
        ).transform(pretty_print=False)
        assert canonical(inline(html)) == canonical(whole)


def test_nothing_is_fetched_from_the_network() -> None:
    html = inline(
        '<html><head><link rel="stylesheet" href="http://127.0.0.1:9/x.css"></head><body>a</body></html>'
    )
    assert "x.css" in html


def test_white_space_is_squeezed_unless_it_means_something() -> None:
    assert squeeze("<p>\n   a\n\n</p>") == "<p>\na\n</p>\n"
    assert squeeze("<pre>\n   a</pre>") == "<pre>\n   a</pre>"
