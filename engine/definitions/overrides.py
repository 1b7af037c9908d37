"""The policy's calendar on the axis of moments: which exception holds when, and when that changes. Purely."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from engine.clock import from_local
from engine.definitions.policy import Override, Policy, QuietHours

_DAY = timedelta(days=1)


class Overrides:
    """Each holds from the shop's midnight that begins its first day until before the one that ends its last."""

    def __init__(self, calendar: tuple[Override, ...], shop: str) -> None:
        edges: list[tuple[datetime, Override | None]] = []
        for one in calendar:
            start, end = _midnight(one.first, shop), _midnight(one.last + _DAY, shop)
            if edges and edges[-1][0] == start:
                edges.pop()  # the one before ends as this one begins
            edges += [(start, one), (end, None)]
        self._edges = [moment for moment, _ in edges]
        self._holding = [None, *(one for _, one in edges)]

    def __bool__(self) -> bool:
        return bool(self._edges)

    def at(self, moment: datetime) -> tuple[Override | None, datetime | None]:
        """What holds at this moment, and the moment from which something else does (None: never)."""
        place = bisect_right(self._edges, moment)
        return self._holding[place], self._edges[place] if place < len(self._edges) else None

    def edges(self) -> Sequence[datetime]:
        """The moments at which something else begins to hold."""
        return self._edges

    def quiet_hours(self) -> Iterator[QuietHours]:
        """Those of all of them."""
        return (rule for one in self._holding if one is not None for rule in one.quiet_hours)

    def least(self, maximum: int, factor: Callable[[Override], Any], since: datetime) -> int:
        """The lowest that `maximum` times the factor comes to from a moment on, the plain maximum included."""
        place = bisect_right(self._edges, since)
        factors = [factor(one) for one in self._holding[place:] if one is not None]
        return min([maximum, *(int(maximum * each) for each in factors)])


@lru_cache(maxsize=16)
def _laid_out(calendar: tuple[Override, ...], shop: str) -> Overrides:
    return Overrides(calendar, shop)


def overrides_of(policy: Policy) -> Overrides:
    """Those of a policy; made once for each."""
    return _laid_out(policy.calendar, policy.timezone)


def evidence_of(override: Override | None) -> Mapping[str, Any]:
    """The exception that had a say, for the evidence of a decision; nothing where none did."""
    if override is None:
        return {}
    place = {"file": override.position.file, "line": override.position.line}
    return {"override": {"name": override.name, **place}}


def _midnight(day: date, zone: str) -> datetime:
    return from_local(datetime.combine(day, time()), zone)
