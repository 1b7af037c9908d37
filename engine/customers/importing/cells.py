"""What a cell of an import file means: moments, money, numbers, days of birth. A ValueError says what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from engine.audience.money import decimals_of
from engine.clock import from_local
from engine.errors import did_you_mean

LONGEST_ID = 255  # an index entry of PostgreSQL holds no more than some 2,700 bytes
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_YEAR, _LAST_YEAR = 1900, 2199
_SPACED_OFFSET = re.compile(r"(.*\d) ([+-]\d\d:?\d\d)")
_MONEY = re.compile(r"(-?)(\d{0,13})(?:\.(\d*))?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,15}", re.ASCII)
_BIRTHDAY = re.compile(r"(?:(\d{4}|-)-)?(\d{2})-(\d{2})", re.ASCII)
_YES_NO = {"yes": True, "no": False, "true": True, "false": False}

_ROUNDED = re.compile(r"\d(\.\d+)?[Ee]\+\d+")
Cell = Callable[[str], Any]
"""Reads one cell's text."""


def text(cell: str) -> str | None:
    """Trimmed; None where blank."""
    return cell.strip() or None


def name(cell: str) -> str | None:
    """Text that an index holds: trimmed, None where blank, not longer than an id."""
    found = cell.strip()
    if len(found) > LONGEST_ID:
        raise ValueError(f"is longer than {LONGEST_ID} characters")
    return found or None


def identifier(cell: str) -> str:
    """The shop's own id, as it is written (`00001` stays so)."""
    found = cell.strip()
    if not found:
        raise ValueError("is blank")
    if len(found) > LONGEST_ID:
        raise ValueError(f"is longer than {LONGEST_ID} characters")
    if "+" in found and _ROUNDED.fullmatch(found):
        raise ValueError(
            f"{found!r} was rounded by a spreadsheet, so ids run together; export it again, ids as text"
        )
    return found


def optional(read: Cell) -> Cell:
    """The same cell, None where it is blank."""
    return lambda cell: read(cell) if cell and not cell.isspace() else None


def word(*known: str) -> Cell:
    """One of these words, whatever its case."""

    def read(cell: str) -> str:
        found = cell.strip().lower()
        if found not in known:
            hint = did_you_mean(found, known) or f"; one of {', '.join(known)}"
            raise ValueError(f"{_shown(cell)} is not known{hint}")
        return found

    return read


def yes_or_no(cell: str) -> bool | None:
    """A consent or a mark: None where the cell says nothing."""
    found = cell.strip().lower()
    if not found:
        return None
    if found not in _YES_NO:
        raise ValueError(f"{_shown(cell)} is neither yes nor no (blank = unknown)")
    return _YES_NO[found]


def whole_number(cell: str) -> int:
    """A count from 0 up."""
    if cell.isdigit() and cell.isascii() and len(cell) < 16:
        return int(cell)
    found = cell.strip()
    if _WHOLE.fullmatch(found) is None:
        raise ValueError(f"{_shown(cell)} is not a whole number")
    if found.startswith("-"):
        raise ValueError(f"{_shown(cell)} is negative")
    return int(found)


def money(currency: str) -> Cell:
    """An amount in units of the currency, as whole smallest units; no more decimals than the currency has.

    >>> money("CNY")("12.5"), money("JPY")("12"), money("CNY")("0")
    (1250, 12, 0)
    """
    places = decimals_of(currency)
    scale = 10**places

    def read(cell: str) -> int:
        units, _, rest = cell.partition(".")
        # Nearly every cell of a real file is `12.34`: that way costs a third of the general one.
        if len(rest) == places and rest.isdigit() and units.isdigit() and cell.isascii() and len(cell) < 14:  # fmt: skip
            return int(units + rest)
        return _read_money(cell, places, scale, currency)

    return read


def _read_money(cell: str, places: int, scale: int, currency: str) -> int:
    match = _MONEY.fullmatch(cell.strip())
    if match is None or not (match[2] or match[3]):
        raise ValueError(f"{_shown(cell)} is not an amount; write it as in 1234.50")
    decimals = (match[3] or "").rstrip("0")
    if len(decimals) > places:
        raise ValueError(f"{_shown(cell)} has more decimals than {currency}")
    amount = int(match[2] or "0") * scale + int(decimals.ljust(places, "0") or "0")
    if match[1] and amount:
        raise ValueError(f"{_shown(cell)} is negative")
    return amount


def birthday(latest_year: int) -> Callable[[str, bool], tuple[str, int, int]]:
    """A day of birth with or without its year: `1990-02-28`, `--02-28`, `02-28`.

    The reader takes the cell and whether the day is one of the lunar calendar (where every month may have 30 days);
    it gives the text to keep, the month and the day.

    >>> birthday(2026)("02-29", False)
    ('--02-29', 2, 29)
    """

    def read(cell: str, lunar: bool) -> tuple[str, int, int]:
        match = _BIRTHDAY.fullmatch(cell.strip())
        if match is None:
            raise ValueError(f"{_shown(cell)} is not a birthday; write 1990-02-28 or --02-28")
        has_year = match[1] not in (None, "-")
        year, month, day = int(match[1]) if has_year else 2000, int(match[2]), int(match[3])
        if not _exists(year, month, day, lunar):
            raise ValueError(f"{_shown(cell)} does not exist")
        if has_year and not _FIRST_YEAR <= year <= latest_year:
            raise ValueError(f"{_shown(cell)}: nobody was born then")
        return f"{year if has_year else '-'}-{month:02}-{day:02}", month, day

    return read


def _exists(year: int, month: int, day: int, lunar: bool) -> bool:
    if lunar:
        return 1 <= month <= 12 and 1 <= day <= 30
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def moments(zone: str, *, as_number: bool) -> Cell:
    """Moments as the database takes them: microseconds since 1970 (`as_number`) or ISO 8601 in UTC.

    Without an offset a time is the shop's (`zone`); a day alone is its first moment there.

    >>> moments("Asia/Shanghai", as_number=False)("2026-05-01 10:00")
    '2026-05-01T02:00:00+00:00'
    """

    @lru_cache(maxsize=4096)
    def offset_of(day: date) -> timedelta | None:
        """The zone's offset on this day; None on the days when it changes."""
        here = from_local(datetime.combine(day, time()), zone)
        tomorrow = from_local(datetime.combine(day + timedelta(days=1), time()), zone)
        offset = datetime.combine(day, time(), UTC) - here
        return offset if tomorrow - here == timedelta(days=1) else None

    def to_utc(moment: datetime) -> datetime:
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        offset = offset_of(moment.date())
        if offset is None:
            return from_local(moment, zone)
        return moment.replace(tzinfo=UTC) - offset

    # Files hold few different days and many rows: most moments are looked up, not read.
    @lru_cache(maxsize=16_384)
    def read(cell: str) -> Any:
        moment = _read_moment(cell)
        if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            raise ValueError(f"{_shown(cell)}: the year is not plausible")
        utc = to_utc(moment)
        return (utc - _EPOCH) // _MICROSECOND if as_number else utc.isoformat()

    return read


def from_number(microseconds: int) -> datetime:
    """The moment that `moments` gave as a number."""
    return _EPOCH + microseconds * _MICROSECOND


def _read_moment(cell: str) -> datetime:
    found = cell.strip()
    spaced = _SPACED_OFFSET.fullmatch(found)
    try:
        return datetime.fromisoformat(spaced[1] + spaced[2] if spaced else found)
    except ValueError:
        raise ValueError(
            f"{_shown(cell)} is not a date or time; write 2026-05-01 or 2026-05-01T10:00"
        ) from None


def _shown(cell: str, longest: int = 40) -> str:
    return repr(cell if len(cell) <= longest else cell[:longest] + "…")
