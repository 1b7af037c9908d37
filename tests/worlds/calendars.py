"""Clocks, durations, and the Chinese calendar as it is published, in plain Python. Nothing of the engine's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_UNITS = {"s": timedelta(seconds=1), "m": MINUTE, "h": HOUR, "d": DAY}
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

LUNAR_YEARS = {  # the first day, and each month with its days; a month after its leap sign is a leap month
    2024: (date(2024, 2, 10), "1:29 2:30 3:29 4:29 5:30 6:29 7:30 8:30 9:29 10:30 11:30 12:29"),
    2025: (date(2025, 1, 29), "1:30 2:29 3:30 4:29 5:29 6:30 *6:29 7:30 8:29 9:30 10:30 11:30 12:29"),
    2026: (date(2026, 2, 17), "1:30 2:29 3:30 4:29 5:29 6:30 7:29 8:29 9:30 10:30 11:30 12:29"),
    2027: (date(2027, 2, 6), "1:30 2:30 3:29 4:30 5:29 6:29 7:30 8:29 9:29 10:30 11:30 12:29"),
    2028: (date(2028, 1, 26), "1:30 2:30 3:30 4:29 5:30 *5:29 6:29 7:30 8:29 9:29 10:30 11:30 12:29"),
}  # fmt: skip
"""As the Hong Kong Observatory publishes them."""
LUNAR_FESTIVALS = {  # 0: the month's last day
    "chunjie": (1, 1), "yuanxiao": (1, 15), "duanwu": (5, 5), "qixi": (7, 7), "zhongqiu": (8, 15),
    "chongyang": (9, 9), "laba": (12, 8), "xiaonian": (12, 23), "chuxi": (12, 0),
}  # fmt: skip
FIXED_FESTIVALS = {
    "yuandan": (1, 1), "valentine": (2, 14), "women": (3, 8), "guoqing": (10, 1), "halloween": (10, 31),
    "double11": (11, 11), "christmas": (12, 25),
}  # fmt: skip
SOLAR_TERMS = {
    "yushui": {2025: date(2025, 2, 18), 2026: date(2026, 2, 18), 2028: date(2028, 2, 19)},
    "jingzhe": {2025: date(2025, 3, 5), 2026: date(2026, 3, 5), 2028: date(2028, 3, 5)},
    "chunfen": {2025: date(2025, 3, 20), 2026: date(2026, 3, 20), 2028: date(2028, 3, 20)},
    "xiaoshu": {2025: date(2025, 7, 7), 2026: date(2026, 7, 7), 2028: date(2028, 7, 6)},
    "dashu": {2025: date(2025, 7, 22), 2026: date(2026, 7, 23), 2028: date(2028, 7, 22)},
    "shuangjiang": {2025: date(2025, 10, 23), 2026: date(2026, 10, 23), 2028: date(2028, 10, 23)},
    "lidong": {2025: date(2025, 11, 7), 2026: date(2026, 11, 7), 2028: date(2028, 11, 7)},
}
PROVINCE_ZONES = {"香港": "Asia/Hong_Kong", "澳门": "Asia/Macau", "台湾": "Asia/Taipei", "广东": "Asia/Shanghai", "上海": "Asia/Shanghai"}  # fmt: skip


def lasting(text: str) -> timedelta:
    """How long `36h` is; a day is 24 hours.

    >>> lasting("2d")
    datetime.timedelta(days=2)
    """
    return int(text[:-1]) * _UNITS[text[-1]]


def in_days(text: str | None) -> bool:
    return text is not None and text.endswith("d")


def clock(text: str) -> time:
    return time.fromisoformat(text)


def hours(text: str) -> tuple[time, time]:
    start, _, end = text.partition("-")
    return clock(start), clock(end)


def holds(window: str, moment: time) -> bool:
    """Whether a time of day lies within a window, over midnight too."""
    start, end = hours(window)
    return start <= moment < end if start < end else moment >= start or moment < end


def local(moment: datetime, zone: str) -> datetime:
    """The wall clock, naive."""
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def instant(wall: datetime, zone: str) -> datetime:
    """In a DST gap the first valid moment after it, where an hour comes twice the first.

    >>> instant(datetime(2026, 3, 29, 2, 30), "Europe/Berlin").isoformat()
    '2026-03-29T01:00:00+00:00'
    """
    first = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    if local(first, zone) == wall:
        return first
    moment = wall.replace(tzinfo=ZoneInfo(zone), fold=1).astimezone(UTC).replace(second=0)
    while local(moment, zone) < wall:
        moment += MINUTE
    return moment


def midnight(day: date, zone: str) -> datetime:
    return instant(datetime.combine(day, time()), zone)


def months_before(day: date, months: int) -> date:
    """Calendar months back, clamped at the month's end."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    last = ((date(year, month + 1, 28) + 4 * DAY).replace(day=1) - DAY).day
    return date(year, month + 1, min(day.day, last))


def kept_on(month: int, day: int, year: int) -> date:
    """A yearly day; of 29 February the 28th in other years."""
    return date(year, month, day) if (month, day) != (2, 29) or year % 4 == 0 else date(year, 2, 28)


def lunar_days(year: int) -> Iterator[tuple[date, int, int, bool, bool]]:
    """Each day of a lunar year: date, month, day, whether of a leap month, whether the month's last."""
    day, months = LUNAR_YEARS[year]
    for text in months.split():
        name, _, length = text.partition(":")
        for number in range(1, int(length) + 1):
            yield day, int(name.lstrip("*")), number, name.startswith("*"), number == int(length)
            day += DAY


def lunar_date(year: int, month: int, day: int) -> date:
    """A day of a lunar year, never of a leap month; the 30th is the 29th where the month ends there, 0 the last."""
    for real, its_month, its_day, leap, last in lunar_days(year):
        if its_month == month and not leap and (its_day == day or (last and day in (0, 30))):
            return real
    raise AssertionError((year, month, day))


def festival_date(slug: str, year: int) -> date | None:
    if slug in SOLAR_TERMS:
        return SOLAR_TERMS[slug].get(year)
    if slug in FIXED_FESTIVALS:
        return date(year, *FIXED_FESTIVALS[slug])
    return lunar_date(year, *LUNAR_FESTIVALS[slug]) if year in LUNAR_YEARS else None


def median(values: list[int]) -> int | None:
    """The middle one; the mean of the middle two, rounded down."""
    values = sorted(values)
    return None if not values else (values[(len(values) - 1) // 2] + values[len(values) // 2]) // 2
