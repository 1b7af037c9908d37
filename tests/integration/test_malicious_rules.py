"""Malicious by a rule of tagging.yaml: whom it finds, when it lets go, and what a person says against it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import select

from engine.audience.malicious import is_malicious
from engine.customers.profiles.freshness import refresh
from engine.customers.reach import reach
from engine.customers.tags import add_tag, remove_tag, tags_of
from engine.definitions.loader import load_policy, read_files
from engine.definitions.policy import Policy
from engine.store.session import Store
from engine.store.tables import customers
from engine.store.zones import ensure_zones
from tests.integration.export_files import ROOT
from tests.shop import add_customer, add_order, mark_malicious

NOW = datetime(2026, 11, 1, 2, tzinfo=UTC)
DAY = timedelta(days=1)
SHIPPED = load_policy(read_files(ROOT / "config"))
DIMENSIONS = "dimensions:\n  malicious: {values: [returns, rude, cleared]}\n"


def policy(ordered: str) -> Policy:
    rule = f"rules:\n  - {{name: returns, tag: malicious=returns, ordered: {{{ordered}}}}}\n"
    return load_policy({"tagging.yaml": DIMENSIONS + rule})


def buyer(store: Store, ref: str, *statuses: str, at: datetime = NOW - DAY) -> int:
    """Who placed orders that have become of these statuses."""
    with store.write() as connection:
        person = add_customer(connection, ref)
        for number, status in enumerate(statuses):
            add_order(connection, person, f"{ref}-{number}", at, status=status)
    return person


def found(store: Store, rules: Policy, now: datetime = NOW, of: Sequence[int] | None = None) -> list[str]:  # fmt: skip
    """Who is malicious once the rules were applied."""
    with store.write() as connection:
        ensure_zones(connection, [rules.timezone])
        refresh(connection, rules, now, of)
        marked = select(customers.c.ref).where(is_malicious()).order_by(customers.c.ref)
        return list(connection.execute(marked).scalars())


def test_the_shipped_rules_find_who_sends_everything_back_and_who_never_pays(store: Store) -> None:
    buyer(store, "back", *["refunded"] * 5, *["received"] * 5)
    buyer(store, "mostly kept", *["refunded"] * 5, *["received"] * 6)
    buyer(store, "few", *["refunded"] * 4)
    buyer(store, "long ago", *["refunded"] * 5, at=NOW - 366 * DAY)
    buyer(store, "never pays", *["closed"] * 12, "received", "received", "placed")
    buyer(store, "pays", *["closed"] * 12, *["received"] * 4)
    assert found(store, SHIPPED) == ["back", "never pays"]
    with store.read() as connection:
        assert reach(connection, SHIPPED, NOW)["email", "care"] == 4


def test_a_rule_lets_go_when_it_no_longer_holds(store: Store) -> None:
    rules = policy("status: refunded, count: 2, within: 30d")
    person = buyer(store, "1", "refunded", "refunded")
    assert found(store, rules) == ["1"]
    assert found(store, rules, NOW + 28 * DAY, [person]) == ["1"]
    assert found(store, rules, NOW + 30 * DAY, [person]) == []
    assert found(store, rules) == ["1"]
    assert found(store, load_policy({})) == []


@pytest.mark.parametrize("by_tag", [False, True], ids=["imported", "tagged"])
def test_a_mark_by_hand_stays_when_the_rule_lets_go(store: Store, by_tag: bool) -> None:
    rules = policy("status: refunded, count: 1, within: 30d")
    person = buyer(store, "1", "refunded")
    with store.write() as connection:
        mark_malicious(connection, person, by_tag=by_tag)
    assert found(store, rules) == ["1"]
    assert found(store, rules, NOW + 60 * DAY) == ["1"]


def test_who_is_cleared_by_hand_is_left_alone_by_the_rules(store: Store) -> None:
    rules = policy("status: refunded, count: 1")
    person = buyer(store, "1", "refunded")
    assert found(store, rules) == ["1"]
    with store.write() as connection:
        add_tag(
            connection, person, "malicious", "cleared", tagging=rules.tagging, at=NOW, by="小王"
        )
    assert found(store, rules) == []
    with store.write() as connection:
        assert [(tag.value, tag.by) for tag in tags_of(connection, person)] == [("cleared", "小王")]
        assert remove_tag(connection, person, "malicious", "cleared", NOW)
    assert found(store, rules) == ["1"]


def test_shares_agree_with_a_loop_in_plain_python_of_some_and_of_all(store: Store) -> None:
    dice = Random(20261101)
    rules = policy("status: [refunded, closed], count: 2, share: 40%, within: 90d")
    wanted, some = [], []
    for number in range(60):
        ref = f"{number:02}"
        bought = [
            (dice.choice(("received", "paid", "placed", "refunded", "closed")), dice.choice((0, 1, 89, 91, -1)))
            for _ in range(dice.randrange(8))
        ]  # fmt: skip
        with store.write() as connection:
            person = add_customer(connection, ref)
            for place, (status, ago) in enumerate(bought):
                add_order(connection, person, f"{ref}-{place}", NOW - ago * DAY, status=status)
        asked = [status for status, ago in bought if 0 <= ago <= 90]
        bad = sum(status in ("refunded", "closed") for status in asked)
        if bad >= 2 and bad * 10 >= len(asked) * 4:
            wanted.append(ref)
        if number < 30:
            some.append(person)
    first = [ref for ref in wanted if int(ref) < 30]
    assert 0 < len(first) < len(wanted) < 40
    assert found(store, rules, of=some) == first
    assert found(store, rules) == wanted
