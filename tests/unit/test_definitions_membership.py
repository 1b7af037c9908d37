"""Every key of membership.yaml, and every way in which levels can be wrong."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from engine.definitions.loader import check, load, load_membership
from engine.definitions.membership import Goods, Level, Membership, Threshold
from engine.definitions.values import Duration
from engine.errors import DefinitionsError, Position

FULL = """\
period: 6mo
validity: 2y
announce: 14d
renew: 3d
goods: {skus: ["0017"], categories: [茶], brands: [雁记]}
levels:
  - name: 会员
    threshold: {amount: 1000}
    claim: self
    discount: 5%
    benefits: [生日礼, 包邮]
  - {name: VIP, threshold: {orders: 3, items: 10, amount: 10000.50}, discount: 12.5%}
"""


def problems(source: str) -> list[str]:
    definitions, found = check({"membership.yaml": source})
    assert definitions is None
    return [str(problem) for problem in found]


def levels(*thresholds: str) -> str:
    return "levels:\n" + "".join(
        f"  - {{name: L{number}, threshold: {each}}}\n" for number, each in enumerate(thresholds, 1)
    )


def test_every_key_arrives() -> None:
    found = load({"membership.yaml": FULL}).membership
    assert found == Membership(
        period_months=6,
        validity_months=24,
        announce=Duration(14, "d"),
        renew=Duration(3, "d"),
        goods=Goods(skus=("0017",), categories=("茶",), brands=("雁记",)),
        levels=(
            Level(
                name="会员", threshold=Threshold(amount=Decimal(1000)), claim="self",
                discount=Decimal(5), benefits=("生日礼", "包邮"),
            ),
            Level(
                name="VIP", discount=Decimal("12.5"),
                threshold=Threshold(orders=3, items=10, amount=Decimal("10000.50")),
            ),
        ),
    )  # fmt: skip
    assert found.levels[1].threshold_at == Position("membership.yaml", 12, 17)


def test_without_the_file_there_is_no_membership_and_the_rest_has_defaults() -> None:
    assert load_membership({}) is None
    found = load_membership({"membership.yaml": levels("{amount: 1000}")})
    assert found is not None
    assert (found.period_months, found.validity_months) == (12, 12)
    assert (found.announce, found.renew) == (Duration(30, "d"), Duration(7, "d"))
    assert (found.levels[0].claim, found.levels[0].discount) == ("call", None)
    assert not found.goods


def test_the_shipped_example_holds_the_vip_rule() -> None:
    path = Path(__file__).parents[2] / "config" / "membership.yaml"
    found = load_membership({"membership.yaml": path.read_text(encoding="utf-8")})
    assert found is not None
    vip = found.level("VIP")
    assert vip is not None
    assert vip.threshold == Threshold(orders=3, items=10, amount=Decimal(10_000))
    assert (vip.claim, found.period_months, found.validity_months) == ("call", 12, 12)
    assert found.levels[0].threshold == Threshold(amount=Decimal(1000))


def test_four_levels_are_taken_and_five_are_not() -> None:
    rising = [f"{{amount: {number * 1000}}}" for number in range(1, 6)]
    assert load_membership({"membership.yaml": levels(*rising[:4])}) is not None
    assert problems(levels(*rising)) == [
        "membership.yaml:2:3: 5 items, where at most 4 are taken [out-of-range]"
    ]


@pytest.mark.parametrize(
    ("thresholds", "problem"),
    [
        (["{amount: 1000}", "{amount: 1000}"],
         "membership.yaml:3:16: thresholds must rise from level to level: 'L2' asks for amount 1000, 'L1' before it for 1000 [bad-value]"),
        (["{amount: 1000}", "{amount: 999.99}"],
         "membership.yaml:3:16: thresholds must rise from level to level: 'L2' asks for amount 999.99, 'L1' before it for 1000 [bad-value]"),
        (["{orders: 3}", "{orders: 5}", "{orders: 5}"],
         "membership.yaml:4:16: thresholds must rise from level to level: 'L3' asks for orders 5, 'L2' before it for 5 [bad-value]"),
        (["{orders: 3}", "{amount: 1000}"],
         "membership.yaml:3:16: thresholds must rise from level to level: 'L2' asks for orders none, 'L1' before it for 3 [bad-value]"),
        (["{amount: 1, items: 10}", "{amount: 2, items: 9}"],
         "membership.yaml:3:16: thresholds must rise from level to level: 'L2' asks for items 9, 'L1' before it for 10 [bad-value]"),
    ],
)  # fmt: skip
def test_thresholds_that_do_not_rise_are_an_error_with_the_line(
    thresholds: list[str], problem: str
) -> None:
    assert problems(levels(*thresholds)) == [problem]


def test_a_higher_level_may_ask_for_more_kinds_of_things() -> None:
    source = levels("{amount: 1000}", "{orders: 3, items: 10, amount: 10000}")
    assert load_membership({"membership.yaml": source}) is not None


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", "membership.yaml:1:1: the file is empty"),
        ("levels: []", "0 items, where at least 1 are taken"),
        ("period: 1y", "1:1: `levels` is missing"),
        ("levels: [{name: A}]", "1:10: `threshold` is missing"),
        ("levels: [{threshold: {amount: 1}}]", "1:10: `name` is missing"),
        ("levels: [{name: A, threshold: {}}]", "1:31: a threshold asks for `amount`, `orders` or `items`"),
        ("levels: [{name: A, threshold: {amount: 0}}]", "0 is out of range: from 1"),
        ("levels: [{name: A, threshold: {orders: 1.5}}]", "'1.5' stands where a whole number"),
        ("levels: [{name: A, threshold: {order: 3}}]", "unknown key 'order'; did you mean 'orders'?"),
        ("levels: [{name: A, threshold: {orders: 1}, claim: phone}]", "'phone' is not known here; write call or self"),
        ("levels: [{name: A, threshold: {orders: 1}, discount: 100}]", "'100' is not a part taken off, such as 5%"),
        ("levels: [{name: A, threshold: {orders: 1}, discount: 0%}]", "0% is out of range"),
        ("levels: [{name: A, threshold: {orders: 1}, discount: 5%}]", "1:10: no goods take part in the discount of 'A'"),
        ("levels: [{name: A, threshold: {orders: 1}}, {name: A, threshold: {orders: 2}}]", "1:45: the level 'A' stands in line 1 already"),
        ("levels: [{name: A, threshold: {orders: 1}}]\nperiod: 365d", "2:9: '365d' is not a period such as 6mo or 1y"),
        ("levels: [{name: A, threshold: {orders: 1}}]\nvalidity: 1mo", "1:1: `announce` is 30d: as long as a card is valid"),
        ("levels: [{name: A, threshold: {orders: 1}}]\nrenew: 400d", "2:1: `renew` is 400d: as long as a card is valid"),
        ("levels: [{name: A, threshold: {orders: 1}}]\ngoods: {sku: [a]}", "2:9: unknown key 'sku'; did you mean 'skus'?"),
        ("level: []", "unknown key 'level'; did you mean 'levels'?"),
        ("[]", "a list stands where a map"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_in_its_own_words(written: str, problem: str) -> None:
    found = problems(written + "\n")
    assert any(problem in each for each in found), found


def test_broken_levels_raise_with_every_problem() -> None:
    with pytest.raises(DefinitionsError) as caught:
        load_membership({"membership.yaml": "levels: 3\nperiod: x\n"})
    assert len(caught.value.problems) == 2
