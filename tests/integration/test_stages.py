"""The stage of the life cycle, in sets with the profiles, and the history of grades that rules react to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from engine.clock import from_local
from engine.customers.profiles.freshness import ensure_fresh, refresh
from engine.customers.profiles.grade_history import changes
from engine.definitions.loader import check, load_policy
from engine.definitions.policy import Grading, Policy, Stages
from engine.definitions.values import Duration
from engine.store.session import Store
from engine.store.tables import customers, profiles
from tests.shop import add_customer, add_order

ZONE = "Asia/Shanghai"
POLICY = Policy(timezone=ZONE, unknown_consent={})


def day(text: str, hour: int = 0) -> datetime:
    return from_local(datetime.fromisoformat(text) + timedelta(hours=hour), ZONE)


def buy(store: Store, ref: str, *placed: datetime, **more: Any) -> None:
    with store.write() as connection:
        found = connection.execute(select(customers.c.id).where(customers.c.ref == ref)).scalar()
        customer = found or add_customer(connection, ref)
        for number, at in enumerate(placed):
            name = f"{ref}/{at:%s}/{number}/{more.get('status', '')}/{more.get('amount', '')}"
            add_order(connection, customer, name, at, **more)


def stages(store: Store, now: datetime, policy: Policy = POLICY) -> Mapping[str, str | None]:
    ensure_fresh(store, policy, now)
    with store.read() as connection:
        rows = connection.execute(
            select(customers.c.ref, profiles.c.stage).join(
                profiles, profiles.c.customer_id == customers.c.id
            )
        )
        return {row.ref: row.stage for row in rows}


def test_a_customer_grows_with_each_completed_order(store: Store) -> None:
    now = day("2026-05-01")
    for count in range(7):
        buy(store, str(count), *[day("2026-04-01", hour) for hour in range(count)])
    assert stages(store, now) == {
        "0": "prospect", "1": "first-time", "2": "second-time", "3": "repeat", "4": "repeat",
        "5": "loyal", "6": "loyal",
    }  # fmt: skip


def test_refunded_closed_unpaid_and_later_orders_do_not_make_anybody_grow(store: Store) -> None:
    buy(store, "c", day("2026-04-01"))
    for status in ("refunded", "closed", "placed"):
        buy(store, "c", day("2026-04-02"), status=status)
        buy(store, "never", day("2026-04-02"), status=status)
    buy(store, "c", day("2026-05-02"))
    assert stages(store, day("2026-05-01")) == {"c": "first-time", "never": "prospect"}


def test_dormant_goes_before_the_count_and_begins_after_180_days(store: Store) -> None:
    now = day("2026-07-01", 12)
    edge = now - timedelta(days=180)
    buy(store, "awake", *[edge] * 5)
    buy(store, "asleep", *[edge - timedelta(microseconds=1)] * 5)
    buy(store, "once", day("2020-01-01"))
    assert stages(store, now) == {"awake": "loyal", "asleep": "dormant", "once": "dormant"}


def test_the_policy_says_who_is_loyal_and_who_sleeps(store: Store) -> None:
    now = day("2026-07-01")
    buy(store, "c", *[day("2026-03-01", hour) for hour in range(4)])
    assert stages(store, now)["c"] == "repeat"
    eager = replace(POLICY, stages=Stages(repeat=3, loyal=4))
    assert stages(store, now, eager)["c"] == "loyal"
    slow = replace(POLICY, stages=Stages(repeat=5, loyal=9))
    assert stages(store, now, slow)["c"] == "second-time"
    impatient = replace(POLICY, dormant_after=Duration(90, "d"))
    assert stages(store, now, impatient)["c"] == "dormant"
    endless = replace(POLICY, dormant_after=Duration(999_999, "d"))
    assert stages(store, now, endless)["c"] == "repeat"


def test_stages_are_read_from_the_policy() -> None:
    assert load_policy({}).stages == Stages(repeat=3, loyal=5)
    policy = load_policy({"policy.yaml": "stages: {repeat: 4, loyal: 10}\n"})
    assert policy.stages == Stages(repeat=4, loyal=10)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("stages: {repeat: 5}", "policy.yaml:1:10: loyal from 5 orders, repeat from 5"),
        ("stages: {repeat: 8, loyal: 6}", "policy.yaml:1:21: loyal from 6 orders, repeat from 8"),
        ("stages: {repeat: 2}", "2 is out of range: from 3"),
        ("stages: {royal: 6}", "unknown key 'royal'; did you mean 'loyal'?"),
    ],
)
def test_stages_that_do_not_rise_are_told_with_their_line(written: str, problem: str) -> None:
    definitions, found = check({"policy.yaml": written + "\n"})
    assert definitions is None
    assert any(problem in str(each) for each in found), found


def history(store: Store, since: datetime, until: datetime, **asked: Any) -> list[tuple[Any, ...]]:
    with store.read() as connection:
        query = changes(POLICY.grading, since, until, **asked).add_columns(customers.c.ref)
        rows = connection.execute(
            query.join_from(
                query.get_final_froms()[0], customers,
                customers.c.id == query.selected_columns.customer_id,
            ).order_by(query.selected_columns.at, customers.c.ref)
        ).all()  # fmt: skip
    return [(row.ref, row.at, row.before, row.after) for row in rows]


def fall(store: Store) -> tuple[datetime, datetime, datetime]:
    """`gold` falls from G to S and then out of the grades; `riser` goes from B to P."""
    start = day("2026-05-01")
    buy(store, "gold", *[day("2026-03-01", hour) for hour in range(4)], amount=1000_00)
    buy(store, "riser", day("2026-04-01"), amount=1_00)
    ensure_fresh(store, POLICY, start)
    buy(store, "riser", *[day("2026-05-02", hour) for hour in range(6)], amount=3000_00)
    up, down, out = day("2026-05-03"), day("2027-02-20"), day("2027-03-02")
    for at in (up, down, out):
        ensure_fresh(store, POLICY, at)
    return up, down, out


def test_who_fell_from_gold_is_one_question(store: Store) -> None:
    buy(store, "gold", *[day("2026-03-01", hour) for hour in range(4)], amount=1000_00)
    ensure_fresh(store, POLICY, day("2026-03-02"))
    buy(store, "gold", *[day("2026-03-03")], amount=1_00)  # the average sinks below 1,000
    fell = day("2026-03-04")
    ensure_fresh(store, POLICY, fell)
    # R 5, F 4, M 4 = 33 G; then R 5, F 4, M 3 = 29: still G. Ten months on R 1: 1 + 12 + 12 = 25, S.
    assert history(store, day("2026-01-01"), fell) == []
    later = day("2027-01-04")
    ensure_fresh(store, POLICY, later)
    asked: dict[str, Any] = {"left": ["G"], "direction": "fell"}
    assert history(store, fell, later, **asked) == [("gold", later, "G", "S")]
    assert history(store, later, day("2028-01-01"), **asked) == []
    assert history(store, fell, later - timedelta(seconds=1), **asked) == []
    assert history(store, fell, later, direction="rose") == []
    assert history(store, fell, later, left=["P"]) == []
    assert history(store, fell, later, reached=["S"]) == [("gold", later, "G", "S")]


def test_rising_and_losing_every_grade_are_told_apart(store: Store) -> None:
    up, _, out = fall(store)
    since = day("2026-01-01")
    assert history(store, since, up, direction="rose") == [("riser", up, "B", "P")]
    assert history(store, up, out, reached=[]) == []
    assert ("gold", out, "G", None) in history(store, up, out, direction="fell")


def test_there_and_back_at_one_moment_is_no_change(store: Store) -> None:
    now = day("2026-05-01")
    buy(store, "c", day("2026-04-01"), amount=100_00)
    steep = replace(POLICY, grading=Grading(weights=(1, 3, 4), grades=(("P", 36), ("S", 2))))
    for policy in (POLICY, steep, POLICY):
        with store.write() as connection:
            refresh(connection, policy, now)
    assert history(store, day("2026-01-01"), now) == []
