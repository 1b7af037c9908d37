"""The zone database as rows, so that local times are computed in SQL, in sets, the same on both databases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TypedDict
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from engine.store.session import insert_ignoring
from engine.store.tables import zone_offsets

FIRST_YEAR, LAST_YEAR = 1990, 2045
_STEP = timedelta(
    days=7
)  # no zone changes its offset twice within a week and back (checked by a test)


class ZoneRow(TypedDict):
    zone: str
    from_epoch: int
    to_epoch: int
    seconds: int


def ensure_zones(connection: Connection, names: Iterable[str]) -> None:
    """Lay down the rows of these zones where they are missing (about 2 ms a zone, once)."""
    there = set(connection.execute(select(zone_offsets.c.zone).distinct()).scalars())
    rows = [row for name in sorted(set(names) - there) for row in zone_rows(name)]
    if rows:
        connection.execute(insert_ignoring(connection, zone_offsets, ("zone", "from_epoch")), rows)


def zone_rows(name: str) -> list[ZoneRow]:
    """Every stretch of constant offset from 1990 to 2045; the first and last reach to the ends of time."""
    info = ZoneInfo(name)
    changes = _changes(info)
    bounds = [-(2**40), *(change for change, _ in changes), 2**40]
    offsets = [
        _offset(info, datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)),
        *(offset for _, offset in changes),
    ]
    return [
        ZoneRow(zone=name, from_epoch=start, to_epoch=end, seconds=seconds)
        for (start, end), seconds in zip(pairwise(bounds), offsets, strict=True)
    ]


@lru_cache(maxsize=64)
def _changes(info: ZoneInfo) -> Sequence[tuple[int, int]]:
    """Remembered: a refresh of one customer asks for the shop's zone several times, at 15 ms each."""
    found = []
    moment, last = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), datetime(LAST_YEAR, 1, 1, tzinfo=UTC)
    offset = _offset(info, moment)
    while moment < last:
        following = moment + _STEP
        new = _offset(info, following)
        if new != offset:
            found.append((_instant_of_change(info, moment, following), new))
            offset = new
        moment = following
    return found


def _instant_of_change(info: ZoneInfo, low: datetime, high: datetime) -> int:
    start = _offset(info, low)
    early, late = int(low.timestamp()), int(high.timestamp())
    while late - early > 1:
        middle = (early + late) // 2
        if _offset(info, datetime.fromtimestamp(middle, UTC)) == start:
            early = middle
        else:
            late = middle
    return late


def _offset(info: ZoneInfo, moment: datetime) -> int:
    offset = moment.astimezone(info).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def offsets_between(name: str, low: datetime, high: datetime) -> tuple[int, int, int]:
    """(offset before, moment of the change, offset after) of a zone within a few days, in seconds; without a change the
    moment is one that never comes."""
    info = ZoneInfo(name)
    before, after = _offset(info, low), _offset(info, high)
    if before == after:
        return before, 2**40, after
    return before, _instant_of_change(info, low, high), after
