"""What volume caps let through until `finish_by`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.definitions.policy import VolumeRule, WarmUp
from engine.planning.finish import UNITS, cannot_finish, pieces
from tests.gate_world import campaign, policy, quiet, volume

START = datetime(2026, 11, 9, 2, tzinfo=UTC)  # 10:00 in Shanghai
FINISH = START + timedelta(days=1, hours=12)
NIGHT = (quiet("email", "20:00-08:00"),)  # 10 and 12 hours are open until 20:00 of the next day


@pytest.mark.parametrize(
    ("rule", "fit"),
    [
        (volume(1000, "1d"), 2000),
        (volume(1000, "2d"), 1000),
        (volume(100, "1h"), 2200),
        (volume(2, "1s"), 2 * 22 * 3600),
        (volume(900, "1d", warm_up=WarmUp(500, 1)), 1400),
    ],
)  # fmt: skip
def test_a_run_that_does_not_fit_is_told_by_how_much(rule: VolumeRule, fit: int) -> None:
    rules = policy(volume=(rule,), quiet_hours=NIGHT)

    def told(people: int) -> list[str]:
        return cannot_finish(rules, campaign("x"), START, FINISH, {"email": people}, {})

    assert told(fit) == []
    (sentence,) = told(fit + 7)
    assert sentence.startswith(
        f"it cannot finish by 2026-11-10 22:00: {fit + 7} messages, and {{max: "
    )
    assert sentence.endswith(f"lets {fit} go until then; 7 would be skipped as finished")


def test_rules_of_a_domain_or_another_class_or_channel_say_nothing_about_it() -> None:
    others = (
        volume(1, "1d", domain="qq.com"),
        volume(1, "1d", channel="sms"),
        volume(1, "1d", classes=("care",)),
    )
    rules = policy(volume=others)
    assert cannot_finish(rules, campaign("x"), START, FINISH, {"email": 99}, {}) == []


def test_the_places_of_a_run_cover_open_time_only_and_all_of_it() -> None:
    found = pieces(policy(quiet_hours=NIGHT), campaign("x"), "Asia/Shanghai", START, FINISH)
    assert [piece.low for piece in found] == [0, *(piece.high for piece in found[:-1])]
    assert found[-1].high == UNITS
    assert [piece.seconds for piece in found] == [10 * 3600, 12 * 3600]
    assert found[0].high == round(UNITS * 10 / 22)
    nothing = policy(quiet_hours=(quiet("email", "09:00-08:59"),))
    (whole,) = pieces(nothing, campaign("x"), "Asia/Shanghai", START, START + timedelta(hours=3))
    assert (whole.start, whole.seconds) == (int(START.timestamp()), 3 * 3600)
