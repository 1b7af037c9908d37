"""Quiet hours at their edges, in many zones, over the days on which clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from engine.clock import zone_names
from engine.definitions.quiet import open_from, zone_of
from engine.definitions.values import Hours, parse_hours

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
WINDOWS = ("20:00-08:00", "00:00-06:30", "01:30-02:30", "23:30-00:30", "02:00-03:00", "12:00-11:00")


def local(zone: ZoneInfo, text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-11-10T19:59:59.999999", "2026-11-10T19:59:59.999999"),
        ("2026-11-10T20:00", "2026-11-11T08:00"),
        ("2026-11-10T23:59:59", "2026-11-11T08:00"),
        ("2026-11-11T00:00", "2026-11-11T08:00"),
        ("2026-11-11T07:59:59.999999", "2026-11-11T08:00"),
        ("2026-11-11T08:00", "2026-11-11T08:00"),
    ],
)
def test_a_window_over_midnight_is_kept_as_written(at: str, until: str) -> None:
    hours = [parse_hours("20:00-08:00")]
    assert open_from(hours, SHANGHAI, local(SHANGHAI, at)) == local(SHANGHAI, until)


def test_a_window_within_the_day_ends_on_that_day() -> None:
    hours = [parse_hours("12:00-14:00")]
    noon = local(SHANGHAI, "2026-11-10T12:00")
    assert open_from(hours, SHANGHAI, noon) == noon + timedelta(hours=2)
    assert open_from(hours, SHANGHAI, noon - timedelta(microseconds=1)) == noon - timedelta(
        microseconds=1
    )


def test_an_end_in_the_gap_of_spring_is_the_end_of_the_gap() -> None:
    hours = [parse_hours("22:00-02:30")]
    until = open_from(hours, BERLIN, local(BERLIN, "2026-03-29T01:00"))
    assert until == local(BERLIN, "2026-03-29T03:00")


def test_an_end_in_the_overlap_of_autumn_comes_at_its_first_time_and_the_repeated_hour_is_quiet_again() -> (
    None
):
    hours = [parse_hours("22:00-02:30")]
    assert open_from(hours, BERLIN, local(BERLIN, "2026-10-25T01:00")) == local(
        BERLIN, "2026-10-25T02:30", fold=0
    )
    assert open_from(hours, BERLIN, local(BERLIN, "2026-10-25T02:10", fold=1)) == local(
        BERLIN, "2026-10-25T02:30", fold=1
    )


def test_windows_that_follow_one_another_are_passed_together() -> None:
    hours = [parse_hours("20:00-23:00"), parse_hours("23:00-08:00")]
    until = open_from(hours, SHANGHAI, local(SHANGHAI, "2026-11-10T21:00"))
    assert until == local(SHANGHAI, "2026-11-11T08:00")


def test_windows_that_leave_no_hour_have_no_end() -> None:
    hours = [parse_hours("08:00-20:00"), parse_hours("20:00-08:00")]
    assert open_from(hours, SHANGHAI, local(SHANGHAI, "2026-11-10T21:00")) is None


@pytest.mark.parametrize("name", [None, "", "Mars/Olympus", "Asia", "../etc/passwd"])
def test_an_unknown_zone_is_the_shops(name: str | None) -> None:
    assert zone_of(name, "Asia/Shanghai").key == "Asia/Shanghai"


@cache
def _edges(zone: ZoneInfo) -> list[datetime]:
    """Moments around the days of 2026 on which the zone's clocks are set, or else around a plain day."""
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(366)]
    changes = [
        day
        for day, following in pairwise(days)
        if day.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset()
    ]
    return [
        day + timedelta(minutes=15 * step)
        for day in changes or [days[150]]
        for step in range(-32, 160, 5)
    ]


@pytest.mark.parametrize("window", WINDOWS)
def test_in_every_zone_the_end_is_open_and_nothing_before_it_is(window: str) -> None:
    hours = parse_hours(window)
    for name in sorted(zone_names()):
        zone = ZoneInfo(name)
        for moment in _edges(zone):
            until = open_from([hours], zone, moment)
            assert until is not None
            assert not hours.holds(until.astimezone(zone).time()), (name, moment)
            if until != moment:
                _check_quiet_until(hours, zone, moment, until)


def _check_quiet_until(hours: Hours, zone: ZoneInfo, moment: datetime, until: datetime) -> None:
    assert hours.holds(moment.astimezone(zone).time())
    before = (until - timedelta(microseconds=1)).astimezone(zone)
    assert hours.holds(before.time()), (zone, moment, until)
    assert until - moment < timedelta(hours=26)
