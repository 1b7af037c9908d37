"""Steps, variants, rotation and holdouts in files: what is read, and what is refused in which words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.definitions.campaign import Campaign
from engine.definitions.loader import load
from engine.definitions.segment import EVERYONE
from engine.errors import DefinitionsError

MAIL = "email: {subject: hi, template: hello}"
FILES = {
    "templates/email/hello.html.j2": "x",
    "templates/email/hallo.html.j2": "x",
    "templates/sms/hello.txt.j2": "x",
    "templates/sms/hallo.txt.j2": "x",
}


def source(*steps: str, more: str = "") -> dict[str, str]:
    """The steps stand on lines 6, 7 and so on."""
    head = 'kind: campaign\nclass: marketing\nschedule: {at: "2026-11-09T10:00"}\naudience: {all: [], holdout: 5%}\n'
    listed = "\n".join(f"  - {{{step}}}" for step in steps)
    return {**FILES, "campaigns/s.yaml": f"{head}steps:\n{listed}\n{more}"}


def read(*steps: str, more: str = "") -> Campaign:
    return load(source(*steps, more=more)).campaigns["s"]


def problems(*steps: str, more: str = "", **files: str) -> list[str]:
    with pytest.raises(DefinitionsError) as caught:
        load({**source(*steps, more=more), **{f"{k}.yaml": v for k, v in files.items()}})
    return [str(one).removeprefix("campaigns/s.yaml:") for one in caught.value.problems]


def after(step: str, more: str = "") -> str:
    return f"after: {{step: {step}, wait: 2d{more}}}"


def test_everything_of_a_series_is_read() -> None:
    campaign = read(
        f"id: a, {MAIL}",
        f"id: b, {after('a', ', unless: [clicked, opened], if: complained')}, {MAIL},"
        " variants: [{id: x, share: 30%}, {id: y, share: 70%, email: {template: hallo}}]",
        f"id: c, {after('a', ', on: any')}, channel: [email, sms], {MAIL}, sms: {{rotate: [hello, hallo]}}",
        more="stop_on: [ordered, unsubscribed, bounced]\n",
    )
    assert campaign.holdout == Decimal(5) and campaign.audience == EVERYONE
    assert campaign.stop_on == ("ordered", "unsubscribed", "bounced")
    _, second, third = campaign.steps
    assert second.after is not None and second.after.wait.seconds == 2 * 86_400
    assert (second.after.on, second.after.unless, second.after.only_if) == ("sent", ("clicked", "opened"), ("complained",))  # fmt: skip
    assert [(one.id, one.share) for one in second.variants] == [("x", Decimal(30)), ("y", Decimal(70))]  # fmt: skip
    said = second.worded("email", "y").email
    assert said is not None and (said.subject, said.template) == ("hi", "hallo")
    assert [one.id for one in third.choices("sms")] == ["hello", "hallo"]
    assert [one.id for one in third.choices("email")] == ["hello"]
    assert [one.id for one in campaign.wordings] == [
        "a", "b#x", "b#y", "c#email:hello", "c#sms:hello", "c#sms:hallo"
    ]  # fmt: skip
    assert campaign.lines["steps.1.after.unless"] == (7, "unless: [clicked, opened]")


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([f"id: a, {MAIL}", f"id: a, {after('a')}, {MAIL}"], "7:5: the step id 'a' stands twice; give each step an `id` of its own [duplicate-id]"),
        ([f"id: a, {MAIL}", f"id: b, {MAIL}"], "7:5: step 'b' can never be reached: `after` is missing, which says what it follows [unreachable]"),
        ([f"id: mail, {MAIL}", f"id: b, {after('mial')}, {MAIL}"], "7:27: unknown step 'mial'; did you mean 'mail'? [unknown-step]"),
        ([f"id: a, {after('a')}, {MAIL}"], "6:27: `after` in the first step, which the schedule or the trigger starts: it follows none [bad-value]"),
        ([f"id: a, {MAIL}", f"id: b, {after('c')}, {MAIL}", f"id: c, {after('b')}, {MAIL}"], "7:27: steps in a circle: b → c → b [step-cycle]"),
        ([f"id: a, {MAIL}", f"id: b, {after('b')}, {MAIL}"], "7:27: steps in a circle: b → b [step-cycle]"),
        ([f"id: a, {MAIL}", f"id: b, {after('c')}, {MAIL}", f"id: c, {after('a')}, {MAIL}"], "7:27: step 'c' stands below: a step follows one that stands above it [bad-value]"),
        ([f"id: a, {MAIL}", f"id: b, {after('a', ', if: clicked, unless: [clicked]')}, {MAIL}"], "`unless` keeps back whoever clicked, and `if` everybody else [unreachable]"),
        ([f"id: a, {MAIL}", f"id: b, {after('a', ', if: [opened]')}, {MAIL}"], "an open decides nothing alone"),
        ([f"id: a, {MAIL}", f"id: b, {after('a', ', if: [replied]')}, {MAIL}"], "`replied` is not supported yet [not-supported]"),
        ([f"id: a, {MAIL}", f"id: b, after: {{step: a}}, {MAIL}"], "7:20: `wait` is missing [missing-key]"),
        (["id: a, sms: {template: hello}", f"id: b, {after('a', ', if: clicked')}, {MAIL}"], "step 'a' sends texts only, in which no link is counted [unreachable]"),
        ([f"{MAIL}, variants: [{{id: x, share: 30%}}, {{id: y, share: 60%}}]"], "the shares are 90% together; all of them must be 100% [bad-value]"),
        ([f"{MAIL}, variants: [{{id: x, share: 50%}}, {{id: x, share: 50%}}]"], "the variant id 'x' stands twice [duplicate-id]"),
        ([f"{MAIL}, variants: [{{id: x, share: 50%}}, {{id: y, share: 50%, sms: {{template: hello}}}}]"], "variant 'y' rewords `sms`, which the step does not have [bad-value]"),
        ([f"{MAIL}, variants: [{{id: x, share: 50%}}, {{id: y, share: 50%, email: {{template: hullo}}}}]"], "unknown email template 'hullo'"),
        (["sms: {rotate: [hello, hallo]}, variants: [{id: x, share: 50%}, {id: y, share: 50%}]"], "`variants` and `rotate` in one step"),
        (["sms: {rotate: [hello, hullo]}"], "unknown sms template 'hullo'"),
        (["sms: {rotate: [hello, hello]}"], "the same template stands here twice"),
        (["sms: {rotate: [hello]}"], "one template cannot take turns"),
        (["sms: {rotate: [hello, hallo], template: hello}"], "`template` and `rotate` say the same thing"),
        ([f"{MAIL}, winner: {{by: clicks}}"], "`winner` is not supported yet [not-supported]"),
    ],
)  # fmt: skip
def test_each_mistake_of_a_series_is_told_in_its_own_words(steps: list[str], problem: str) -> None:
    found = problems(*steps)
    assert any(problem in each for each in found), found


def test_stop_on_has_something_to_stop_and_leaves_every_step_reachable() -> None:
    (alone,) = problems(MAIL, more="stop_on: [ordered]\n")
    assert alone == "7:1: `stop_on` ends later steps, and there is only one step [bad-value]"
    (never,) = problems(f"id: a, {MAIL}", f"id: b, {after('a', ', if: ordered')}, {MAIL}", more="stop_on: [ordered]\n")  # fmt: skip
    assert never == "7:5: step 'b' can never be reached: `stop_on` ends the series for whoever ordered [unreachable]"  # fmt: skip


def test_a_rhythm_that_the_caps_never_let_finish_is_an_error() -> None:
    steps = [f"id: a, {MAIL}", f"id: b, after: {{step: a, wait: 10d}}, {MAIL}", f"id: c, after: {{step: b, wait: 10d}}, {MAIL}"]  # fmt: skip
    (problem,) = problems(*steps, policy="frequency:\n  - {class: marketing, max: 2, per: 40d}\n")
    assert problem == (
        "8:5: this series can never reach step 3, 'c': at most 2 in 40d (policy.yaml:2:5), and it expires"
        " before there is room again [unreachable]"
    )
    for fits in ("max: 3, per: 40d", "max: 2, per: 20d", "class: care, max: 2, per: 40d", "channel: sms, max: 1, per: 40d"):  # fmt: skip
        load({**source(*steps), "policy.yaml": f"frequency:\n  - {{{fits}}}\n"})


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("holdout: 5%", "holdout: 5", "'5' is not a share"),
        ("holdout: 5%", "holdout: 60%", "a holdout is at most 50%"),
        ("{all: [], holdout: 5%}", "{all: [{holdout: 5%}]}", "`holdout` stands beside the conditions"),
    ],
)  # fmt: skip
def test_a_holdout_is_a_share_of_an_audience(old: str, new: str, problem: str) -> None:
    files = source(MAIL)
    files["campaigns/s.yaml"] = files["campaigns/s.yaml"].replace(old, new)
    with pytest.raises(DefinitionsError) as caught:
        load(files)
    assert problem in str(caught.value)
    assert load({"policy.yaml": "holdout: 2%\n"}).policy.holdout == Decimal(2)
