"""Sliding windows, purely: when may one more fall among what is already there?

Time is whole numbers on one axis: microseconds for windows that roll, ordinals of local days for windows of days. An
item occupies `first..last` (both inclusive; a message that went out has both equal, a reservation may still go
anywhere between). A window of length n holds n consecutive numbers and counts an item once if they meet.
"""

from __future__ import annotations

from collections.abc import Sequence

Item = tuple[int, int]


def next_room(items: Sequence[Item], moment: int, length: int, maximum: int) -> int | None:
    """The first moment from this one on at which every window that holds it would count at most `maximum` with one
    more. None: never (a maximum of nothing).

    >>> next_room([(10, 10), (12, 12)], 13, 5, 2)
    15
    >>> next_room([(10, 10), (20, 30)], 9, 5, 2)
    9
    """
    if maximum <= 0:
        return None
    if len(items) < maximum:
        return moment
    for start, end in full_windows(items, length, maximum):
        # A window that begins anywhere in start..end is full; it holds the moments start..end + length - 1.
        if moment < start:
            break
        moment = max(moment, end + length)
    return moment


def full_windows(items: Sequence[Item], length: int, maximum: int) -> list[Item]:
    """Where windows begin that already count `maximum` or more: disjoint stretches (both ends inclusive), in order."""
    # The windows that count an item begin at first - length + 1 … last.
    edges = sorted(
        [(first - length + 1, 1) for first, _ in items] + [(last + 1, -1) for _, last in items]
    )
    found: list[Item] = []
    count, begun = 0, None
    for (
        position,
        change,
    ) in edges:  # at one position ends sort before beginnings: stretches may touch
        count += change
        if begun is None and count >= maximum:
            begun = position
        elif begun is not None and count < maximum:
            found.append((begun, position - 1))
            begun = None
    return found


def fullest_window(items: Sequence[Item], moment: int, length: int) -> list[int]:
    """Which items (by index) the fullest window that holds this moment counts: the evidence of a refusal.

    >>> fullest_window([(1, 1), (10, 10), (12, 12)], 13, 5)
    [1, 2]
    """
    starts = {moment} | {last for _, last in items if moment - length < last < moment}
    counted = [
        [
            place
            for place, (first, last) in enumerate(items)
            if first < start + length and last >= start
        ]
        for start in sorted(starts, reverse=True)
    ]
    return max(counted, key=len)
