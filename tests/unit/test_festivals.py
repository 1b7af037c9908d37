"""Festivals, solar terms and lunar days, against the calendars that were published for 2025 to 2027."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from math import radians, sin

import pytest

from engine.definitions.festivals import FESTIVALS, SOLAR_TERMS, festival, solar_term
from engine.planning.festivals import date_of, days_between, lunar_day

PUBLISHED = """
春节   2025-01-29 2026-02-17 2027-02-06
元宵   2025-02-12 2026-03-03 2027-02-20
龙抬头 2025-03-01 2026-03-20 2027-03-09
清明   2025-04-04 2026-04-05 2027-04-05
端午   2025-05-31 2026-06-19 2027-06-09
七夕   2025-08-29 2026-08-19 2027-08-08
中元   2025-09-06 2026-08-27 2027-08-16
中秋   2025-10-06 2026-09-25 2027-09-15
重阳   2025-10-29 2026-10-18 2027-10-08
冬至   2025-12-21 2026-12-22 2027-12-22
腊八   2025-01-07 2026-01-26 2027-01-15
小年   2025-01-22 2026-02-10 2027-01-30
南方小年 2025-01-23 2026-02-11 2027-01-31
除夕   2025-01-28 2026-02-16 2027-02-05
元旦   2025-01-01 2026-01-01 2027-01-01
妇女节 2025-03-08 2026-03-08 2027-03-08
母亲节 2025-05-11 2026-05-10 2027-05-09
父亲节 2025-06-15 2026-06-21 2027-06-20
国庆   2025-10-01 2026-10-01 2027-10-01
感恩节 2025-11-27 2026-11-26 2027-11-25
黑五   2025-11-28 2026-11-27 2027-11-26
双十一 2025-11-11 2026-11-11 2027-11-11
"""
TERMS = {
    2025: "0105 0120 0203 0218 0305 0320 0404 0420 0505 0521 0605 0621 "
    "0707 0722 0807 0823 0907 0923 1008 1023 1107 1122 1207 1221",
    2026: "0105 0120 0204 0218 0305 0320 0405 0420 0505 0521 0605 0621 "
    "0707 0723 0807 0823 0907 0923 1008 1023 1107 1122 1207 1222",
    2027: "0105 0120 0204 0219 0306 0321 0405 0420 0506 0521 0606 0621 "
    "0707 0723 0808 0823 0908 0923 1008 1023 1107 1122 1207 1222",
}


@pytest.mark.parametrize("line", PUBLISHED.split("\n")[1:-1])
def test_festivals_are_on_their_published_dates(line: str) -> None:
    name, *dates = line.split()
    found = [day for _, day in days_between(festival(name), date(2025, 1, 1), date(2027, 12, 31))]
    assert {date.fromisoformat(day) for day in dates} == set(found)


@pytest.mark.parametrize("year", TERMS)
def test_the_24_solar_terms_are_on_their_published_dates(year: int) -> None:
    found = [date_of(term, year) for term in SOLAR_TERMS.values()]
    assert [f"{day:%m%d}" for day in found if day] == TERMS[year].split()


def test_solar_terms_agree_with_where_the_sun_stands() -> None:
    """An independent calculation (Meeus, low precision: a quarter of an hour), where it is not close to midnight."""
    for year in (1990, 2025, 2026, 2027, 2040):
        for index, term in enumerate(SOLAR_TERMS.values()):
            moment = _sun_reaches((285 + 15 * index) % 360, year, index) + timedelta(hours=8)
            if timedelta(minutes=20) < moment - datetime.combine(moment, datetime.min.time(), UTC) < timedelta(hours=23, minutes=40):  # fmt: skip
                assert date_of(term, year) == moment.date(), (year, term.names)


def _sun_reaches(longitude: float, year: int, index: int) -> datetime:
    moment = datetime(year, 1, 5, tzinfo=UTC) + timedelta(days=15.22 * index)
    for _ in range(5):
        ahead = (longitude - _sun_at(moment) + 180) % 360 - 180
        moment += timedelta(days=ahead * 365.2422 / 360)
    return moment


def _sun_at(moment: datetime) -> float:
    """The sun's apparent longitude in degrees (Meeus, Astronomical Algorithms, chapter 25)."""
    century = ((moment - datetime(2000, 1, 1, 12, tzinfo=UTC)).total_seconds() + 69) / 86400 / 36525
    mean = 280.46646 + 36000.76983 * century
    anomaly = radians(357.52911 + 35999.05029 * century)
    centre = (1.914602 - 0.004817 * century) * sin(anomaly) + 0.019993 * sin(2 * anomaly)
    node = radians(125.04 - 1934.136 * century)
    return mean + centre + 0.000289 * sin(3 * anomaly) - 0.00569 - 0.00478 * sin(node)


def test_the_sixth_month_of_2025_comes_twice() -> None:
    first, leap = lunar_day(date(2025, 6, 25)), lunar_day(date(2025, 7, 25))
    assert first is not None and leap is not None
    assert first[:4] == (2025, 6, 1, False)
    assert leap[:4] == (2025, 6, 1, True)
    last, following = lunar_day(date(2025, 8, 22)), lunar_day(date(2025, 8, 23))
    assert last is not None and following is not None
    assert (last.in_leap_month, last.is_last) == (True, True)
    assert following[:4] == (2025, 7, 1, False)


def test_a_lunar_festival_counts_to_its_lunar_year_so_that_no_year_has_two() -> None:
    laba = festival("腊八")
    assert days_between(laba, date(2022, 1, 1), date(2022, 12, 31)) == [
        (2021, date(2022, 1, 10)),
        (2022, date(2022, 12, 30)),
    ]


def test_beyond_the_tables_nothing_happens() -> None:
    assert date_of(festival("春节"), 2101) is None
    assert date_of(festival("春节"), 1850) is None
    assert lunar_day(date(2150, 1, 1)) is None
    assert days_between(festival("国庆"), date(2100, 1, 1), date(2101, 1, 1)) == []


def test_every_name_leads_to_one_festival_and_a_slip_to_the_nearest() -> None:
    for known, find in ((FESTIVALS, festival), (SOLAR_TERMS, solar_term)):
        words = [word for one in known.values() for word in (one.slug, *one.names)]
        assert len(words) == len(set(words))
        for one in known.values():
            assert {find(word).slug for word in (one.slug, *one.names)} == {one.slug}
    with pytest.raises(ValueError, match="unknown festival '七西'; did you mean '七夕'"):
        festival("七西")
    with pytest.raises(ValueError, match="unknown solar term 'lichunn'; did you mean 'lichun'"):
        solar_term("lichunn")
    with pytest.raises(ValueError, match=r"known are 春节 \(chunjie\)"):
        festival("x")
