"""The sandbox: strict, blind to code in data, and with the two filters that a shop needs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from jinja2 import TemplateError, UndefinedError
from jinja2.exceptions import SecurityError

from engine.rendering.context import customer_context, item_context, order_context
from engine.rendering.environment import make_environment, money
from engine.rendering.variants import choose, languages


def render(source: str, **context: object) -> str:
    environment = make_environment({"templates/email/a": source}, "email", autoescape=True)
    return environment.get_template("a").render(context)


def test_data_is_escaped_and_never_compiled() -> None:
    name = "<b>{{ 7*7 }}{% for x in y %}"
    assert render("{{ name }}", name=name) == "&lt;b&gt;{{ 7*7 }}{% for x in y %}"


def test_a_name_that_is_not_there_is_an_error_and_never_blank() -> None:
    with pytest.raises(UndefinedError):
        render("{{ nobody }}")
    with pytest.raises(UndefinedError, match="nmae"):
        render("{{ customer.nmae }}", customer=customer_context({}))


def test_every_known_column_is_there_even_if_the_row_lacks_it() -> None:
    assert render("{{ c.name or '您好' }}{{ c.joined_at }}", c=customer_context({})) == "您好"
    assert render("{{ o.amount }}{{ o.coupon }}", o=order_context({"amount": None})) == ""
    assert render("{{ i.price }}{{ i.title }}", i=item_context({"title": "茶"})) == "茶"


def test_a_key_of_the_data_wins_over_a_method_of_dict() -> None:
    assert render("{{ order['items'] }}{{ order.items }}", order={"items": 3}) == "33"
    with pytest.raises(UndefinedError):
        render("{{ order.items }}", order={})


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ customer.update({'a': 1}) }}",
        "{{ rows.append(1) }}",
        "{% for x in range(10**9) %}{% endfor %}",
        "{{ cycler }}",
        "{{ lipsum() }}",
    ],
)
def test_the_sandbox_lets_nothing_out_and_nothing_change(source: str) -> None:
    with pytest.raises((TemplateError, SecurityError, OverflowError)):
        render(source, customer={}, rows=[])


def test_money_prints_whole_numbers_of_the_smallest_unit_as_people_write_them() -> None:
    assert [money(129900), money(5, "EUR"), money(100, "XXX")] == ["¥1,299", "€0.05", "XXX 1"]


def test_a_date_is_that_of_the_customers_zone_else_the_shops() -> None:
    moment = datetime(2026, 11, 9, 20, 0, tzinfo=UTC)
    source = "{{ at|date('%m月%d日') }}"
    shop = {"timezone": "Asia/Shanghai"}
    assert render(source, at=moment, shop=shop, customer={"timezone": ""}) == "11月10日"
    assert render(source, at=moment, shop=shop, customer={"timezone": "UTC"}) == "11月09日"
    assert render(source, at=None, shop=shop, customer={}) == ""


def test_a_customer_gets_their_language_else_the_shops_else_the_plain_file() -> None:
    files = dict.fromkeys(
        ["templates/email/a.html.j2", "templates/email/a.en.html.j2", "templates/email/a.de.html.j2",
         "templates/email/ab.fr.html.j2"], "",
    )  # fmt: skip
    found = languages(files, "email", "a")
    assert found == ("", "de", "en")
    assert choose(found, "en_US", "de") == "en"
    assert choose(found, "fr", "de") == "de"
    assert choose(found, None, "zh") == ""
    assert choose((), "en", "zh") is None
