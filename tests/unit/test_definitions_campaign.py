"""Every key of a campaign's file, and of the message in it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.definitions.campaign import Campaign
from engine.definitions.loader import check
from engine.definitions.segment import EVERYONE, Condition, Group
from engine.definitions.values import Duration
from engine.errors import Position

SHORT = """\
kind: campaign
class: marketing
schedule: {at: "2026-11-09T10:00"}
audience: {all: []}
steps: [{email: {subject: Hi, template: winback}}]
"""
FULL = """\
kind: campaign
class: marketing
priority: 60
schedule:
  at: "2026-11-09T10:00"
  timezone: customer
  send_time: fixed
  spread: 4h     # not all at once
  expires: 24h
audience:
  segment: everyone
  all: [{city: {in: [上海, 杭州]}}]
steps:
  - id: mail
    channel: [sms, email]
    email:
      subject: "{{ customer.name }}，老客专享"
      template: winback
      preheader: 只为您
      from: 店铺 <hi@shop.example>
    sms: {template: winback, max_parts: 2, sms_type: promotion}
on_uncertain: resend
"""
REST = {
    "segments/everyone.yaml": "kind: segment\nall: []\n",
    "templates/email/winback.html.j2": "",
    "templates/sms/winback.en.txt.j2": "",
}


def read(source: str) -> Campaign:
    definitions, problems = check({"campaigns/double11.yaml": source, **REST})
    assert definitions is not None, [str(problem) for problem in problems]
    return definitions.campaigns["double11"]


def problems(source: str) -> list[str]:
    definitions, found = check({"campaigns/double11.yaml": source, **REST})
    assert definitions is None
    return [str(problem).removeprefix("campaigns/double11.yaml:") for problem in found]


def test_a_short_campaign_has_the_defaults() -> None:
    campaign = read(SHORT)
    assert (campaign.id, campaign.kind, campaign.message_class) == (
        "double11",
        "campaign",
        "marketing",
    )
    assert (campaign.priority, campaign.on_uncertain) == (50, "leave")
    assert campaign.audience == EVERYONE
    assert campaign.uses == frozenset()
    assert campaign.schedule.expires == Duration(3, "d")
    assert campaign.schedule.spread is None
    (step,) = campaign.steps
    assert (step.id, step.channels, step.sms) == ("main", ("email",), None)
    assert step.email is not None
    assert (step.email.subject, step.email.preheader, step.email.sender) == ("Hi", "", "")


def test_every_key_of_a_campaign_arrives() -> None:
    campaign = read(FULL)
    assert (campaign.priority, campaign.on_uncertain) == (60, "resend")
    assert campaign.uses == {"everyone"}
    city = Condition(
        "city",
        {"in": ("上海", "杭州")},
        Position("campaigns/double11.yaml", 12, 10),
        "city: {in: [上海, 杭州]}",
    )
    assert isinstance(campaign.audience, Group)
    segment, group = campaign.audience.children
    assert isinstance(segment, Condition)
    assert (segment.name, segment.arguments) == ("segment", {"name": "everyone"})
    assert group == Group("all", (city,))
    (step,) = campaign.steps
    assert (step.id, step.channels) == ("mail", ("sms", "email"))
    assert step.email is not None and step.sms is not None
    assert step.email.subject == "{{ customer.name }}，老客专享"
    assert (step.email.preheader, step.email.sender) == ("只为您", "店铺 <hi@shop.example>")
    assert (step.sms.template, step.sms.max_parts, step.sms.sms_type) == ("winback", 2, "promotion")


def test_lines_hold_every_key_as_written() -> None:
    lines = read(FULL).lines
    assert lines["schedule.spread"] == (8, "spread: 4h")
    assert lines["schedule"] == (4, "schedule:")
    assert lines["steps.0.sms.max_parts"] == (21, "max_parts: 2")
    assert lines["audience.all"] == (12, "all: [{city: {in: [上海, 杭州]}}]")


def test_a_time_without_offset_is_on_the_shops_clock_or_the_named_zones_or_the_customers() -> None:
    shop = read(SHORT).schedule
    assert (shop.at, shop.fixed, shop.zone) == (datetime(2026, 11, 9, 10), None, None)
    assert not shop.per_customer
    named = read(SHORT.replace("}", ", timezone: Asia/Tokyo}", 1)).schedule
    assert (named.zone, named.per_customer, named.fixed) == ("Asia/Tokyo", False, None)
    own = read(FULL).schedule
    assert (own.zone, own.per_customer, own.at_text) == (None, True, "2026-11-09T10:00")


def test_a_time_with_an_offset_is_one_instant() -> None:
    schedule = read(SHORT.replace("10:00", "10:00+08:00")).schedule
    assert schedule.fixed == datetime(2026, 11, 9, 2, tzinfo=UTC)
    assert schedule.at == datetime(2026, 11, 9, 10)
    assert schedule.at_text == "2026-11-09T10:00+08:00"
    read(SHORT.replace('10:00"', '10:00+08:00", timezone: Asia/Shanghai'))
    (clash,) = problems(SHORT.replace('10:00"', '10:00+08:00", timezone: customer'))
    assert clash.startswith("3:42: `at` with an offset is one instant for everybody")
    (differs,) = problems(SHORT.replace('10:00"', '10:00+08:00", timezone: Asia/Tokyo'))
    assert "is not that of Asia/Tokyo" in differs


@pytest.mark.parametrize(
    "at",
    [
        "2026-11-09",
        "2026-11-09 10:00",
        "2026-02-30T10:00",
        "2026-11-09T24:00",
        "1999-11-09T10:00",
        "2026-11-09T10:00:30",
        "20261109T1000",
        "9999-12-31T23:59-12:00",
        "２０２６-11-09T10:00",
        "tomorrow",
    ],
)
def test_what_is_no_moment_is_refused(at: str) -> None:
    (problem,) = problems(SHORT.replace("2026-11-09T10:00", at))
    assert problem.startswith("3:16: ")
    assert "is not a date and time" in problem


def test_a_step_says_which_channel_comes_first() -> None:
    both = SHORT.replace("[{email:", "[{sms: {template: winback}, email:")
    assert "`channel` is missing: with email and sms" in problems(both)[0]
    assert read(both.replace("[{sms:", "[{channel: [email, sms], sms:")).steps[0].channels == (
        "email",
        "sms",
    )
    (unused,) = problems(both.replace("[{sms:", "[{channel: email, sms:"))
    assert "`sms` would never be used" in unused
    (absent,) = problems(SHORT.replace("[{email:", "[{channel: [email, sms], email:"))
    assert "`channel` lists sms, but `sms` is missing" in absent
    assert (
        "no content: `email` or `sms` is missing"
        in problems(SHORT.replace("email: {subject: Hi, template: winback}", "id: x"))[0]
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("kind: campaign\n", "", "1:1: `kind` is missing [missing-key]"),
        ("kind: campaign", "kind: care", "1:7: a care in campaigns/"),
        ("class: marketing\n", "", "1:1: `class` is missing"),
        ("marketing", "markting", "did you mean 'marketing'?"),
        ("audience: {all: []}\n", "", "`audience` is missing"),
        ("audience: {all: []}", "audience: {}", "a map stands where a condition"),
        ("at:", "att:", "unknown key 'att'; did you mean 'at'?"),
        ("at:", "timezon: UTC, at:", "unknown key 'timezon'; did you mean 'timezone'?"),
        ("at:", "timezone: Asia/Shangai, at:", "unknown time zone 'Asia/Shangai'; did you mean 'Asia/Shanghai'?"),
        ("at:", "expires: 3, at:", "'3' is not a duration"),
        ("at:", "send_time: {window: a}, at:", "'a' is not a window of hours; write it as in"),
        ("class:", "priority: 101\nclass:", "2:11: 101 is out of range: from 0 to 100"),
        ("class:", "priority: high\nclass:", "2:11: 'high' stands where a whole number"),
        ("subject: Hi", "subject: 7", '7 is not text; if it is meant as text, quote it: "7"'),
        ("subject: Hi", 'subject: "a\\nb"', "a text of several lines"),
        ("subject: Hi", "subject: Hi, from: nobody", "'nobody' is not a sender"),
        ("subject: Hi", 'subject: Hi, from: "a <b@c.d>, <e@f.g>"', "is not a sender"),
        ("template: winback", "template: winbak", "unknown email template 'winbak'; did you mean 'winback'?"),
        ("template: winback", "template: ../../etc/passwd", "is not a template's name"),
        ("steps: [{", "steps: [{id: Main, ", "'Main' is not an id"),
        ("steps: [", "steps: [] #", "0 items, where at least 1 are taken"),
        ("email: {subject: Hi, template: winback}", "sms: {template: winback, max_parts: 0}", "0 is out of range"),
        ("email: {subject: Hi, template: winback}", "sms: {template: winback, sms_type: ad}", "'ad' is not known here"),
        ("email: {subject: Hi, template: winback}", "sms: {template: thanks}", "unknown sms template 'thanks'; known: winback"),
        ("email:", "channel: emial, email:", "'emial' is not known here; did you mean 'email'?"),
        ("email:", "channel: [email, email], email:", "the same value stands here twice"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_in_its_own_words(old: str, new: str, problem: str) -> None:
    found = problems(SHORT.replace(old, new, 1))
    assert any(problem in each for each in found), found


@pytest.mark.parametrize("key", ["owner", "guard", "attribution"])
def test_a_key_of_the_wider_design_is_refused_by_name(key: str) -> None:
    assert problems(SHORT + f"{key}: 1\n") == [f"6:1: `{key}` is not supported yet [not-supported]"]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("[{email", "[{coupon: x, email", "coupon"),
        ("[{email", "[{winner: x, email", "winner"),
        ("[{email", "[{channel: [webhook], email", "webhook"),
    ],
)
def test_a_part_of_the_wider_design_is_refused_by_name(old: str, new: str, key: str) -> None:
    (problem,) = problems(SHORT.replace(old, new, 1))
    assert problem.endswith(f"`{key}` is not supported yet [not-supported]")


NIGHT = 'quiet_hours: {sms: "20:00-08:00"}\n'
TEXT = "steps: [{sms: {template: winback, max_parts: 1}}]"


@pytest.mark.parametrize(
    ("schedule", "policy", "told"),
    [
        ('{at: "2026-11-09T21:00", expires: 2h}', NIGHT, "nobody would ever get it: at 21:00 sms is quiet (20:00-08:00, policy.yaml:1:15)"),
        ('{cron: "0 21 * * mon", expires: 2h}', NIGHT, "nobody would ever get it: at 21:00"),
        ('{at: "2026-11-09T10:00", send_time: {window: "04:00-06:00"}}', NIGHT, "the window 04:00-06:00 never opens: sms is quiet all the while"),
        ('{at: "2026-11-07T10:00", expires: 1d}', "quiet_days: [{weekdays: [sat, sun]}]\n", "nobody would ever get it: at 10:00 sms is quiet (policy.yaml:1:14)"),
        ('{at: "2026-11-09T10:00", finish_by: "2026-11-09T10:00"}', "", "it finishes at 2026-11-09 10:00, before it starts"),
        ('{at: "2026-11-09T10:00", spread: 4h, finish_by: "2026-11-09T13:00"}', "", "nothing may go after it"),
        ('{at: "2026-11-09T10:00+08:00", finish_by: "2026-11-09T13:00"}', "", "both with an offset, or both without"),
        ('{cron: "0 10 * * *", finish_by: "2026-11-09T13:00"}', "", "`finish_by` is one moment and goes with `at`"),
        ('{cron: "0 9,10 * * *", send_time: usual_hour}', "", "comes several times a day"),
        ('{at: "2026-11-09T10:00+08:00", send_time: usual_hour}', "", "one instant for everybody"),
        ('{at: "2026-11-09T10:00", spread: 1h, send_time: {window: "10:00-11:00"}}', "", "leave out `spread`"),
        ('{at: "2026-11-09T10:00", finish_by: "2026-11-09T11:00", send_time: {window: "12:00-13:00"}}', "", "opens at 2026-11-09 12:00, when all must have gone"),
        ('{at: "2026-11-09T10:00"}', "budget: [{amount: 0.01, per: month}]\n", "not one message fits: sms costs up to 0.045"),
        ('{at: "2026-11-09T21:00", expires: 2h}', NIGHT + 'calendar: [{name: a, from: 2026-11-01, to: 2026-11-12, quiet_hours: {sms: "23:00-08:00"}}]\n', ""),
        ('{at: "2026-11-09T21:00", expires: 12h}', NIGHT, ""),
        ('{at: "2026-11-09T10:00", timezone: customer, send_time: usual_hour, spread: 4h, finish_by: "2026-11-09T22:00"}', NIGHT, ""),
    ],
)  # fmt: skip
def test_what_can_never_go_as_it_is_written_is_refused(
    schedule: str, policy: str, told: str
) -> None:
    source = (
        f"kind: campaign\nclass: marketing\nschedule: {schedule}\naudience: {{all: []}}\n{TEXT}\n"
    )
    files = {"campaigns/x.yaml": source, "templates/sms/winback.txt.j2": "", "policy.yaml": policy}
    definitions, found = check(
        {path: text for path, text in files.items() if text or ".j2" in path}
    )
    assert (definitions is None) == bool(told), found
    assert not told or any(told in str(each) for each in found), found


def test_all_mistakes_of_a_file_are_told_at_once_in_its_order() -> None:
    source = SHORT.replace("marketing", "x").replace("at:", "att:").replace("template", "tmplate")
    assert [problem.split(":")[0] for problem in problems(source)] == ["2", "3", "3", "5", "5"]
