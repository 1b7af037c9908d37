"""Tags by rules and by hand: who has them, why, and who may take them away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from engine.clock import from_local
from engine.customers.profiles.freshness import ensure_fresh, refresh
from engine.customers.tags import add_tag, parse_tag, remove_tag, tags_of
from engine.definitions.loader import load_policy
from engine.definitions.policy import Policy
from engine.errors import YanshuError
from engine.store.catalog import CatalogReader
from engine.store.session import Store
from engine.store.tables import customers, definitions, order_items, orders
from tests.shop import add_customer, add_order

NOW = datetime(2026, 11, 9, 4, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TAGGING = """dimensions:
  occupation: {values: [student, clerk, parent]}
  taste: {values: [tea, night, big, damp], several: true}
rules:
  - {name: school, tag: occupation=student, address: {contains: [学校, 大学], without: [大学路]}}
  - {name: tower, tag: occupation=clerk, address: {contains: 大厦}}
  - {name: night, tag: taste=night, ordered: {hours: "22:00-02:00", count: 2, within: 365d}}
  - {name: tea, tag: taste=tea, ordered: {category: tea, size: L}}
  - {name: damp, tag: taste=damp, region: {province: [广东]}}
  - {name: big, tag: taste=big, amount: {gte: 300, within: 30d}}
"""


def policy(text: str = TAGGING) -> Policy:
    return load_policy({"tagging.yaml": text})


def has(store: Store, customer: int) -> list[tuple[str, str, str | None]]:
    with store.read() as connection:
        return [(one.dimension, one.value, one.rule) for one in tags_of(connection, customer)]


def at(text: str) -> datetime:
    return from_local(datetime.fromisoformat(text), "Asia/Shanghai")


def customer(store: Store, ref: str = "1", **more: Any) -> int:
    with store.write() as connection:
        return add_customer(connection, ref, **more)


def evaluate(store: Store, now: datetime = NOW, text: str = TAGGING, ids: Any = None) -> None:
    with store.write() as connection:
        refresh(connection, policy(text), now, ids)


@pytest.mark.parametrize(
    ("address", "value"),
    [("浙江大学紫金港校区", "student"), ("大学路8号", None), ("大学路8号 金茂大厦", "clerk"),
     ("师范大学 科学大厦", "student"), (None, None), ("", None)],
)  # fmt: skip
def test_an_address_says_what_somebody_does(
    store: Store, address: str | None, value: str | None
) -> None:
    person = customer(store, address=address)
    evaluate(store)
    assert [one[1] for one in has(store, person)] == ([value] if value else [])


def test_hours_go_over_midnight_and_orders_are_counted_within(store: Store) -> None:
    owl, once, late = (customer(store, ref) for ref in ("owl", "once", "late"))
    with store.write() as connection:
        add_order(connection, owl, "1", at("2026-05-01T22:00"))
        add_order(connection, owl, "2", at("2026-05-02T01:59"))
        add_order(connection, once, "3", at("2026-05-01T23:00"))
        add_order(connection, once, "4", at("2026-05-02T02:00"))
        add_order(connection, late, "5", at("2025-05-01T23:00"))
        add_order(connection, late, "6", at("2026-05-01T23:00"))
    evaluate(store)
    assert has(store, owl) == [("taste", "night", "night")]
    assert has(store, once) == has(store, late) == []


def test_an_item_must_fit_in_every_respect_and_its_order_must_be_completed(store: Store) -> None:
    fits, two, closed = (customer(store, ref) for ref in ("fits", "two", "closed"))
    with store.write() as connection:
        for person, status, items in (
            (fits, "received", [("tea", "L")]),
            (two, "received", [("tea", "M"), ("coffee", "L")]),
            (closed, "closed", [("tea", "L")]),
        ):
            order = add_order(
                connection, person, f"o{person}", at("2026-05-01T12:00"), status=status
            )
            for position, (category, size) in enumerate(items, start=1):
                connection.execute(
                    insert(order_items).values(order_id=order, position=position, category=category, size=size)
                )  # fmt: skip
    evaluate(store)
    assert [has(store, person) for person in (fits, two, closed)] == [[("taste", "tea", "tea")], [], []]  # fmt: skip


def test_a_rules_tag_goes_when_the_rule_no_longer_holds(store: Store) -> None:
    person = customer(store, province="广东省")
    with store.write() as connection:
        add_order(connection, person, "1", NOW - timedelta(days=29), amount=30_000)
    evaluate(store)
    assert [one[1] for one in has(store, person)] == ["big", "damp"]
    evaluate(store, NOW + timedelta(days=2))
    assert [one[1] for one in has(store, person)] == ["damp"]
    with store.write() as connection:
        connection.execute(update(customers).values(province="江苏"))
    evaluate(store, NOW + timedelta(days=2), ids=[person])
    assert has(store, person) == []


def test_a_tag_keeps_its_time_and_knows_where_its_rule_stands(store: Store) -> None:
    person = customer(store, address="第一学校")
    evaluate(store)
    evaluate(store, LATER, "# a line more\n" + TAGGING)
    with store.read() as connection:
        (tag,) = tags_of(connection, person)
    assert (tag.at, tag.by, tag.rule) == (NOW, "tagging.yaml:6", "school")


def test_what_a_person_put_stays_also_when_a_rule_says_the_same(store: Store) -> None:
    person = customer(store, province="广东", address="第一学校")
    tagging = policy().tagging
    evaluate(store)
    with store.write() as connection:
        add_tag(connection, person, "taste", "damp", tagging=tagging, at=LATER, by="小王")
        done = add_tag(
            connection, person, "occupation", "parent", tagging=tagging, at=LATER, by="小王"
        )
        assert (done.is_new, done.replaced) == (True, ("student",))
    evaluate(store, LATER)
    by_hand = [("occupation", "parent", None), ("taste", "damp", None)]
    assert has(store, person) == by_hand
    evaluate(store, LATER, "dimensions:\n  taste: {values: [tea]}\n")
    assert has(store, person) == by_hand


def test_a_persons_tag_can_be_taken_away_and_a_rules_cannot(store: Store) -> None:
    person = customer(store, address="第一学校")
    evaluate(store)
    with store.write() as connection:
        with pytest.raises(YanshuError, match=r"the rule 'school' \(tagging.yaml:5\) puts"):
            remove_tag(connection, person, "occupation", "student", NOW)
        add_tag(connection, person, "taste", "tea", tagging=policy().tagging, at=NOW, by="me")
        assert remove_tag(connection, person, "taste", "tea", NOW)
        assert not remove_tag(connection, person, "taste", "tea", NOW)


def test_tags_are_checked_against_what_is_allowed() -> None:
    tagging = policy().tagging
    assert parse_tag("taste=tea", tagging) == ("taste", "tea")
    for written, message in (
        ("tast=tea", "no dimension 'tast' in tagging.yaml; did you mean 'taste'"),
        ("taste=nigth", "'nigth' is no value of taste; did you mean 'night'"),
        ("taste", "write DIMENSION=VALUE"),
    ):
        with pytest.raises(YanshuError, match=message):
            parse_tag(written, tagging)


def test_a_refresh_of_one_leaves_the_tags_of_others(store: Store) -> None:
    first, second = customer(store, "1", address="大厦"), customer(store, "2", address="大厦")
    evaluate(store)
    with store.write() as connection:
        connection.execute(update(customers).values(address=None))
    evaluate(store, ids=[first])
    assert has(store, first) == []
    assert has(store, second) == [("occupation", "clerk", "tower")]


def test_other_rules_make_the_profiles_due(store: Store) -> None:
    person = customer(store, address="大厦")
    assert ensure_fresh(store, policy(), NOW)
    assert not ensure_fresh(store, policy(), NOW)
    assert ensure_fresh(store, policy(""), NOW)
    assert has(store, person) == []


def test_the_daemon_takes_the_rules_from_what_was_applied(store: Store) -> None:
    reader = CatalogReader()
    with store.write() as connection:
        assert reader.read(connection).policy.tagging.rules == ()
        connection.execute(
            insert(definitions).values(
                kind="tagging", name="tagging", path="tagging.yaml", files={"tagging.yaml": TAGGING}, digest="t",
                current=True, applied_at=NOW, applied_by="test",
            )
        )  # fmt: skip
        assert len(reader.read(connection).policy.tagging.rules) == 6
        connection.execute(update(definitions).values(current=False))
        assert reader.read(connection).policy.tagging.rules == ()
        assert connection.execute(select(orders)).all() == []
