"""Every key of policy.yaml."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal

import pytest

from engine.definitions.loader import check, load_policy
from engine.definitions.policy import Bands, Policy, Prices, WarmUp
from engine.definitions.providers import check_providers
from engine.definitions.values import Duration, Hours
from engine.errors import DefinitionsError, Position

FULL = """\
timezone: Europe/Berlin
grading:
  monetary: total
  period: 6mo
  bands:
    recency_months: [1, 2, 3, 5]
    frequency: [10, 8, 5, 2]
    monetary: [1000, 500.50, 100, 50]
  weights: {recency: 2, frequency: 2, monetary: 6}
  grades: {Gold: 40, Silver: 20}
  evaluated_on: "07-01"
dormant_after: 120d
prices: {email: 0.01, sms: 0.05, currency: EUR}
never_capped: [Me@Shop.example, "138 0013 8000", "+49 151 23456789"]
quiet_hours:
  sms: "20:00-08:00"   # why
  email: "23:00-05:00"
frequency:
  - {class: marketing, max: 2, per: 4d}
  - class: [marketing, care]
    channel: [email, sms]
    max: 3
    per: 24h

  # the end
volume:
  - {channel: email, domain: QQ.com, max: 20, per: 1s}
  - {max: 50000, per: 1d, class: [marketing, transactional]}
quiet_days:
  - {class: [marketing, care], channel: sms, weekdays: [sat, sun], holidays: CN}
budget:
  - {amount: 3000.50, per: month, channel: sms, overflow: defer}
calendar:
  - {name: late, from: "2026-12-01", to: "2026-12-01", quiet_days: []}
  - {name: double11, from: "2026-11-01", to: "2026-11-12", quiet_hours: {sms: "23:00-08:00"}, frequency_factor: 2.5}
overflow: skip
consent: {unknown: {email: {marketing: true}, sms: {care: false}}}
"""


def problems(source: str) -> list[str]:
    definitions, found = check({"policy.yaml": source})
    assert definitions is None
    return [str(problem) for problem in found]


def test_without_a_policy_the_defaults_of_the_trade_hold() -> None:
    policy = load_policy({})
    assert policy == load_policy({"policy.yaml": "# nothing yet\n"})
    assert (policy.timezone, policy.dormant_after, policy.overflow) == (
        "Asia/Shanghai",
        Duration(180, "d"),
        "defer",
    )
    assert policy.grading.weights == (1, 3, 4)
    assert policy.grading.grades == (("P", 36), ("G", 26), ("S", 17), ("B", 1))
    assert (policy.quiet_hours, policy.frequency, policy.volume) == ((), (), ())
    for channel in ("email", "sms"):
        assert not policy.unknown_consent[channel, "marketing"]
        assert policy.unknown_consent[channel, "care"]
        assert policy.unknown_consent[channel, "transactional"]


def test_every_key_of_the_policy_arrives() -> None:
    policy = load_policy({"policy.yaml": FULL})
    assert (policy.timezone, policy.overflow) == ("Europe/Berlin", "skip")
    assert policy.dormant_after == Duration(120, "d")
    assert policy.prices == Prices(email=Decimal("0.01"), sms=Decimal("0.05"), currency="EUR")
    assert policy.never_capped == {"me@shop.example", "+8613800138000", "+4915123456789"}
    assert policy.unknown_consent["email", "marketing"]
    assert not policy.unknown_consent["sms", "care"]
    assert policy.unknown_consent["sms", "transactional"]


def test_grading_arrives() -> None:
    grading = load_policy({"policy.yaml": FULL}).grading
    assert (grading.monetary, grading.period_months, grading.evaluated_on) == ("total", 6, (7, 1))
    assert grading.bands == Bands(
        recency_months=(1, 2, 3, 5),
        frequency=(10, 8, 5, 2),
        monetary=(Decimal(1000), Decimal("500.50"), Decimal(100), Decimal(50)),
    )
    assert grading.weights == (2, 2, 6)
    assert grading.grades == (("Gold", 40), ("Silver", 20))
    assert load_policy({"policy.yaml": "grading: {period: 2y}\n"}).grading.period_months == 24


def test_rules_keep_their_place_and_their_text_as_written() -> None:
    policy = load_policy({"policy.yaml": FULL})
    email, sms = policy.quiet_hours
    assert (sms.channel, sms.hours) == ("sms", Hours(time(20), time(8)))
    assert (sms.position, sms.text) == (Position("policy.yaml", 16, 3), 'sms: "20:00-08:00"')
    assert (email.position.line, email.text) == (17, 'email: "23:00-05:00"')
    first, second = policy.frequency
    assert set(first.classes) == {"marketing"} and not first.channels
    assert (first.maximum, first.per) == (2, Duration(4, "d"))
    assert (first.position, first.text) == (
        Position("policy.yaml", 19, 5),
        "{class: marketing, max: 2, per: 4d}",
    )
    assert set(second.classes) == {"marketing", "care"}
    assert set(second.channels) == {"email", "sms"}
    assert (
        second.text
        == "class: [marketing, care]\n    channel: [email, sms]\n    max: 3\n    per: 24h"
    )
    assert second.text in FULL


def test_quiet_days_budgets_and_exceptions_arrive() -> None:
    policy = load_policy({"policy.yaml": FULL})
    (days,) = policy.quiet_days
    assert set(days.classes) == {"marketing", "care"} and set(days.channels) == {"sms"}
    assert set(days.weekdays) == {5, 6} and days.holidays == "CN"
    (month,) = policy.budget
    assert (month.budget.millionths, month.budget.monthly) == (3_000_500_000, True)
    assert set(month.classes) == {"marketing", "care"} and month.overflow == "defer"
    double11, late = policy.calendar  # in the order of their days
    assert (double11.first, double11.last) == (date(2026, 11, 1), date(2026, 11, 12))
    assert (double11.frequency_factor, double11.quiet_days) == (Decimal("2.5"), None)
    assert (double11.position.line, double11.quiet_hours[0].text) == (35, 'sms: "23:00-08:00"')
    assert late.quiet_days == ()


def test_senders_providers_and_warm_ups_arrive() -> None:
    (rule,) = load_policy({"policy.yaml": (
        "volume: [{sender: Hi@Shop.example, provider: relay-1, max: 5000, per: 1d, overflow: skip,"
        " warm_up: {start: 500, double_every: 2d}}]\n"
    )}).volume  # fmt: skip
    assert (rule.sender, rule.provider, rule.overflow) == ("hi@shop.example", "relay-1", "skip")
    assert rule.warm_up == WarmUp(500, 2)


def test_a_rule_about_a_provider_that_there_is_not_is_an_error() -> None:
    policy = load_policy({"policy.yaml": "volume: [{provider: smpt, max: 5, per: 1h}]\n"})
    (problem,) = check_providers(policy, ["smtp", "development"])
    assert str(problem) == "policy.yaml:1:10: unknown provider 'smpt'; did you mean 'smtp'? [unknown-provider]"  # fmt: skip


def test_volume_rules_arrive() -> None:
    domain, daily = load_policy({"policy.yaml": FULL}).volume
    assert (domain.channel, domain.domain, domain.maximum) == ("email", "qq.com", 20)
    assert (domain.per, domain.classes) == (Duration(1, "s"), frozenset())
    assert (daily.channel, daily.domain) == (None, None)
    assert set(daily.classes) == {"marketing", "transactional"}


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("timezone: Asia/Shangai", "1:11: unknown time zone 'Asia/Shangai'; did you mean 'Asia/Shanghai'?"),
        ("timezon: UTC", "1:1: unknown key 'timezon'; did you mean 'timezone'?"),
        ("kind: policy", "unknown key 'kind'"),
        ("grading: {monetary: mean}", "'mean' is not known here; write average or total"),
        ("grading: {period: 365d}", "'365d' is not a period such as 6mo or 1y"),
        ("grading: {period: 0mo}", "'0mo' is not a period"),
        ("grading: {period: 11y}", "'11y' is not a period"),
        ("grading: {bands: {frequency: [6, 4, 3]}}", "3 bounds; four are needed"),
        ("grading: {bands: {frequency: [6, 4, 4, 2]}}", "must fall from each to the next"),
        ("grading: {bands: {recency_months: [7, 4, 3, 1]}}", "must rise from each to the next"),
        ("grading: {bands: {monetary: [4, 3, 2, x]}}", "'x' stands where a number"),
        ("grading: {weights: {recency: 1}}", "`frequency` is missing"),
        ("grading: {weights: {recency: 1, frequency: 1, monetary: 1}}", "the highest value is 15: nobody can reach P, G, S"),
        ("grading: {grades: {P: 1, G: 2}}", "must fall from each to the next"),
        ("grading: {grades: {}}", "a map of 1 to 20 entries"),
        ("grading: {grades: {1P: 3}}", "'1P' is not a grade's name"),
        ("grading: {grades: {P: 41}}", "the highest value is 40: nobody can reach P"),
        ("grading: {evaluated_on: 02-29}", "'02-29' is not a day of every year"),
        ("grading: {evaluated_on: 2026-01-01}", "is not a day of the year"),
        ("dormant_after: 180", "'180' is not a duration"),
        ("prices: {email: -1}", "-1 is out of range"),
        ("prices: {currency: yuan}", "'yuan' is not a currency"),
        ("never_capped: [13800138000]", 'quote it: "13800138000"'),
        ("never_capped: [someone]", "neither an email address nor a phone number"),
        ("quiet_hours: {sms: 20-8}", "'20' is not a time of day"),
        ('quiet_hours: {sms: "08:00-08:00"}', "it starts when it ends"),
        ('quiet_hours: {fax: "20:00-08:00"}', "unknown key 'fax'"),
        ("frequency: {class: care}", "a map stands where a list is expected"),
        ("frequency: [{class: care, per: 1d}]", "1:13: `max` is missing"),
        ("frequency: [{max: 0, per: 1d}]", "0 is out of range: from 1"),
        ("frequency: [{max: 2, per: 1}]", "'1' is not a duration"),
        ("frequency: [{clas: care, max: 2, per: 1d}]", "unknown key 'clas'; did you mean 'class'?"),
        ("volume: [{max: 2, per: 1d, domain: qq}]", "'qq' is not a domain"),
        ("volume: [{max: 2, per: 1d, channel: [email]}]", "a list stands where email or sms is expected"),
        ("overflow: wait", "'wait' is not known here; write defer or skip"),
        ("consent: {unknown: {email: {marketing: yes}}}", "'yes' stands where true or false is expected"),
        ("consent: {unknown: {email: {news: true}}}", "unknown key 'news'"),
        ("[]", "a list stands where a map"),
        ("frequency: [{max: 0, per: 1d}]", "a cap of 0 would let nothing through, ever"),
        ("quiet_days: [{class: marketing}]", "no days: `weekdays` or `holidays` is missing"),
        ("quiet_days: [{weekdays: [mon, tue, wed, thu, fri, sat, sun]}]", "all seven days are quiet"),
        ("quiet_days: [{holidays: XX}]", "'XX' is no country whose holidays are known"),
        ("calendar: [{name: a, from: 2026-11-05, to: 2026-11-01, volume_factor: 2}]", "1:40: it ends on 2026-11-01, before it begins on 2026-11-05"),
        ("calendar: [{name: a, from: 2026-11-05, to: 2026-11-06}]", "it changes nothing"),
        ("calendar: [{name: a, from: 2026-11-05, to: 2026-11-06, volume_factor: 0}]", "a factor of 0 would let nothing through"),
        ("calendar: [{name: a, from: 2026-11-05, to: 2026-11-06, volume_factor: 2}, {name: b, from: 2026-11-06, to: 2026-11-06, quiet_days: []}]", "b begins on 2026-11-06, when a still holds (policy.yaml:1:12): two exceptions on one day"),
        ("frequency: [{max: 1, per: 1d}]\ncalendar: [{name: a, from: 2026-11-05, to: 2026-11-06, frequency_factor: 0.5}]", "2:12: a: 0.5 times a maximum of 1 (policy.yaml:1:13) is less than one message"),
        ("volume: [{max: 9, per: 1h, warm_up: {start: 5, double_every: 1d}}]", "a warm-up is a cap a day: write per: 1d instead of 1h"),
        ("volume: [{max: 9, per: 1d, warm_up: {start: 9, double_every: 1d}}]", "there is nothing to double"),
        ("volume: [{max: 9, per: 1d, warm_up: {start: 2, double_every: 12h}}]", "12h is not in days"),
        ("volume: [{max: 9, per: 1d, channel: sms, sender: a@b.example}]", "text messages have no sender's address"),
        ("budget: [{amount: 0, per: month}]", "a budget of 0 would let nothing go, ever"),
        ("budget: [{amount: 5, per: month, currency: EUR}]", "a budget in EUR, and prices in CNY"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_in_its_own_words(written: str, problem: str) -> None:
    found = problems(written + "\n")
    assert any(problem in each for each in found), found


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("providers: []", "providers"),
        ("guard: {bounced: 3%}", "guard"),
    ],
)
def test_a_key_of_the_wider_design_is_refused_by_name(written: str, key: str) -> None:
    (problem,) = problems(written + "\n")
    assert problem.endswith(f"`{key}` is not supported yet [not-supported]")


def test_a_broken_policy_is_an_error_with_all_its_problems() -> None:
    with pytest.raises(DefinitionsError) as caught:
        load_policy({"policy.yaml": "overflow: x\ntimezone: y\n"})
    assert [problem.position.line for problem in caught.value.problems] == [1, 2]


def test_a_policy_can_be_compared() -> None:
    assert isinstance(load_policy({}), Policy)
    assert load_policy({"policy.yaml": FULL}) == load_policy({"policy.yaml": FULL})
