"""The habits of one customer from the times of his orders: what `habits` asks in SQL for everybody at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from engine.customers.clock import DAY

_HOUR = 3600
_FEW = 3  # so many have a median time between them that is their mean
NEAR = 2
"""Hours on either side of the middle of a run."""


class Offsets(NamedTuple):
    """How far a clock is ahead of UTC: `seconds[n]` from the moment `since[n]` on, both in seconds."""

    since: Sequence[int]
    seconds: Sequence[int]

    def local(self, times: Sequence[int]) -> list[int]:
        """Seconds since midnight on this clock. `times`: in order."""
        if not times or times[0] >= self.since[-1]:
            ahead = self.seconds[-1]
            return [(time + ahead) % DAY for time in times]
        since, seconds = self.since, self.seconds
        return [(time + seconds[bisect_right(since, time) - 1]) % DAY for time in times]


def usual_hour(times: Sequence[int], own: Offsets, shop: Offsets) -> tuple[int | None, int | None]:
    """The usual hour on the customer's own clock, and its confidence in percent. `times`: seconds since 1970, in order.

    >>> utc = Offsets((-(2**40),), (0,))
    >>> usual_hour((23 * 3600 + 1800, 86400 + 1800), utc, utc)
    (0, 66)
    """
    # None, or known by dates only; most are not, and the first one shows it.
    if not any(shop.local(times[:1])) and not any(shop.local(times)):
        return None, None
    orders, seconds = [0] * 24, [0] * 24
    for since_midnight in own.local(times):
        orders[since_midnight // _HOUR] += 1
        seconds[since_midnight // _HOUR] += since_midnight
    around = [*orders[-NEAR:], *orders, *orders[:NEAR]]
    # The run with most orders, then that with most in its middle, then the earliest.
    near, _, earliness = max(
        [
            (sum(around[hour : hour + 2 * NEAR + 1]), own_orders, -hour)
            for hour, own_orders in enumerate(orders)
            if own_orders
        ]
    )
    middle, total = -earliness, 0
    for apart in range(-NEAR, NEAR + 1):
        days, hour = divmod(middle + apart, 24)
        total += seconds[hour] + orders[hour] * days * DAY
    return total // near // _HOUR % 24, 100 * near // (len(times) + 1)


def cycle(times: Sequence[int]) -> int | None:
    """The median time between orders that follow each other. `times`: in order.

    >>> cycle((0, 10, 15, 115)), cycle((0, 10, 15)), cycle((7,))
    (10, 7, None)
    """
    if len(times) <= _FEW:
        return (times[-1] - times[0]) // (len(times) - 1) if len(times) > 1 else None
    gaps = sorted([later - time for time, later in pairwise(times)])
    return (gaps[(len(gaps) - 1) // 2] + gaps[len(gaps) // 2]) // 2
