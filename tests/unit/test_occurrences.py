"""When a schedule comes: cron on every clock, over daylight saving; festivals with their offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.definitions.campaign import Schedule
from engine.definitions.cron import parse_cron
from engine.definitions.loader import check
from engine.planning.due import Span
from engine.planning.occurrences import next_occurrence, occurrences

FILE = "campaigns/weekly.yaml"
REST = {"templates/sms/hello.txt.j2": ""}
SHANGHAI = "Asia/Shanghai"


def files(written: str) -> dict[str, str]:
    source = f"kind: campaign\nclass: marketing\nschedule: {written}\naudience: {{all: []}}\n"
    return {FILE: source + "steps: [{sms: {template: hello}}]\n", **REST}


def schedule(written: str) -> Schedule:
    definitions, problems = check(files(written))
    assert definitions is not None, [str(problem) for problem in problems]
    return definitions.campaigns["weekly"].schedule


def problem(written: str) -> str:
    definitions, (found, *_) = check(files(written))
    assert definitions is None
    return str(found).removeprefix(f"{FILE}:")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def texts(written: str, first: str, last: str, shop: str = SHANGHAI, zones: tuple[str, ...] = ()) -> list[str]:  # fmt: skip
    span = Span(utc(first), utc(last))
    found = occurrences(schedule(written + ", expires: 1s}"), shop, zones, span)
    return [f"{one.text} {one.starts_at:%d %H:%M}" for one in found]


def test_every_monday_at_ten_is_that_in_the_shops_zone_or_in_another_or_the_customers() -> None:
    weekly = '{cron: "0 10 * * mon"'
    assert texts(weekly, "2026-11-01T00:00", "2026-11-16T02:00") == [
        "cron:2026-11-02T10:00+08:00 02 02:00",
        "cron:2026-11-09T10:00+08:00 09 02:00",
        "cron:2026-11-16T10:00+08:00 16 02:00",
    ]
    in_new_york = texts(weekly + ", timezone: America/New_York", "2026-10-26T00:00", "2026-11-03T00:00")  # fmt: skip
    assert in_new_york == [
        "cron:2026-10-26T10:00-04:00 26 14:00",
        "cron:2026-11-02T10:00-05:00 02 15:00",  # summer time ended the day before
    ]
    (own,) = occurrences(
        schedule(weekly + ", timezone: customer}"), SHANGHAI, ["Pacific/Auckland"],
        Span(utc("2026-11-02T03:00"), utc("2026-11-03T00:00")),
    )  # fmt: skip
    assert own.text == "cron:2026-11-02T10:00"
    assert own.due == {"Pacific/Auckland": utc("2026-11-01T21:00"), SHANGHAI: utc("2026-11-02T02:00")}  # fmt: skip


def test_an_hour_that_is_skipped_comes_right_after_the_gap_and_one_that_comes_twice_comes_once() -> (
    None
):
    nightly = '{cron: "30 2 * * *"'
    assert texts(nightly, "2026-03-28T00:00", "2026-03-30T12:00", "Europe/Berlin") == [
        "cron:2026-03-28T02:30+01:00 28 01:30",
        "cron:2026-03-29T02:30+02:00 29 01:00",  # 03:00 local, the first valid moment
        "cron:2026-03-30T02:30+02:00 30 00:30",
    ]
    assert texts(nightly, "2026-10-25T00:00", "2026-10-26T12:00", "Europe/Berlin") == [
        "cron:2026-10-25T02:30+02:00 25 00:30",  # the first of the two
        "cron:2026-10-26T02:30+01:00 26 01:30",
    ]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago"])  # fmt: skip
def test_every_half_hour_of_the_night_over_both_changes_no_moment_comes_twice(zone: str) -> None:
    span = Span(utc("2026-01-01T00:00"), utc("2026-12-31T00:00"))
    written = schedule('{cron: "0,30 0-4 * * *", expires: 1s}')
    found = occurrences(written, zone, (), span)
    moments = [one.starts_at for one in found]
    assert moments == sorted(set(moments))
    assert len({one.text for one in found}) == len(found)
    # An independent count: each half hour of the wall clock that exists, once.
    walls, moment = set(), span.earliest
    while moment <= span.latest:
        wall = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        walls |= {wall} if wall.hour < 5 else set()
        moment += timedelta(minutes=30)
    assert {one.starts_at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for one in found} == walls


def test_a_time_in_the_gap_and_the_one_at_its_end_are_one() -> None:
    found = texts('{cron: "0,30 2,3 * * *"', "2026-03-29T00:30", "2026-03-29T06:00", "Europe/Berlin")  # fmt: skip
    assert found == ["cron:2026-03-29T02:00+02:00 29 01:00", "cron:2026-03-29T03:30+02:00 29 01:30"]


def test_a_campaign_goes_out_a_week_before_a_festival_every_year() -> None:
    written = '{festival: {name: [七夕, 中秋], offset: -7d, time: "09:30"}'
    assert texts(written, "2025-01-01T00:00", "2027-12-31T00:00") == [
        "festival:2025-qixi 22 01:30",
        "festival:2025-zhongqiu 29 01:30",
        "festival:2026-qixi 12 01:30",
        "festival:2026-zhongqiu 18 01:30",
        "festival:2027-qixi 01 01:30",
        "festival:2027-zhongqiu 08 01:30",
    ]
    assert texts("{solar_term: 立春", "2025-01-01T00:00", "2026-12-31T00:00") == [
        "solar_term:2025-lichun 03 02:00",
        "solar_term:2026-lichun 04 02:00",
    ]


def test_the_next_date_is_the_first_that_has_not_begun() -> None:
    now = utc("2026-11-09T02:01")
    weekly = next_occurrence(schedule('{cron: "0 10 * * mon"}'), SHANGHAI, (), now)
    assert weekly is not None and weekly.text == "cron:2026-11-16T10:00+08:00"
    leap = next_occurrence(schedule('{cron: "0 10 29 2 *"}'), SHANGHAI, (), now)
    assert leap is not None and leap.text == "cron:2028-02-29T10:00+08:00"
    never = schedule("{festival: 春节}")
    assert next_occurrence(never, SHANGHAI, (), utc("2100-06-01T00:00")) is None


def test_lists_ranges_steps_and_names_mean_what_crontab_says() -> None:
    assert parse_cron("0,30 9-18/3 1,15 jan-mar *").hours == (9, 12, 15, 18)
    assert parse_cron("5 */6 * * *").hours == (0, 6, 12, 18)
    assert parse_cron("5 20/2 * * *").hours == (20, 22)
    assert parse_cron("0 10 * * fri-mon").weekdays == {4, 5, 6, 0}
    assert parse_cron("0 10 * FEB,4 SAT").months == {2, 4}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('{cron: "0 10 * * 1"}', "3:18: 1 as a day of the week: crontabs disagree whether 0 is Sunday or Monday; write a name: mon, tue"),
        ('{cron: "0 10 * * mno"}', "'mno' is no day of the week; did you mean 'mon'?"),
        ('{cron: "0 10 * * 星期一"}', "stands for no day of the week"),
        ('{cron: "0 10 * *"}', "is not five fields: cron has minute hour day month weekday"),
        ('{cron: "@daily"}', "is not five fields"),
        ('{cron: "* 10 * * mon"}', "would go out again and again within an hour: name the minute"),
        ('{cron: "0 24 * * mon"}', "24 is no hour: from 0 to 23"),
        ('{cron: "0 18-9 * * mon"}', "'18-9' is empty: 18 comes after 9"),
        ('{cron: "0 */0 * * mon"}', "a step is at least 1"),
        ('{cron: "0 10 1 * mon"}', "names a day of the month and a day of the week; crontabs disagree"),
        ('{cron: "0 10 30 2 *"}', "never comes: no such month has 30 days"),
        ('{cron: "0 10 31 apr,jun *"}', "never comes: no such month has 31 days"),
        ('{cron: "0 10 * * mon", at: "2026-11-09T10:00"}', "3:12: `at` and `cron`: write one of them"),
        ("{festival: {name: 七西}}", "unknown festival '七西'; did you mean '七夕'?"),
        ("{festival: {offset: -7d}}", "`name` is missing"),
        ("{festival: 618}", '618 is not text; if it is meant as text, quote it: "618"'),
        ("{solar_term: {name: 立春, at: x}}", "unknown key 'at'"),
        ("{timezone: customer}", "`at` or `cron` or `festival` or `solar_term` is missing"),
        ('{cron: "0 10 * * mon", timezone: Asia/Shangai}', "did you mean 'Asia/Shanghai'?"),
    ],
)  # fmt: skip
def test_each_mistake_in_a_schedule_is_told_with_what_would_be_right(written: str, told: str) -> None:  # fmt: skip
    assert told in problem(written)
