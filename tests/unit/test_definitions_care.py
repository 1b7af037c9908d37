"""Every key of a care rule's file: triggers, again, still."""

from __future__ import annotations

from datetime import time

import pytest

from engine.definitions.campaign import Care, Trigger
from engine.definitions.care_file import LATER_TRIGGERS
from engine.definitions.loader import check
from engine.definitions.segment import EVERYONE, Condition, Group
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
        (TRIGGER, "{}", "`event` or `dormant` is missing"),
        (TRIGGER, "[order.paid]", "a list stands where a trigger"),
        (TRIGGER, "{event: order.recieved}", "'order.recieved' is not known here; did you mean 'order.received'?"),
        (TRIGGER, "order.recieved", "did you mean 'order.received'?"),
        (TRIGGER, "{event: birthday, dormant: {}}", "an `event` or `dormant`, not both"),
        (TRIGGER, "{event: birthday, delay: 1d}", "`delay` counts from an order's event; birthday has its own day"),
        (TRIGGER, "{dormant: {after: 9d}, delay: 1d}", "say after how long in `dormant: {after: 90d}`"),
        (TRIGGER, '{event: order.paid, delay: 2h, time: "10:00"}', "`time` needs a delay in days"),
        (TRIGGER, '{event: order.paid, time: "9:00"}', "'9:00' is not a time of day"),
        (TRIGGER, "birthday", "a birthday has no order whose status could be asked"),
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


@pytest.mark.parametrize("event", sorted(LATER_TRIGGERS))
def test_a_trigger_of_the_wider_design_is_refused_by_name(event: str) -> None:
    for written in (event, f"{{event: {event}}}", f"{{{event}: {{before: 7d}}}}"):
        (problem,) = problems(SHORT.replace(TRIGGER, written))
        assert problem.endswith(f"`{event}` is not supported yet [not-supported]")
