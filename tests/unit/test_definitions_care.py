"""Every key of a care rule's file: triggers, again, still."""

from __future__ import annotations

from datetime import time

import pytest

from engine.definitions.campaign import Care, FestiveDays, Trigger
from engine.definitions.loader import check
from engine.definitions.segment import EVERYONE, Condition, Group
from engine.definitions.trigger_kinds import LATER_EVENTS
from engine.definitions.values import Duration

SHORT = """\
kind: care
class: care
trigger: {event: order.received, delay: 7d, time: "10:00", grace: 1d}
again: 30d
still: {not: {anchor: {status: [refunded, closed]}}}
steps: [{sms: {template: thanks}}]
"""
TRIGGER = '{event: order.received, delay: 7d, time: "10:00", grace: 1d}'
REST = {"templates/sms/thanks.txt.j2": "", "segments/vip.yaml": "kind: segment\nall: []\n"}


def read(source: str) -> Care:
    definitions, problems = check({"care/thanks.yaml": source, **REST})
    assert definitions is not None, [str(problem) for problem in problems]
    return definitions.care["thanks"]


def trigger(written: str) -> Trigger:
    return read(SHORT.replace(TRIGGER, written).replace("still: {not", "# {not")).trigger


def problems(source: str) -> list[str]:
    definitions, found = check({"care/thanks.yaml": source, **REST})
    assert definitions is None
    return [str(problem).removeprefix("care/thanks.yaml:") for problem in found]


def test_every_key_of_a_care_rule_arrives() -> None:
    care = read(SHORT + "audience: {segment: vip}\npriority: 7\non_uncertain: resend\n")
    assert (care.id, care.kind, care.message_class, care.priority) == ("thanks", "care", "care", 7)
    assert care.again == Duration(30, "d")
    assert isinstance(care.audience, Condition)
    assert care.uses == {"vip"}
    assert care.on_uncertain == "resend"
    assert care.lines["trigger.grace"] == (3, "grace: 1d")
    assert care.lines["still"] == (5, "still: {not: {anchor: {status: [refunded, closed]}}}")


def test_a_rule_is_for_everyone_for_ever_unless_it_says_otherwise() -> None:
    care = read("kind: care\nclass: care\ntrigger: birthday\nsteps: [{sms: {template: thanks}}]\n")
    assert (care.audience, care.again, care.still) == (EVERYONE, None, None)
    assert care.trigger.grace == Duration(2, "d")


def test_segments_that_only_still_names_are_used_too() -> None:
    care = read(SHORT.replace("{not: {anchor: {status: [refunded, closed]}}}", "{segment: vip}"))
    assert care.uses == {"vip"}


@pytest.mark.parametrize("status", ["placed", "paid", "shipped", "arrived", "received", "refunded"])
def test_every_event_of_an_order_can_start_a_rule(status: str) -> None:
    found = trigger(f"{{event: order.{status}, delay: 30m}}")
    assert (found.kind, found.status) == ("order", status)
    assert (found.delay, found.time, found.after) == (Duration(30, "m"), None, None)


def test_without_a_delay_an_event_is_answered_at_once_or_the_same_day_at_a_time() -> None:
    assert trigger("order.paid").delay is None
    same_day = trigger('{event: order.paid, time: "18:00"}')
    assert (same_day.delay, same_day.time) == (Duration(0, "d"), time(18))


def test_a_birthday_is_a_trigger_with_and_without_a_time() -> None:
    assert trigger("birthday").kind == "birthday"
    assert trigger("{event: birthday, time: 09:00}").time == time(9)


def test_dormant_names_its_own_time_or_leaves_it_to_the_policy() -> None:
    own = trigger('{dormant: {after: 90d}, time: "10:00"}')
    assert (own.kind, own.after, own.time) == ("dormant", Duration(90, "d"), time(10))
    assert trigger("{dormant: {}}").after is None


def test_every_trigger_of_the_trade_can_be_written() -> None:
    lunar = trigger("{birthday: {calendar: lunar, offset: -3d}, time: '09:00'}")
    assert (lunar.kind, lunar.offset, lunar.time) == ("birthday", -3, time(9))
    assert lunar.arguments == {"calendar": "lunar"}
    assert trigger("{event: birthday, offset: -7d}").offset == -7
    assert trigger("{anniversary: {of: joining}}").arguments == {"of": "joining"}
    assert trigger("membership.expires").offset is None
    assert trigger("{grade.changed: {from: G, direction: fell}}").arguments == {
        "from": ("G",),
        "direction": "fell",
    }
    assert trigger("{replenishment: {category: 咖啡, factor: 0.9}}").kind == "replenishment"
    assert trigger("{tag.added: {dimension: temper}, time: '10:00'}").delay == Duration(0, "d")
    assert trigger("{event: order.unpaid, delay: 30m}").kind == "unpaid"


def test_festivals_and_solar_terms_are_days_on_each_customers_clock() -> None:
    for written in (
        "{festival: {name: [七夕, 中秋节], offset: -3d, time: '09:30'}, grace: 12h}",
        "{festival: {name: [qixi, mid-autumn]}, offset: -3d, time: '09:30', grace: 12h}",
    ):
        schedule = trigger(written).schedule
        assert schedule is not None and isinstance(schedule.recurs, FestiveDays)
        assert [one.slug for one in schedule.recurs.festivals] == ["qixi", "zhongqiu"]
        assert (schedule.recurs.offset, schedule.recurs.time) == (-3, time(9, 30))
        assert (schedule.per_customer, schedule.expires) == (True, Duration(12, "h"))
    terms = trigger("{solar_term: 立春}").schedule
    assert terms is not None and isinstance(terms.recurs, FestiveDays)
    assert (terms.recurs.prefix, terms.recurs.time) == ("solar_term", time(10))


def test_any_event_that_the_shop_sends_in_starts_a_rule_with_its_data_and_a_region() -> None:
    for kind in (
        "weather",
        "weather.damp",
        "review",
        "cart.abandoned",
        "live-started",
        "qr_scanned",
    ):
        found = trigger(kind)
        assert (found.kind, found.arguments) == ("event", {"kind": kind})
    damp = trigger(
        "{event: {kind: weather, data: {humidity: {gte: 90}}, region: {province: 广东省}}}"
    )
    assert damp.arguments["region"].provinces == ("广东",)
    assert damp.arguments["data"]["humidity"]["gte"] == 90
    assert trigger("{event: {kind: order.reviewed}}").arguments == {"kind": "order.reviewed"}


def test_still_may_ask_for_the_order_that_started_it() -> None:
    still = read(SHORT).still
    assert isinstance(still, Group) and isinstance(still.children[0], Condition)
    assert still.kind == "not"
    assert still.children[0].name == "anchor"
    assert still.children[0].arguments == {"status": ("refunded", "closed")}
    one = read(SHORT.replace("[refunded, closed]", "placed")).still
    assert isinstance(one, Group) and isinstance(one.children[0], Condition)
    assert one.children[0].arguments == {"status": ("placed",)}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (TRIGGER, "{}", "one of `event`, `birthday`, `anniversary`"),
        (TRIGGER, "[order.paid]", "a list stands where a trigger"),
        (TRIGGER, "{event: order.recieved}", "'order.recieved' is not known here; did you mean 'order.received'?"),
        (TRIGGER, "order.recieved", "did you mean 'order.received'?"),
        (TRIGGER, "{event: birthday, dormant: {}}", "`event` and `dormant`: a trigger is one of them; write two rules"),
        (TRIGGER, "{event: birthday, delay: 1d}", "`delay` counts from something that happened; birthday has its own day: write `offset`"),
        (TRIGGER, "{dormant: {after: 9d}, delay: 1d}", "no `delay` here: say after how long in `dormant: {after: 90d}`"),
        (TRIGGER, '{event: order.paid, delay: 2h, time: "10:00"}', "`time` needs a delay in days"),
        (TRIGGER, '{event: order.paid, time: "9:00"}', "'9:00' is not a time of day"),
        (TRIGGER, "birthday", "behind birthday there is no order whose status could be asked"),
        (TRIGGER, "{event: order.paid, offset: 1d}", "`offset` counts from a day that is known ahead; after order.paid write `delay`"),
        (TRIGGER, "{event: festival}", "festival says too little: write festival: {name: 七夕}"),
        (TRIGGER, "{festival: {name: 端五}}", "unknown festival '端五'"),
        (TRIGGER, "{festival: {name: 元霄节}}", "did you mean '元宵节'?"),
        (TRIGGER, "{festival: {name: duanwo}}", "did you mean 'duanwu'?"),
        (TRIGGER, "{solar_term: {name: 立舂}}", "unknown solar term '立舂'; did you mean '立"),
        (TRIGGER, "{solar_term: {name: 立春, time: '09:00'}, time: '10:00'}", "`time` stands here and in `solar_term`: write it once"),
        (TRIGGER, "{birthday: {offset: 7}}", "'7' is not an offset in days; write -7d for a week before"),
        (TRIGGER, "{birthday: {offset: -200d}}", "-200d is out of range: from -180d to 180d"),
        (TRIGGER, "{birthday: {calendar: moon}}", "'moon' is not known here"),
        (TRIGGER, "{tag.added: {}}", "`dimension` is missing"),
        (TRIGGER, "{replenishment: {factor: 0}}", "times 0 the next purchase would be due with the last one"),
        (TRIGGER, "{event: membership.expired}", "did you mean 'membership.expires'?"),
        (TRIGGER, "{event: order.reviewed}", "is written event: {kind: order.reviewed}"),
        (TRIGGER, "{event: {kind: weather, region: {province: 广冬}}}", "'广冬' is no province of China"),
        (TRIGGER, "{event: {kind: weather, where: x}}", "unknown key 'where'"),
        ("received", "received, after: 3d", "unknown key 'after'"),
        ("again: 30d", "again: true", "'true' is not a duration"),
        ("still: ", "audience: ", "`anchor` is what started a care rule: only its `still` can ask for it"),
        ("[refunded, closed]", "[refund]", "'refund' is not known here; did you mean 'refunded'?"),
        ("{status:", "{stauts:", "unknown key 'stauts'; did you mean 'status'?"),
        ("kind: care", "kind: segment", "a segment in care/: move the file, or write kind: care"),
        ("trigger", "triger", "unknown key 'triger'; did you mean 'trigger'?"),
        ("still: ", "schedule: ", "unknown key 'schedule'"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_in_its_own_words(old: str, new: str, problem: str) -> None:
    found = problems(SHORT.replace(old, new, 1))
    assert any(problem in each for each in found), found


@pytest.mark.parametrize("event", sorted(LATER_EVENTS))
def test_a_trigger_of_the_wider_design_is_refused_by_name(event: str) -> None:
    for written in (event, f"{{event: {event}}}"):
        (problem,) = problems(SHORT.replace(TRIGGER, written))
        assert problem.endswith(f"`{event}` is not supported yet [not-supported]")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{grade.changed: {from: Gold}}", "3:10: unknown grade 'Gold'; known: B, G, P, S [unknown-grade]"),
        ("{grade.changed: {from: S, to: G, direction: fell}}", "nobody can match: from S to G fell"),
        ("{grade.changed: {from: P, direction: rose}}", "nobody can match: from P to any rose"),
        ("{grade.changed: {from: S, to: S}}", "nobody can match: from S to S is no change"),
        ("{membership.changed: {to: 金卡}}", "unknown level '金卡'; did you mean '金卡会员'? [unknown-level]"),
        ("{membership.expires: {level: VIP}}", "unknown level 'VIP'; known: 金卡会员 [unknown-level]"),
        ("{tag.added: {dimension: tempre}}", "unknown dimension 'tempre'; did you mean 'temper'? [unknown-tag]"),
        ("{tag.added: {dimension: temper, value: picki}}", "unknown value of temper 'picki'; did you mean 'picky'?"),
        ("{event: birthday, time: '21:00', grace: 2h}", "nobody would ever get it: at 21:00 sms is quiet (20:00-08:00, policy.yaml:1:15), and it expires before that ends"),
        ("{festival: 七夕, time: '21:00', grace: 10h}", "nobody would ever get it: at 21:00 sms is quiet"),
    ],
)  # fmt: skip
def test_what_other_files_do_not_have_or_do_not_allow_is_told(written: str, told: str) -> None:
    others = {
        "policy.yaml": 'quiet_hours: {sms: "20:00-08:00"}\n',
        "membership.yaml": "levels: [{name: 金卡会员, threshold: {amount: 1000}}]\n",
        "tagging.yaml": "dimensions: {temper: {values: [picky, loyal]}}\n",
    }
    source = SHORT.replace(TRIGGER, written).replace("still: {not", "# {not")
    _, found = check({"care/thanks.yaml": source, **REST, **others})
    assert any(told in str(problem) for problem in found), found
    fine = source.replace(written, "{event: birthday, time: '21:00', grace: 11h}")
    assert check({"care/thanks.yaml": fine, **REST, **others})[1] == ()
