"""tagging.yaml: what is taken, and what is refused with its place and the nearest name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from engine.definitions.loader import check, load_policy
from engine.definitions.regions import city_spellings, provinces, short_city, short_province

DIMENSIONS = """dimensions:
  size: {values: [100cm, 110cm], several: true}
  temper: {values: [picky, loyal]}
"""


def messages(text: str) -> list[str]:
    return [str(problem) for problem in check({"tagging.yaml": text})[1]]


def test_the_shipped_file_is_sound_and_has_the_dimensions_of_the_trade() -> None:
    text = Path("config/tagging.yaml").read_text(encoding="utf-8")
    assert messages(text) == []
    tagging = load_policy({"tagging.yaml": text}).tagging
    assert {"purpose", "occupation", "age", "buyer-gender", "child-gender", "relation", "temper",
            "skin", "credit", "preferred-brand", "order-hour", "promotion"} <= set(tagging.dimensions)  # fmt: skip
    for sizes in (tagging.dimensions["size"], tagging.dimensions["size-2026"]):
        assert (sizes.values, sizes.several) == (("100cm", "110cm", "120cm", "130cm"), True)
    assert not tagging.dimensions["temper"].several


def test_a_rule_knows_where_it_stands() -> None:
    text = DIMENSIONS + "rules:\n  - name: a\n    tag: temper=loyal\n    ordered: {count: 5}\n"
    (rule,) = load_policy({"tagging.yaml": text}).tagging.rules
    assert (rule.source, rule.dimension, rule.value) == ("tagging.yaml:5", "temper", "loyal")


def test_provinces_and_cities_are_read_in_short_names() -> None:
    text = DIMENSIONS + (
        "rules:\n  - {name: a, tag: temper=loyal, region: {province: [广东省, 广西], city: 广州市}}\n"
    )
    (rule,) = load_policy({"tagging.yaml": text}).tagging.rules
    assert rule.region is not None
    assert (rule.region.provinces, rule.region.cities) == (("广东", "广西"), ("广州",))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("tag: tempr=loyal, ordered: {count: 2}", "unknown dimension 'tempr'; did you mean 'temper'?"),
        ("tag: temper=loyl, ordered: {count: 2}", "unknown value of temper 'loyl'; did you mean 'loyal'?"),
        ("tag: temper, ordered: {count: 2}", "'temper' is not a tag; write DIMENSION=VALUE"),
        ("tag: temper=loyal", "one of `address`, `ordered`, `region`, `amount` is missing"),
        ("tag: temper=loyal, region: {province: 广冬}", "'广冬' is no province of China; did you mean '广东' or '广西'?"),
        ("tag: temper=loyal, ordered: {within: 5d}", "is missing"),
        ("tag: temper=loyal, ordered: {status: refunds}", "'refunds' is not known here; did you mean 'refunded'?"),
        ("tag: temper=loyal, ordered: {status: refunded, share: 50}", "'50' is not a share; write it as in 5%, up to 100%"),
        ("tag: temper=loyal, ordered: {hour: '1'}", "unknown key 'hour'; did you mean 'hours'?"),
        ("tag: temper=loyal, ordered: {hours: '22:00-22:00'}", "it starts when it ends"),
        ("tag: temper=loyal, amount: {within: 5d}", "one of `gte`, `lte` is missing"),
        ("tag: temper=loyal, adress: {contains: 学校}", "unknown key 'adress'; did you mean 'address'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_rule_is_said_with_its_line(rule: str, expected: str) -> None:
    found = messages(DIMENSIONS + f"rules:\n  - {{name: a, {rule}}}\n")
    assert any(
        message.startswith("tagging.yaml:5:") and expected in message for message in found
    ), found


def test_two_rules_of_one_name_are_refused() -> None:
    rule = "  - {name: a, tag: temper=loyal, ordered: {count: 2}}\n"
    (found,) = messages(DIMENSIONS + "rules:\n" + rule + rule)
    assert found.startswith("tagging.yaml:6:5: the rule 'a' stands here twice; first in line 5")


def test_the_names_of_places_are_unambiguous() -> None:
    known = provinces()
    assert len(known) == 34
    assert max(Counter(name[:2] for name in known).values()) == 1
    for province in known.values():
        beginnings = Counter(city[:2] for city in province.cities)
        assert max(beginnings.values(), default=1) == 1, province.name
    assert all(len(places) == 1 for places in city_spellings().values())


@pytest.mark.parametrize(
    ("written", "short"),
    [("广东省", "广东"), ("内蒙古自治区", "内蒙古"), ("新疆", "新疆"), ("宁夏回族自治区", "宁夏"),
     ("上海市", "上海"), ("香港特别行政区", "香港"), ("Bayern", None)],
)  # fmt: skip
def test_a_province_has_one_name_however_it_is_written(written: str, short: str | None) -> None:
    assert short_province(written) == short


def test_an_autonomous_prefecture_has_a_short_name() -> None:
    assert short_city("恩施土家族苗族自治州") == "恩施"
    assert provinces()["新疆"].zone == "Asia/Shanghai"
