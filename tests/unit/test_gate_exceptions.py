"""Exceptions of the calendar and quiet days at their edges; warm-ups day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.definitions.limits import Limit
from engine.definitions.policy import WarmUp
from engine.definitions.public_holidays import is_holiday, is_worked
from engine.definitions.quiet import Quiet, quiet_of
from engine.gate.volume import Daily, Rolling, microseconds, moment_of
from tests.gate_world import override, policy, quiet, quiet_days, volume

SHANGHAI = ZoneInfo("Asia/Shanghai")
TICK = timedelta(microseconds=1)
DOUBLE11 = override(
    "double11", date(2026, 11, 1), date(2026, 11, 12), quiet_hours=(quiet("sms", "23:00-08:00"),)
)


def at(text: str, zone: str = "Asia/Shanghai") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def asks(timezone: str | None = None, **rules: Any) -> Quiet:
    found = quiet_of(policy(**rules), "marketing", "sms", timezone)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2026-10-31T21:00", "2026-11-01T08:00"),  # over the edge, at whose midnight the other rule is quiet too
        ("2026-11-01T22:59:59", "2026-11-01T22:59:59"),
        ("2026-11-12T22:30", "2026-11-12T22:30"),
        ("2026-11-12T23:30", "2026-11-13T08:00"),
        ("2026-11-13T20:00", "2026-11-14T08:00"),  # it has ended by itself
    ],
)  # fmt: skip
def test_other_quiet_hours_hold_from_the_first_midnight_to_the_last(
    moment: str, opens: str
) -> None:
    found = asks(quiet_hours=(quiet("sms", "20:00-08:00"),), calendar=(DOUBLE11,))
    assert found.opening(at(moment)) == at(opens)


def test_a_wait_ends_at_the_midnight_from_which_another_rule_lets_it_go() -> None:
    evening = override("evening", date(2026, 11, 1), date(2026, 11, 2), quiet_hours=(quiet("sms", "02:00-08:00"),))  # fmt: skip
    found = asks(quiet_hours=(quiet("sms", "20:00-08:00"),), calendar=(evening,))
    assert found.opening(at("2026-10-31T21:00")) == at("2026-11-01T00:00")
    assert found.opening(at("2026-11-02T23:59:59")) == at("2026-11-02T23:59:59")
    assert found.opening(at("2026-11-03T00:00")) == at("2026-11-03T08:00")
    closed = found.closed(at("2026-11-01T02:00"))
    assert closed is not None and closed.override is evening


def test_the_edge_is_the_shops_midnight_wherever_the_customer_lives() -> None:
    found = asks(
        "America/New_York", quiet_hours=(quiet("sms", "11:00-14:00"),), calendar=(DOUBLE11,)
    )
    edge = at("2026-11-01T00:00")  # noon of 31 October in New York
    assert found.closed(edge - TICK) is not None
    assert found.closed(edge) is None


def test_a_weekend_is_left_at_the_customers_midnight_and_a_worked_one_is_no_weekend() -> None:
    found = asks(quiet_days=(quiet_days(5, 6, holidays="CN"),))
    assert found.opening(at("2026-11-07T00:00")) == at("2026-11-09T00:00")
    assert found.opening(at("2026-11-06T23:59:59")) == at("2026-11-06T23:59:59")
    assert found.closed(at("2026-10-10T12:00")) is None  # a Saturday that is worked
    assert found.opening(at("2026-10-01T09:00")) == at("2026-10-08T00:00")
    there = asks("America/New_York", quiet_days=(quiet_days(5, 6),))
    assert there.opening(at("2026-11-07T12:00")) == at("2026-11-07T12:00")  # Friday evening there
    assert there.opening(at("2026-11-07T13:00")) == at("2026-11-09T00:00", "America/New_York")


def test_quiet_days_and_nights_are_passed_together_and_an_exception_lifts_them() -> None:
    rules: dict[str, Any] = {
        "quiet_days": (quiet_days(5, 6),),
        "quiet_hours": (quiet("sms", "20:00-08:00"),),
    }
    assert asks(**rules).opening(at("2026-11-06T21:00")) == at("2026-11-09T08:00")
    lifted = override("lifted", date(2026, 11, 7), date(2026, 11, 7), quiet_days=())
    assert asks(**rules, calendar=(lifted,)).opening(at("2026-11-06T21:00")) == at("2026-11-07T08:00")  # fmt: skip
    assert (
        asks(quiet_days=(quiet_days(0, 1, 2, 3, 4, 5, 6),)).opening(at("2026-11-06T21:00")) is None
    )


def test_chinese_holidays_are_those_that_were_announced() -> None:
    days = [date(2026, 1, 1) + timedelta(days=count) for count in range(365)]
    free = [f"{day:%m%d}" for day in days if is_holiday("CN", day)]
    spans = (("0101", 3), ("0215", 9), ("0404", 3), ("0501", 5), ("0619", 3), ("0925", 3), ("1001", 7))  # fmt: skip
    assert free == [
        f"{date(2026, int(first[:2]), int(first[2:])) + timedelta(days=count):%m%d}"
        for first, length in spans
        for count in range(length)
    ]
    worked = [f"{day:%m%d}" for day in days if is_worked("CN", day)]
    assert worked == ["0104", "0214", "0228", "0509", "0920", "1010"]


def test_a_warm_up_begins_with_its_first_message_and_doubles_until_max() -> None:
    rule = volume(5000, "1d", warm_up=WarmUp(500, 1))
    meter = Daily(Limit.of(rule, SHANGHAI), {})
    monday = date(2026, 11, 9).toordinal()
    assert meter.limit.on(monday + 30) == 500  # nothing went yet: it waits with its start
    meter.add(microseconds(at("2026-11-09T10:00")))
    assert [meter.limit.on(monday + day) for day in range(6)] == [500, 1000, 2000, 4000, 5000, 5000]
    for _ in range(499):
        meter.add(microseconds(at("2026-11-09T10:00")))
    assert moment_of(meter.earliest(microseconds(at("2026-11-09T11:00"))) or 0) == at("2026-11-10T00:00")  # fmt: skip
    slower = Limit.of(volume(9, "1d", warm_up=WarmUp(2, 3)), SHANGHAI, begun=date(2026, 11, 9))
    assert [slower.on(monday + day) for day in range(7)] == [2, 2, 2, 4, 4, 4, 8]


def test_a_factor_widens_the_shops_caps_for_its_days_but_no_rate_and_no_warm_up() -> None:
    wide = override("wide", date(2026, 11, 10), date(2026, 11, 11), volume_factor=Decimal("1.5"))
    day = date(2026, 11, 10).toordinal()
    daily = Limit.of(volume(5, "1d"), SHANGHAI, (wide,))
    assert [daily.on(day + offset) for offset in (-1, 0, 1, 2)] == [5, 7, 7, 5]
    assert Limit.of(volume(5, "1d", domain="qq.com"), SHANGHAI, (wide,)).on(day) == 5
    ramp = Limit.of(volume(9, "1d", warm_up=WarmUp(2, 1)), SHANGHAI, (wide,), date(2026, 11, 9))
    assert [ramp.on(day + offset) for offset in (0, 1, 2, 3)] == [4, 8, 9, 9]
    hourly = Rolling(Limit.of(volume(2, "2h"), SHANGHAI, (wide,)), {})
    for _ in range(2):
        hourly.add(microseconds(at("2026-11-09T23:30")))
    edge = microseconds(at("2026-11-10T00:00"))
    assert hourly.earliest(edge - 1) == edge  # from midnight a third one may go
