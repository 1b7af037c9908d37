"""Lint of templates: each rule of how an email must look, with file, line and column."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from engine.definitions.campaign import Campaign, Care, MessageClass, SmsContent, Step, Trigger
from engine.definitions.loader import Definitions, load
from engine.definitions.policy_file import DEFAULT_POLICY
from engine.definitions.segment import EVERYONE
from engine.definitions.values import Duration
from engine.errors import Position, Problem
from engine.rendering.lint import check_templates
from tests.rendering_kit import SETTINGS, campaign, example_templates, page

EMAIL = "templates/email/news.html.j2"
SMS = "templates/sms/hi.txt.j2"
GOOD = page('<tr><td style="background-color:#e4eadf">好茶上新 {{ customer.name }}</td></tr>')
HERE = Position("care/hi.yaml")


def project(files: Mapping[str, str], *sendable: Campaign | Care) -> Definitions:
    return Definitions(
        policy=DEFAULT_POLICY,
        campaigns={one.id: one for one in sendable if isinstance(one, Campaign)},
        care={one.id: one for one in sendable if isinstance(one, Care)},
        segments={},
        files=files,
    )


def lint(text: str, *, message_class: MessageClass = "marketing", **files: str) -> list[Problem]:
    definition = campaign(message_class=message_class)
    return check_templates(project({EMAIL: text, **files}, definition), SETTINGS)


def codes(text: str) -> set[str]:
    return {problem.code for problem in lint(text)}


def care(sms_class: MessageClass = "care", max_parts: int | None = None) -> Care:
    content = SmsContent(template="hi", position=HERE, max_parts=max_parts)
    step = Step(id="main", channels=("sms",), email=None, sms=content, position=HERE)
    trigger = Trigger(
        kind="order", status="shipped", delay=None, after=None, time=None, grace=Duration(2, "d"),
        position=HERE,
    )  # fmt: skip
    return Care(
        id="hi", kind="care", message_class=sms_class, priority=50, audience=EVERYONE,
        uses=frozenset(), steps=(step,), on_uncertain="leave", position=HERE, lines={},
        trigger=trigger,
    )  # fmt: skip


def lint_sms(text: str, definition: Care | None = None) -> list[Problem]:
    return check_templates(project({SMS: text}, definition or care()), SETTINGS)


def test_a_good_template_has_no_problem() -> None:
    assert lint(GOOD) == []


def test_the_shops_own_templates_have_no_problem() -> None:
    used = [campaign(template="promotion")]
    assert check_templates(project(example_templates(), *used), SETTINGS) == []


@pytest.mark.parametrize(
    ("width", "wrong"),
    [("599", True), ("600", False), ("650", False), ("651", True), ("100%", True), ("", True)],
)
def test_the_main_table_is_600_to_650_pixels_wide(width: str, wrong: bool) -> None:
    text = GOOD.replace('width="640"', f'width="{width}"')
    assert ("width" in codes(text)) is wrong
    styled = text.replace(f'width="{width}"', "style='max-width:640px'")
    assert "width" not in codes(styled)


def test_width_is_also_found_in_the_style_sheet() -> None:
    text = GOOD.replace('width="640"', 'class="main"').replace(
        "<style>", "<style>.main{width:900px}"
    )
    assert [str(problem) for problem in lint(text)] == [
        f"{EMAIL}:2:76: the main table is 900 pixels wide; make it 600 to 650 [width]"
    ]


def test_a_template_that_pulls_in_what_is_not_there_is_told_where_it_stands() -> None:
    files = {EMAIL: "\n{% extends 'bsae.html.j2' %}", "templates/email/base.html.j2": GOOD}
    email = check_templates(project(files, campaign()), SETTINGS)
    said = "there is no template 'bsae.html.j2'; did you mean 'base.html.j2'? [template-syntax]"
    assert [str(one) for one in email] == [f"{EMAIL}:2:1: {said}"]
    missing, itself = (
        lint_sms("好\n{% include 'ho.txt.j2' %}"),
        lint_sms("{% include 'hi.txt.j2' %}"),
    )
    said = "there is no template 'ho.txt.j2'; did you mean 'hi.txt.j2'? [template-syntax]"
    assert [str(one) for one in missing] == [f"{SMS}:2:1: {said}"]
    assert [one.position for one in itself] == [Position(SMS, 1, 1)]
    assert "includes itself" in itself[0].message


def test_every_picture_has_an_alt_text() -> None:
    text = GOOD.replace(
        "好茶上新",
        '好茶上新\n  <img src="https://a.example/x.png">好茶上新好茶上新好茶上新好茶上新<img alt="" src="y">',
    )
    assert [str(problem) for problem in lint(text)] == [
        f'{EMAIL}:3:3: a picture needs an alt text (alt="" for mere decoration) [missing-alt]'
    ]


@pytest.mark.parametrize(
    ("message_class", "wrong"), [("marketing", True), ("care", True), ("transactional", False)]
)
def test_marketing_and_care_need_an_unsubscribe_link(
    message_class: MessageClass, wrong: bool
) -> None:
    found = lint(
        GOOD.replace("{{ links.unsubscribe }}", "https://a.example"), message_class=message_class
    )
    assert {problem.code for problem in found} == ({"missing-unsubscribe"} if wrong else set())


def test_pictures_alone_and_text_alone_are_signs_of_spam() -> None:
    picture = page('<tr><td><img src="https://a.example/x.png" alt="x" height="900"></td></tr>')
    assert codes(picture) == {"image-only"}
    assert (
        codes(picture.replace("</td>", "这里有足够多的文字可以读，没有图片也能看懂。</td>"))
        == set()
    )
    words = page("<tr><td>只有文字，没有别的。</td></tr>")
    assert codes(words) == {"text-only"}
    mild = lint(words, message_class="transactional")
    assert [(one.code, one.severity) for one in mild] == [("text-only", "warning")]


@pytest.mark.parametrize("colour", ["#ff0000", "#f40", "red", "rgb(255, 102, 0)", "orange"])
def test_a_large_area_of_glaring_red_or_orange_is_refused(colour: str) -> None:
    text = GOOD.replace("#e4eadf", colour)
    assert [problem.code for problem in lint(text)] == ["red-area"]
    assert lint(text)[0].position.line == 2
    in_sheet = GOOD.replace("<style>", "<style>.x{background:" + colour + "}").replace(
        "<td style", '<td class="x" data-x'
    )
    assert "red-area" in codes(in_sheet)
    block = GOOD.replace("</table>", f'<tr><td height="300" bgcolor="{colour}"></td></tr></table>')
    assert "red-area" in codes(block)


def test_a_red_button_a_pale_or_a_dark_area_is_fine() -> None:
    button = '<a href="https://a.example/" style="background-color:#ff0000;padding:9px">买</a>'
    long = "好茶上新，慢慢挑，不用抢，给您留着。" * 2
    assert codes(GOOD.replace("好茶上新", long + button)) == set()
    assert codes(GOOD.replace("#e4eadf", "#f4e7e0")) == set()
    assert codes(GOOD.replace("#e4eadf", "#5a1a10")) == set()


def test_html_above_102_kb_is_clipped() -> None:
    assert codes(GOOD.replace("好茶上新", "茶" * 35_000)) == {"clip-102kb"}
    assert codes(GOOD.replace("好茶上新", "茶" * 30_000)) == set()


def test_only_one_style_with_media_rules_may_stay() -> None:
    media = "<style>@media print{td{margin:0}} @media (max-width:600px){td{margin:0} a{margin:1px}}</style>"
    assert codes(GOOD.replace("<style>", media + "<style>")) == set()
    assert codes(GOOD.replace("<style>", media * 2 + "<style>")) == {"one-style-only"}
    assert codes(GOOD.replace("<style>", "<style>a:hover{color:#123}")) == {"one-style-only"}
    assert codes(GOOD.replace("<style>", '<link rel="stylesheet" href="x.css"><style>')) == {
        "forbidden-element"
    }
    assert codes(GOOD.replace("好茶上新", "好茶上新<script>x</script>")) == {"forbidden-element"}


def test_a_condition_inside_a_tag_is_warned_of_and_only_warned() -> None:
    text = GOOD.replace(
        "<td style", "<td {% if customer.city %}class='a'{% endif %} style"
    ).replace("<style>", "<style>.a{margin:0}")
    found = [problem for problem in lint(text) if problem.code == "inline-after"]
    assert [problem.severity for problem in found] == ["warning"]


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("\n{{ custmer.name }}", "3:4: 'custmer' is not defined; did you mean 'customer'? [undefined-variable]"),
        ("\n\n{{ customer.nmae }}", "4:4: 'customer' has no 'nmae'; did you mean 'name'? [undefined-variable]"),
        ("{% if false %}\n{{ shop.adress }}{% endif %}", "3:4: 'shop' has no 'adress'; did you mean 'address'? [undefined-variable]"),
        ("{% for i in items %}{{ i.titel }}{% endfor %}", "2:141: 'i' has no 'titel'; did you mean 'title'? [undefined-variable]"),
        ("{{ coupon.code }}", "2:121: 'coupon' is not supported yet [not-supported]"),
        ("{{ customer.attributes.vip }}", "2:1: 'dict object' has no attribute 'vip' [undefined-variable]"),
        ("{{ order.id }}", "2:1: there is no order in this definition's messages: write {% if order %} around it [undefined-variable]"),
        ("{% if x %}", "2:1: "),
        ("<a href='javascript:x'>x</a>", "2:118: a link must not lead to javascript: [unsafe-link]"),
    ],
)  # fmt: skip
def test_mistakes_are_found_with_their_place_even_in_branches_not_taken(
    inside: str, expected: str
) -> None:
    found = lint(GOOD.replace("好茶上新", inside))
    assert [str(problem).startswith(f"{EMAIL}:{expected}") for problem in found] == [True], found


def test_mistakes_in_a_layout_are_reported_in_its_file_once() -> None:
    base = "templates/email/base.html.j2"
    files = {
        base: GOOD.replace("好茶上新", "\n{{ nobody }}{% block a %}{% endblock %}"),
        EMAIL: "{% extends 'base.html.j2' %}{% block a %}a{% endblock %}",
        EMAIL.replace(
            ".html", ".en.html"
        ): "{% extends 'base.html.j2' %}{% block a %}b{% endblock %}",
    }
    found = check_templates(project(files, campaign()), SETTINGS)
    assert [str(problem) for problem in found] == [
        f"{base}:3:4: 'nobody' is not defined [undefined-variable]"
    ]


def test_subject_and_preheader_are_checked_too() -> None:
    definition = campaign("{{ custmer.name }}", preheader="{{ customer.nmae }}")
    found = check_templates(project({EMAIL: GOOD}, definition), SETTINGS)
    assert {problem.position for problem in found} == {Position("campaigns/news.yaml", 7, 5)}
    assert {problem.code for problem in found} == {"undefined-variable"}
    assert len(found) == 2


def test_templates_that_nobody_uses_are_checked_as_well_but_not_layouts() -> None:
    files = {
        EMAIL: GOOD.replace("640", "900"),
        "templates/email/frame.html.j2": "<p>{% block a %}{% endblock %}",
        "templates/email/other.html.j2": "{% extends 'frame.html.j2' %}{% block a %}{{ order.id }}{% endblock %}",
        SMS: "{{ nobody }}",
    }
    found = check_templates(project(files), SETTINGS)
    assert {(problem.position.file.split("/")[-1], problem.code) for problem in found} == {
        ("news.html.j2", "width"), ("other.html.j2", "text-only"), ("other.html.j2", "width"),
        ("hi.txt.j2", "undefined-variable"),
    }  # fmt: skip


def test_texts_are_checked_for_names_parts_and_refusal() -> None:
    assert lint_sms("{{ customer.name }}，{{ order.id }} 已发货") == []
    assert [str(one) for one in lint_sms("好\n{{ coupon }}")] == [
        f"{SMS}:2:4: 'coupon' is not supported yet [not-supported]"
    ]
    assert [one.code for one in lint_sms("{{ links.view }}")] == ["undefined-variable"]
    assert [one.code for one in lint_sms("{% if")] == ["template-syntax"]
    assert [one.code for one in lint_sms("长" * 70, care(max_parts=1))] == ["sms-parts"]
    assert [str(one)[:22] for one in lint_sms("好\n退订回T", care("transactional"))] == [
        f"{SMS}:2:1"[:22]
    ]


@pytest.mark.parametrize(
    ("header", "clean"),
    [
        ("kind: care\ntrigger: {dormant: {after: 90d}}", True),
        ("kind: care\ntrigger: {event: order.received, delay: 7d}", True),
        ("kind: care\ntrigger: birthday", False),
        ('kind: campaign\nschedule: {at: "2027-03-20T10:00"}\naudience: {all: []}', False),
    ],
)
def test_a_message_may_speak_of_an_order_where_the_sender_gives_it_one(
    header: str, clean: bool
) -> None:
    path = "care/hi.yaml" if "care" in header else "campaigns/hi.yaml"
    steps = "{channel: [email, sms], email: {subject: 好, template: news}, sms: {template: hi}}"
    order = "{{ order.placed_at|date('%m月%d日') }} {{ order.amount|money(order.currency) }}"
    files = {
        path: f"{header}\nclass: care\nsteps: [{steps}]\n",
        EMAIL: GOOD.replace("好茶上新", order),
        SMS: f"上次买茶是 {order}",
    }
    found = check_templates(load(files), SETTINGS)
    assert {(one.position.file, one.code) for one in found} == (
        set() if clean else {(EMAIL, "undefined-variable"), (SMS, "undefined-variable")}
    )


def test_paying_for_good_reviews_is_refused_and_asking_is_not() -> None:
    assert lint_sms("亲，\n五星好评返现5元")[0].position == Position(SMS, 2, 1)
    assert [one.code for one in lint_sms("亲，五星好评返现5元")] == ["paid-review"]
    assert lint_sms("亲，想听听您的评价") == []


@pytest.mark.parametrize(
    "loops",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set r = range(999) %}{% for a in r %}{% for b in r %}{% for c in r %}{% endfor %}{% endfor %}{% endfor %}",
        "{% macro m() %}{% for b in range(99999) %}{% endfor %}{% endmacro %}{% for a in range(99999) %}{{ m() }}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(9)|select %}{% endfor %}{% endfor %}",
    ],
)
def test_loops_inside_loops_without_end_are_told_with_their_line(loops: str) -> None:
    told = "loops inside others take more than 100,000 turns"
    for text, found in (
        (GOOD.replace("</td>", f"\n{loops}</td>", 1), lint),
        (f"您好\n{loops}", lint_sms),
    ):
        (problem,) = found(text)
        line = next(n for n, each in enumerate(text.splitlines(), start=1) if each.startswith("{%"))
        assert (problem.position.line, problem.message) == (line, told)


def test_loops_of_ordinary_size_inside_loops_are_fine() -> None:
    loops = "{% for a in range(300) %}{% for b in range(300) %}{% endfor %}{% endfor %}"
    assert lint(GOOD.replace("</td>", f"{loops}</td>", 1)) == []
