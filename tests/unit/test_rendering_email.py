"""Compiled emails: subject, languages, text part, constants, errors with their place."""

from __future__ import annotations

import pytest

from engine.errors import ConfigurationError, Position, RenderingError
from engine.rendering.samples import samples
from engine.settings import Settings, SmtpSettings
from tests.rendering_kit import (
    SETTINGS,
    campaign,
    compiled,
    compiler,
    example_templates,
    message,
    page,
    parse,
    part,
)

ORDER = {"ref": "A-1", "status": "shipped", "currency": "CNY", "amount": 25600}


def test_subject_and_preheader_are_templates_and_reach_the_html_escaped() -> None:
    definition = campaign(
        "{{ customer.name }} & Co", preheader="<{{ shop.name }}> {% if customer.city %}!{% endif %}"
    )
    rows = "<tr><td>{{ subject }}|{{ preheader }}|{{ preheader|length }}</td></tr>"
    email = compiled(page(rows), definition).render(message(name="<李>"))
    assert email.subject == "<李> & Co"
    assert "&lt;李&gt; &amp; Co|&lt;山海 &amp; 茶&gt; |9" in email.html


def test_a_language_is_chosen_and_compiled_once() -> None:
    files = {
        "news.html.j2": page("<tr><td>中</td></tr>"),
        "news.en.html.j2": page("<tr><td>English</td></tr>"),
    }
    definition = campaign()
    made = compiler(files, definition)
    step = definition.steps[0]
    assert made.languages(step) == ("", "en")
    assert made.compile(step, "en-GB") is made.compile(step, "en")
    assert "English" in made.compile(step, "en").render(message()).html
    assert made.compile(step, None) is made.compile(step, "zh")


def test_the_text_part_has_links_pictures_and_rows() -> None:
    rows = (
        '<tr><td><h1>标题</h1><p>第一段<br>换行&nbsp;&amp;</p><img src="x" alt="一壶茶"></td></tr>'
        "{% for item in items %}<tr><td>{{ item.title }}</td><td>{{ item.price|money }}</td></tr>{% endfor %}"
        "{% if customer.city %}<tr><td>{{ customer.city }}</td></tr>{% endif %}"
        '<tr><td><div style="display:none">隐</div><ul><li>甲</li><li>乙</li></ul><a href="tel:+861">电话</a></td></tr>'
    )
    email = compiled(page(rows))
    text = email.render(
        message(items=[{"title": "龙井", "price": 16800}], city="杭州", tracked=False)
    ).text
    assert (
        text.split("x: http")[0]
        == "标题\n\n第一段\n换行 &\n\n一壶茶\n龙井  ¥168\n杭州\n\n- 甲\n- 乙\n\n电话: +861\n\n"
    )
    assert "\n\n\n" not in email.render(message()).text


def test_an_authors_own_text_part_wins_and_inherits_too() -> None:
    files = {
        "news.html.j2": page("<tr><td>html</td></tr>"),
        "news.txt.j2": "{% extends 'frame.txt.j2' %}{% block a %}{{ customer.name }} & {{ shop.name }}{% endblock %}",
        "frame.txt.j2": "«{% block a %}{% endblock %}» {{ links.unsubscribe }}\n",
    }
    email = compiled(files)
    text = email.render(message(name="<李>")).text
    assert text.startswith("«<李> & 山海 & 茶» https://m.tea.example/u/")
    assert part(email.compose(message(name="<李>")), "plain") == text


BUTTON = (
    "{% macro row(label, value) %}<tr><td><b>{{ label }}</b></td><td>{{ value }}<br>"
    '<a href="https://tea.example/?a=1&amp;b=2">去</a></td></tr>{% endmacro %}'
)
ROWS = "{{ row('名', customer.name) }}{{ row('城', customer.city) }}"


@pytest.mark.parametrize(
    "files",
    [
        {"news.html.j2": page(BUTTON + ROWS)},
        {"news.html.j2": page("{% from 'row.j2' import row %}" + ROWS), "row.j2": BUTTON},
        {
            "news.html.j2": "{% extends 'base.html.j2' %}"
            + BUTTON
            + "{% block a %}"
            + ROWS
            + "{% endblock %}",
            "base.html.j2": page("{% block a %}{% endblock %}"),
        },
        {
            "news.html.j2": page(
                BUTTON + "{% set rows %}" + ROWS + "{% endset %}{{ rows }}", css=".a{margin:0}"
            )
        },
    ],
)
def test_what_a_macro_writes_is_plain_text_in_the_text_part(files: dict[str, str]) -> None:
    email = compiled(files)
    hostile = "<b>&lt;zqj0jqz<!--zqj1jqz--></b>\n{{ 1 }}"
    data = message(name=hostile, city="杭州", tracked=False)
    text = email.render(data).text
    link = "去: https://tea.example/?a=1&b=2"
    name = hostile.replace("\n", " ")
    assert text.startswith(f"名  {name}\n{link}\n城  杭州\n{link}\n\nx: https://m.tea.example/u/")
    assert part(email.compose(data), "plain") == text


@pytest.mark.parametrize(
    "rows",
    [
        "<tr><td>{{ customer.name }} {{ customer.id }}</td></tr>",
        "{% macro m(x) %}<td>{{ x }}=</td>{% endmacro %}<tr>{{ m(customer.name) }}</tr>",
        '<tr><td class="{{ customer.gender }}">{{ customer.name }}</td></tr>',
        "{% set t %}a={{ customer.name }}{% endset %}<tr><td>{{ t }}</td></tr>",
        "{% for item in items recursive %}<tr><td>{{ item.title }}</td></tr>{% endfor %}",
    ],
)
@pytest.mark.parametrize("tracked", [True, False])
def test_what_is_sent_is_what_is_rendered_whichever_way_it_is_made(
    rows: str, tracked: bool
) -> None:
    email = compiled(page(rows, css=".female{margin:1px}"))
    data = message(
        name="<李=雷>\n." + "长" * 50, gender="female", items=[{"title": "x"}], tracked=tracked
    )
    rendered = email.render(data)
    raw = email.compose(data)
    assert part(raw, "html") == rendered.html
    assert part(raw, "plain") == rendered.text


def test_the_shops_own_templates_say_the_same_on_the_wire_in_every_language() -> None:
    files = {
        path.removeprefix("templates/email/"): text
        for path, text in example_templates().items()
        if "/email/" in path
    }
    for name in ("promotion", "winback", "birthday", "thanks", "order-update", "review"):
        definition = campaign("{{ customer.name }}", template=name)
        made = compiler(files, definition)
        for language in made.languages(definition.steps[0]):
            email = made.compile(definition.steps[0], language)
            for data in samples():
                if name != "order-update" or data.order:
                    raw, rendered = email.compose(data), email.render(data)
                    assert part(raw, "html") == rendered.html
                    assert part(raw, "plain") == rendered.text
                    assert len(rendered.html.encode()) < 12_000


def test_an_error_names_the_file_and_line_of_the_template_that_made_it() -> None:
    files = {
        "news.html.j2": "{% extends 'base.html.j2' %}\n{% block a %}\n{{ order.id }}{% endblock %}",
        "base.html.j2": page("<tr><td>\n{% block a %}{% endblock %}\n{{ order.status }}</td></tr>"),
    }
    email = compiled(files)
    for made in (email.render, email.compose):
        with pytest.raises(RenderingError) as caught:
            made(message())
        assert caught.value.position == Position("templates/email/news.html.j2", 3)
        assert caught.value.delivery == "0123456789abcdef0123"
    with pytest.raises(RenderingError) as caught:
        compiled({**files, "news.html.j2": files["base.html.j2"]}).compose(message())
    assert caught.value.position == Position("templates/email/news.html.j2", 4)


def test_an_error_in_the_subject_names_the_definition() -> None:
    with pytest.raises(RenderingError, match=r"campaigns/news\.yaml:7:5: .*nmae"):
        compiled(page(""), campaign("{{ customer.nmae }}")).compose(message())
    with pytest.raises(RenderingError, match=r"campaigns/news\.yaml:7:5: "):
        compiled(page(""), campaign("{{ customer."))


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"news.html.j2": "a\n{% if %}"}, "templates/email/news.html.j2:2:1"),
        (
            {"news.html.j2": "a\n{% extends 'gone' %}"},
            "templates/email/news.html.j2:2:1: there is no template 'gone'",
        ),
        ({"news.html.j2": "\n{% include 'gone' %}"}, "templates/email/news.html.j2:2:1"),
        ({"other.html.j2": ""}, "campaigns/news.yaml:7:5"),
    ],
)
def test_a_template_that_cannot_be_read_is_an_error_with_its_place(
    files: dict[str, str], place: str
) -> None:
    with pytest.raises(RenderingError) as caught:
        compiled(files)
    assert str(caught.value).startswith(place)


def test_headers_depend_on_the_class() -> None:
    def headers(kind: str) -> list[str]:
        definition = campaign("s", kind)  # type: ignore[arg-type]
        return list(parse(compiled(page(""), definition).compose(message())).keys())

    always = ["From", "To", "Subject", "Date", "Message-ID", "X-Delivery-Id"]
    mime = ["MIME-Version", "Content-Type"]
    listed = ["List-Unsubscribe", "List-Unsubscribe-Post", "List-Id"]
    assert headers("marketing") == [*always, *listed, *mime]
    assert headers("care") == [*always, *listed, "Auto-Submitted", *mime]
    assert headers("transactional") == [*always, *mime]


def test_headers_say_who_when_and_how_to_leave() -> None:
    parsed = parse(compiled(page(""), campaign("老友专享")).compose(message()))
    assert parsed["From"] == "山海茶铺 <hi@tea.example>"
    assert parsed["To"] == "李雷 <li@mail.example>"
    assert parsed["Subject"] == "老友专享"
    assert parsed["Date"] == "Mon, 09 Nov 2026 02:00:00 +0000"
    assert parsed["Message-ID"] == "<1@m.tea.example>"
    assert parsed["X-Delivery-Id"] == "0123456789abcdef0123"
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert parsed["List-Id"] == "<marketing.m.tea.example>"
    assert str(parsed["List-Unsubscribe"]).startswith("<https://m.tea.example/u/")


def test_a_definition_may_have_a_sender_of_its_own_and_none_at_all_is_a_configuration_mistake() -> (
    None
):
    own = compiled(page(""), campaign("s", sender="年货 <nh@tea.example>"))
    assert parse(own.compose(message()))["From"] == "年货 <nh@tea.example>"
    bare = Settings(public_url="http://127.0.0.1:8025", smtp=SmtpSettings())
    definition = campaign()
    email = compiler(page(""), definition, bare).compile(definition.steps[0], None)
    assert email.render(message()).subject == "你好"
    with pytest.raises(ConfigurationError, match=r"smtp\.sender is missing"):
        email.compose(message())


def test_a_list_has_the_senders_domain_where_links_lead_to_a_bare_address() -> None:
    local = SETTINGS.model_copy(update={"public_url": "http://127.0.0.1:8025"})
    definition = campaign()
    email = compiler(page(""), definition, local).compile(definition.steps[0], None)
    assert parse(email.compose(message()))["List-Id"] == "<marketing.tea.example>"
