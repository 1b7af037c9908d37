"""Sliding windows, against counting every window one by one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.gate.windows import Item, fullest_window, next_room

ITEMS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 12)).map(lambda pair: (pair[0], sum(pair))),
    max_size=12,
)


def counts(items: list[Item], start: int, length: int) -> int:
    return sum(first < start + length and last >= start for first, last in items)


def has_room(items: list[Item], moment: int, length: int, maximum: int) -> bool:
    windows = range(moment - length + 1, moment + 1)
    return all(counts(items, start, length) + 1 <= maximum for start in windows)


@settings(max_examples=500, deadline=None)
@given(ITEMS, st.integers(0, 40), st.integers(1, 10), st.integers(1, 4))
def test_the_next_room_is_the_first_moment_whose_windows_all_have_it(
    items: list[Item], moment: int, length: int, maximum: int
) -> None:
    expected = next(t for t in range(moment, 200) if has_room(items, t, length, maximum))
    assert next_room(items, moment, length, maximum) == expected


@given(ITEMS, st.integers(0, 40), st.integers(1, 10))
def test_the_fullest_window_is_one_that_holds_the_moment(
    items: list[Item], moment: int, length: int
) -> None:
    fullest = max(counts(items, start, length) for start in range(moment - length + 1, moment + 1))
    assert len(fullest_window(items, moment, length)) == fullest


def test_a_message_exactly_one_window_later_is_allowed() -> None:
    assert next_room([(0, 0)], 24, 24, 1) == 24
    assert next_room([(0, 0)], 23, 24, 1) == 24


def test_a_maximum_of_nothing_never_has_room() -> None:
    assert next_room([], 0, 10, 0) is None


def test_what_is_still_to_come_keeps_its_room() -> None:
    assert next_room([(10, 10)], 5, 10, 1) == 20
    assert next_room([(10, 10)], 0, 10, 1) == 0
