"""Two records of one person: what a person has one of is left once, and what is computed holds at once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, select

from engine.customers.membership.figures import figures, listed
from engine.customers.merging import merge
from engine.customers.profiles.freshness import refresh
from engine.store.session import Store
from engine.store.tables import customers, profiles, tags
from tests.integration.test_membership import (
    BOTH,
    POLICY,
    YEARLY,
    buy,
    confirm,
    day,
    enrol,
    open_tasks,
    run,
    states,
    vip,
)
from tests.integration.test_tagging import NOW, customer, has, policy

SPRING = day("2027-03-01", 10)


def become_one(store: Store, now: datetime = SPRING, gone: str = "a", into: str = "b") -> None:
    with store.write() as connection:
        merge(connection, gone, into, policy=POLICY, membership=BOTH, now=now, by="test")


def silver(store: Store, ref: str, at: str = "2026-06-01") -> None:
    buy(store, ref, day(at), 1000_00, 1)


def cards(store: Store, now: datetime) -> list[tuple[str, str, datetime]]:
    """In force or renewed ahead."""
    with store.read() as connection:
        rows = listed(connection, state="active")
    return [(row["level"], row["state"], row["expires_at"]) for row in rows]


@pytest.mark.parametrize("gone", ["a", "b"])
def test_of_two_cards_the_higher_holds_and_the_other_is_replaced(store: Store, gone: str) -> None:
    vip(store, "a")
    silver(store, "b")
    run(store, YEARLY, BOTH)
    enrol(store, "a", day("2027-01-10", 9))
    confirm(store, "b", day("2027-02-01", 9), BOTH)
    become_one(store, gone=gone, into="b" if gone == "a" else "a")
    left = "b" if gone == "a" else "a"
    assert sorted(states(store)) == [(left, "VIP", "active"), (left, "会员", "replaced")]
    with store.read() as connection:
        found = figures(connection, BOTH, POLICY, SPRING + timedelta(hours=1), YEARLY)
    assert {one.level: one.members for one in found} == {"会员": 0, "VIP": 1, None: 0}
    assert sum(one.orders for one in found) == 4


def test_of_two_cards_of_one_level_the_one_that_ends_later_holds(store: Store) -> None:
    silver(store, "a")
    silver(store, "b")
    run(store, YEARLY, BOTH)
    confirm(store, "a", day("2027-02-02", 9), BOTH)
    confirm(store, "b", day("2027-01-05", 9), BOTH)
    become_one(store)
    assert cards(store, SPRING) == [("会员", "active", day("2028-02-02"))]


def test_what_was_renewed_ahead_of_a_card_that_is_replaced_never_begins(store: Store) -> None:
    silver(store, "a")
    vip(store, "b")
    run(store, YEARLY, BOTH)
    confirm(store, "a", day("2027-01-05", 9), BOTH)
    enrol(store, "b", day("2027-02-05", 9))
    silver(store, "a", at="2027-02-01")
    ahead = day("2028-01-03")
    run(store, ahead, BOTH)
    assert ("会员", "active", day("2029-01-05")) in cards(store, ahead)
    become_one(store, now=ahead)
    assert cards(store, ahead) == [("VIP", "active", day("2028-02-05"))]
    run(store, day("2028-01-06"), BOTH)
    assert ("b", "会员", "active") not in states(store)


def test_one_call_is_made_for_a_level_that_both_meet(store: Store) -> None:
    vip(store, "a")
    vip(store, "b")
    run(store, YEARLY, BOTH)
    assert len(open_tasks(store)) == 2
    become_one(store)
    assert sorted(state for _, _, state in states(store)) == ["eligible", "withdrawn"]
    assert open_tasks(store) == [("call", "b")]


def test_a_card_on_its_way_of_a_lower_level_than_the_one_in_force_is_given_up(store: Store) -> None:
    vip(store, "a")
    silver(store, "b")
    run(store, YEARLY, BOTH)
    enrol(store, "a", day("2027-01-10", 9))
    become_one(store)
    assert sorted(states(store)) == [("b", "VIP", "active"), ("b", "会员", "withdrawn")]


def test_a_card_on_its_way_of_a_higher_level_goes_on(store: Store) -> None:
    vip(store, "a")
    silver(store, "b")
    run(store, YEARLY, BOTH)
    confirm(store, "b", day("2027-01-10", 9), BOTH)
    become_one(store)
    assert sorted(states(store)) == [("b", "VIP", "eligible"), ("b", "会员", "active")]
    assert open_tasks(store) == [("call", "b")]


def put(store: Store, customer_id: int, value: str, rule: str | None = None) -> None:
    dimension = "occupation" if value in ("student", "clerk", "parent") else "taste"
    with store.write() as connection:
        connection.execute(
            insert(tags).values(
                customer_id=customer_id, dimension=dimension, value=value, tagged_at=NOW,
                tagged_by="test", rule=rule,
            )
        )  # fmt: skip


@pytest.mark.parametrize(
    ("of_first", "of_second", "left"),
    [
        (("clerk", None), ("student", None), ("student", None)),
        (("clerk", "tower"), ("student", "school"), ("student", "school")),
        (("clerk", None), ("student", "school"), ("clerk", None)),
        (("clerk", None), ("clerk", "tower"), ("clerk", None)),
        (("clerk", "tower"), ("student", None), ("student", None)),
    ],
)
def test_a_dimension_with_one_value_keeps_one(
    store: Store,
    of_first: tuple[str, str | None],
    of_second: tuple[str, str | None],
    left: tuple[str, str | None],
) -> None:
    first, second = customer(store, "a"), customer(store, "b")
    put(store, first, *of_first)
    put(store, second, *of_second)
    put(store, first, "tea")
    put(store, first, "big")
    put(store, second, "big", rule="big")
    with store.write() as connection:
        merge(connection, "a", "b", policy=policy(), membership=None, now=NOW, by="test")
    assert has(store, second) == [
        ("occupation", *left), ("taste", "big", None), ("taste", "tea", None),
    ]  # fmt: skip


def test_profile_and_tags_of_who_was_merged_hold_at_once(store: Store) -> None:
    customer(store, "a", address="杭州市 大厦 3")
    second = customer(store, "b")
    with store.write() as connection:
        refresh(connection, policy(), NOW)
        merge(connection, "a", "b", policy=policy(), membership=None, now=NOW, by="test")
        known = connection.execute(select(customers.c.address, profiles.c["class"]).join(profiles))
        assert known.one() == ("杭州市 大厦 3", "prospect")
    assert has(store, second) == [("occupation", "clerk", "tower")]
