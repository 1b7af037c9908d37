"""Inheritance settled ahead of time means the same as Jinja's own."""

from __future__ import annotations

import pytest
from jinja2 import TemplateSyntaxError

from engine.errors import Position
from engine.rendering.environment import make_environment
from engine.rendering.flattening import LINES, flatten
from engine.rendering.program import Program
from engine.rendering.skeleton import (
    SLOT,
    MarkupScanner,
    UnbalancedError,
    make_skeleton,
    rebuild,
)

FILES = {
    "base": "{% set tone = 'calm' %}<{% block a %}A{% block inner %}i{% endblock %}{% endblock %}|{% block b %}B{{ x }}{% endblock %}>{{ tone }}{% block c %}{% if w is defined %}leaked{% endif %}{% endblock %}",
    "middle": "{% extends 'base' %}ignored{% block a %}M{{ super() }}{% endblock %}{% set y = x ~ '!' %}",
    "leaf": "{% extends 'middle' %}{% block inner %}leaf{{ y }}{% endblock %}{% block b %}{% set w = 9 %}{{ super() }}{{ w }}{{ super() }}{% endblock %}{% block c %}{% endblock %}",
    "include": "{% for x in rows %}{% include 'row' %}{% else %}none{% endfor %}{% include 'leaf' %}",
    "row": "{% set z = x * 2 %}[{{ z }}{% if z > 2 %}big{% elif z == 2 %}two{% else %}small{% endif %}]",
    "macro": "{% macro m(t) %}({{ t }}{% if caller is defined %}{{ caller() }}{% endif %}){% endmacro %}{{ m(x) }}{% call m(1) %}in{% endcall %}",
    "bodies": "{% filter upper %}a{{ x }}{% endfilter %}{% set s %}q{{ x }}{% endset %}{{ s }}{% with w = x %}{{ w }}{% endwith %}",
    "imports": "{% from 'macros' import twice %}{{ twice(x) }}",
    "macros": "{% macro twice(t) %}{{ t }}{{ t }}{% endmacro %}",
}
ENVIRONMENT = make_environment(
    {f"templates/email/{name}": text for name, text in FILES.items()}, "email", autoescape=True
)


def flat(name: str, **values: object) -> str:
    tree = flatten(ENVIRONMENT, name, "templates/email/")
    return Program(ENVIRONMENT, [*tree.prelude, *tree.body], tree.position).render(values)


@pytest.mark.parametrize(
    "name", ["base", "middle", "leaf", "include", "macro", "bodies", "imports"]
)
@pytest.mark.parametrize("rows", [[], [0, 1, 2]])
def test_a_flattened_template_prints_what_jinja_prints(name: str, rows: list[int]) -> None:
    values = {"x": "<1>", "rows": rows}
    assert flat(name, **values) == ENVIRONMENT.get_template(name).render(values)


@pytest.mark.parametrize(
    "name", ["base", "middle", "leaf", "include", "macro", "bodies", "imports"]
)
def test_a_template_survives_the_way_through_its_skeleton(name: str) -> None:
    tree = flatten(ENVIRONMENT, name, "templates/email/")
    skeleton = make_skeleton([*tree.prelude, *tree.body])
    again = rebuild(skeleton.html, skeleton.slots, lambda _: [])
    values = {"x": "<1>", "rows": [0, 1, 2]}
    assert Program(ENVIRONMENT, again, tree.position).render(values) == flat(name, **values)


def test_lines_of_the_merged_tree_know_their_file() -> None:
    tree = flatten(ENVIRONMENT, "leaf", "templates/email/")
    assert tree.files == tuple(f"templates/email/{name}" for name in ("leaf", "middle", "base"))
    assert tree.position(2 * LINES + 5) == Position("templates/email/base", 5)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% extends x %}", "write the template's name out"),
        ("{% include ['a', 'b'] %}", "write the template's name out"),
        ("{% include 'nowhere' %}", "there is no template 'nowhere'"),
        ("{% include 'row' ignore missing %}", "nothing else"),
        ("{% if x %}{% extends 'base' %}{% endif %}", "must not stand inside"),
        (
            "{% extends 'base' %}{% block a %}{{ super()|upper }}{% endblock %}",
            "can only be used as",
        ),
        ("{% block q %}{{ super() }}{% endblock %}", "no such block above"),
        ("{{ self.a() }}", "can only be used as"),
        ("{% include 'new' %}", "includes itself"),
    ],
)
def test_what_cannot_be_settled_ahead_is_an_error_with_its_line(source: str, message: str) -> None:
    files = {**FILES, "new": "\n" * 2 + source}
    environment = make_environment(
        {f"templates/email/{name}": text for name, text in files.items()}, "email", autoescape=True
    )
    with pytest.raises(TemplateSyntaxError, match=message) as caught:
        flatten(environment, "new", "templates/email/")
    assert caught.value.lineno in (1, 3)


def test_slots_between_elements_are_comments_and_bare_elsewhere() -> None:
    source = '<title>{% if x %}t{% endif %}</title><p class="{% if x %}a{% endif %}">{% if x %}b{% endif %}{{ x }}'
    environment = make_environment({"templates/email/a": source}, "email", autoescape=True)
    skeleton = make_skeleton(flatten(environment, "a", "").body)
    comments = [match[0].startswith("<!--") for match in SLOT.finditer(skeleton.html)]
    assert comments == [False, False, False, False, True, True, False]


def test_a_tag_whose_end_is_lost_is_noticed() -> None:
    skeleton = make_skeleton(flatten(ENVIRONMENT, "row", "").body)
    cut = skeleton.html[: skeleton.html.rindex("<!--")]
    with pytest.raises(UnbalancedError):
        rebuild(cut, skeleton.slots, lambda _: [])


def test_the_scanner_is_not_fooled_by_quotes_and_comments() -> None:
    scanner = MarkupScanner()
    for text, between in [
        ("<a title='>", False), ("'>", True), ("<!-- <p ", False), ("-->", True), ("1 < 2 ", True),
        ("<style>a>b", False), ("</style>", True),
    ]:  # fmt: skip
        scanner.feed(text)
        assert scanner.between_elements is between
