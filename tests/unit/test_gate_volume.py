"""The meters of volume rules."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from engine.definitions.limits import Limit
from engine.definitions.policy import VolumeRule
from engine.gate.volume import (
    SECOND,
    Daily,
    Meter,
    Rolling,
    Spacing,
    binds,
    microseconds,
    moment_of,
    step_seconds,
)
from tests.gate_world import volume

START = microseconds(datetime(2026, 11, 10, 4, 0, tzinfo=UTC))
SHANGHAI = ZoneInfo("Asia/Shanghai")


def plain(rule: VolumeRule) -> Limit:
    return Limit.of(rule, SHANGHAI)


def test_a_rate_is_spread_evenly_and_no_window_holds_more() -> None:
    meter = Spacing(plain(volume(20, "1s")), [])
    stamps = []
    for _ in range(100):
        stamp = meter.earliest(START)
        assert stamp is not None
        meter.add(stamp)
        stamps.append(stamp)
    assert {later - earlier for earlier, later in pairwise(stamps)} == {50_000}
    assert all(stamps[place + 20] - stamps[place] >= SECOND for place in range(80))


def test_a_rate_that_does_not_divide_evenly_is_never_exceeded() -> None:
    meter = Spacing(plain(volume(7, "3s")), [])
    stamps = [START]
    meter.add(START)
    for _ in range(50):
        stamps.append(meter.earliest(START) or 0)
        meter.add(stamps[-1])
    assert all(stamps[place + 7] - stamps[place] >= 3 * SECOND for place in range(43))


def test_after_a_pause_the_rate_does_not_catch_up() -> None:
    meter = Spacing(plain(volume(20, "1s")), [START - 10 * SECOND])
    assert meter.earliest(START) == START
    meter.add(START)
    assert meter.earliest(START) == START + 50_000


def test_stamps_of_a_faster_rate_than_now_still_count() -> None:
    faster = [START - 1000 * place for place in range(20)]
    meter = Spacing(plain(volume(20, "1s")), faster)
    assert meter.earliest(START) == min(faster) + SECOND


def test_an_hour_frees_places_as_its_messages_leave_it() -> None:
    step = START // SECOND
    meter = Rolling(plain(volume(10, "1h")), {step - 3000: 6, step - 100: 4})
    assert meter.earliest(START) == (step - 3000 + 1 + 3600) * SECOND
    assert meter.earliest(START + 700 * SECOND) == START + 700 * SECOND


def test_an_hour_counts_what_was_just_admitted() -> None:
    meter = Rolling(plain(volume(2, "1h")), {})
    meter.add(START)
    assert meter.earliest(START) == START
    meter.add(START)
    assert meter.earliest(START) == START + 3601 * SECOND


def test_long_windows_roll_in_coarser_steps() -> None:
    assert step_seconds(volume(1, "1m")) == 1
    assert step_seconds(volume(1, "24h")) == 24


def test_a_full_day_opens_again_at_the_shops_midnight() -> None:
    today = moment_of(START).astimezone(SHANGHAI).toordinal()
    meter = Daily(plain(volume(3, "1d")), {today - 1: 3, today: 2})
    assert meter.earliest(START) == START
    meter.add(START)
    midnight = datetime(2026, 11, 11, tzinfo=SHANGHAI)
    assert meter.earliest(START) == microseconds(midnight)


def test_several_days_open_again_when_the_fullest_has_left_them() -> None:
    today = moment_of(START).astimezone(SHANGHAI).toordinal()
    meter = Daily(plain(volume(3, "3d")), {today - 2: 2, today: 1})
    assert meter.earliest(START) == microseconds(datetime(2026, 11, 11, tzinfo=SHANGHAI))


@pytest.mark.parametrize("per", ["1s", "1m", "2d"])
def test_a_maximum_of_nothing_lets_nothing_through(per: str) -> None:
    rule = volume(0, per)
    meters: dict[str, Meter] = {
        "s": Spacing(plain(rule), []),
        "m": Rolling(plain(rule), {}),
        "d": Daily(plain(rule), {}),
    }
    assert meters[rule.per.unit].earliest(START) is None


def test_daily_caps_leave_transactional_messages_alone_unless_named() -> None:
    assert not binds(volume(1, "1d"), "transactional", "email", "qq.com")
    assert binds(volume(1, "1d", classes=("transactional",)), "transactional", "email", "qq.com")
    assert binds(volume(1, "1d"), "care", "email", "qq.com")


def test_rates_and_domains_bind_every_class() -> None:
    assert binds(volume(1, "1s"), "transactional", "sms", None)
    assert binds(volume(1, "1d", domain="qq.com"), "transactional", "email", "qq.com")
    assert not binds(volume(1, "1d", domain="qq.com"), "marketing", "email", "163.com")
    assert not binds(volume(1, "1s", channel="sms"), "marketing", "email", "163.com")
