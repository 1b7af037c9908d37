"""Grades and classes in SQL, against a plain loop over real orders and against the trade's own figures."""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, select

from engine.audience.malicious import class_of_customer
from engine.clock import from_local
from engine.customers.profiles.freshness import ensure_fresh, looking, mark_stale, refresh
from engine.definitions.policy import Grading, Policy
from engine.store.session import Store
from engine.store.tables import customers, definitions, grade_changes, orders, profiles
from tests.shop import mark_malicious

ZONE = "Asia/Shanghai"
POLICY = Policy(timezone=ZONE, unknown_consent={})
EVALUATED = datetime(1998, 6, 30, 12, 0, tzinfo=UTC)
CDNOW = Path(__file__).parent.parent / "data" / "cdnow_orders.csv.gz"

Order = tuple[str, date, Decimal]
"""Customer, day, amount."""


def day(text: str, hour: int = 0) -> datetime:
    return from_local(datetime.fromisoformat(text) + timedelta(hours=hour), ZONE)


@pytest.fixture(scope="module")
def cdnow() -> list[Order]:
    with gzip.open(CDNOW, "rt", encoding="utf-8", newline="") as file:
        return [
            (row["customer_id"], date.fromisoformat(row["placed_at"]), Decimal(row["amount"]))
            for row in csv.DictReader(file)
        ]


def lay_down(store: Store, bought: Sequence[Order]) -> None:
    people = sorted({customer for customer, _, _ in bought})
    blank: dict[str, Any] = {"attributes": {}, "created_at": EVALUATED, "updated_at": EVALUATED}
    with store.write() as connection:
        connection.execute(insert(customers), [{"ref": person, **blank} for person in people])
        ids = {row.ref: row.id for row in connection.execute(select(customers))}
        connection.execute(
            insert(orders),
            [
                {
                    "ref": str(number), "customer_id": ids[customer], "status": "received",
                    "placed_at": from_local(datetime(on.year, on.month, on.day), ZONE),
                    "amount": int(amount * 100), "currency": "CNY", "attributes": {},
                }
                for number, (customer, on, amount) in enumerate(bought)
            ],
        )  # fmt: skip


def graded(store: Store) -> dict[str, tuple[Any, ...]]:
    p = profiles.c
    with store.read() as connection:
        rows = connection.execute(
            select(customers.c.ref, p.r, p.f, p.m, p.value, p.grade, class_of_customer()).join(
                profiles, p.customer_id == customers.c.id
            )
        )
        return {row[0]: tuple(row[1:]) for row in rows}


def by_hand(bought: Sequence[Order], today: date, monetary: str) -> Iterator[tuple[str, Any]]:
    """The same rules, written as a shopkeeper would work them out, one customer at a time."""
    per_customer: dict[str, list[tuple[date, Decimal]]] = defaultdict(list)
    for customer, on, amount in bought:
        per_customer[customer].append((on, amount))

    def ago(months: int) -> date:
        total = today.year * 12 + today.month - 1 - months
        year, month = total // 12, total % 12 + 1
        for last in (today.day, 30, 29, 28):
            try:
                return date(year, month, last)
            except ValueError:
                continue
        raise AssertionError

    for customer, all_of_them in per_customer.items():
        counted = [(on, amount) for on, amount in all_of_them if on <= today]
        if not counted:
            yield customer, (None, None, None, None, None, "prospect")
            continue
        period = [(on, amount) for on, amount in counted if on >= ago(12)]
        first = min(on for on, _ in counted)
        name = "new" if first > date(today.year, 1, 1) else "active" if period else "lapsed"
        if not period:
            yield customer, (None, None, None, None, None, name)
            continue
        last = max(on for on, _ in period)
        r = 5 if last >= ago(1) else 4 if last >= ago(3) else 3 if last >= ago(4) else 2 if last >= ago(7) else 1  # fmt: skip
        n = len(period)
        f = 5 if n >= 6 else 4 if n >= 4 else n if n >= 2 else 1
        total = sum(amount for _, amount in period)
        money = total if monetary == "total" else total / n
        m = 5 if money >= 2000 else 4 if money >= 1000 else 3 if money >= 500 else 2 if money >= 300 else 1  # fmt: skip
        value = r + 3 * f + 4 * m
        grade = "P" if value >= 36 else "G" if value >= 26 else "S" if value >= 17 else "B"
        yield customer, (r, f, m, value, grade, name)


def test_every_cdnow_customer_is_graded_as_by_hand_in_sets(
    store: Store, cdnow: list[Order]
) -> None:
    lay_down(store, cdnow)
    statements: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
    with store.write() as connection:
        assert refresh(connection, POLICY, EVALUATED) == 23_570
    assert len(statements) < 100  # grades, habits, regions, affinities and tags, each in sets
    found = graded(store)
    assert found == dict(by_hand(cdnow, date(1998, 6, 30), "average"))
    assert Counter(row[4] for row in found.values()) == {"B": 5446, "S": 2903, "G": 1, None: 15220}


@pytest.mark.parametrize(
    ("now", "monetary"),
    [
        ("1997-03-31", "average"), ("1997-05-31", "total"), ("1997-12-31", "average"),
        ("1998-02-28", "total"), ("1998-03-30", "average"), ("1997-01-01", "average"),
    ],
)  # fmt: skip
def test_other_days_and_the_total_agree_with_the_hand_too(
    store: Store, cdnow: list[Order], now: str, monetary: Any
) -> None:
    some = [order for order in cdnow if order[0].endswith("7")]
    lay_down(store, some)
    policy = replace(POLICY, grading=Grading(monetary=monetary))
    with store.write() as connection:
        refresh(connection, policy, day(now, 23))
    assert graded(store) == dict(by_hand(some, date.fromisoformat(now), monetary))


def buy(store: Store, customer: str, *placed: tuple[datetime, str, int]) -> None:
    """Orders of (placed_at, status, amount in fen) for one customer, who is made where he is not there yet."""
    with store.write() as connection:
        found = connection.execute(
            select(customers.c.id).where(customers.c.ref == customer)
        ).scalar()
        if found is None:
            found = connection.execute(
                insert(customers).values(
                    ref=customer, attributes={}, created_at=EVALUATED, updated_at=EVALUATED
                ).returning(customers.c.id)
            ).scalar()  # fmt: skip
        for at, status, amount in placed:
            connection.execute(
                insert(orders).values(
                    ref=f"{customer}/{at}/{amount}", customer_id=found, status=status, placed_at=at,
                    amount=amount, currency="CNY", attributes={},
                )
            )  # fmt: skip


def evaluate(store: Store, now: datetime, policy: Policy = POLICY) -> dict[str, tuple[Any, ...]]:
    with store.write() as connection:
        refresh(connection, policy, now)
    return graded(store)


def test_the_worked_case_is_silver_by_average_and_gold_by_total(store: Store) -> None:
    buy(store, "c", *[(day("2026-03-01", hour), "received", 300_00) for hour in range(5)])
    now = day("2026-05-01", 10)
    assert evaluate(store, now)["c"][:5] == (4, 4, 2, 24, "S")
    total = replace(POLICY, grading=Grading(monetary="total"))
    assert evaluate(store, now, total)["c"][:5] == (4, 4, 4, 32, "G")


@pytest.mark.parametrize(
    ("fen", "m"),
    [(299_50, 1), (299_99, 1), (300_00, 2), (499_99, 2), (500_00, 3), (999_99, 3), (1000_00, 4),
     (1999_99, 4), (2000_00, 5), (0, 1)],
)  # fmt: skip
def test_money_bands_meet_without_a_gap(store: Store, fen: int, m: int) -> None:
    buy(store, "c", (day("2026-04-20"), "paid", fen))
    assert evaluate(store, day("2026-05-01"))["c"][2] == m


def test_an_average_just_below_a_bound_is_not_rounded_up(store: Store) -> None:
    days = [day("2026-04-20", hour) for hour in range(3)]
    buy(store, "c", (days[0], "paid", 300_00), (days[1], "paid", 300_00), (days[2], "paid", 299_99))
    assert evaluate(store, day("2026-05-01"))["c"][2] == 1


@pytest.mark.parametrize(
    ("placed", "r"),
    [
        (day("2026-02-28"), 5),  # one month before 31 March, clamped, inclusive
        (day("2026-02-28") - timedelta(seconds=1), 4),
        (day("2025-12-31"), 4),
        (day("2025-12-30", 23), 3),
        (day("2025-11-30"), 3),
        (day("2025-11-29"), 2),
        (day("2025-08-31"), 2),
        (day("2025-08-30"), 1),
        (day("2025-03-31"), 1),
        (day("2025-03-31") - timedelta(seconds=1), None),
    ],
)
def test_recency_counts_calendar_months_of_the_shop_inclusively(
    store: Store, placed: datetime, r: int | None
) -> None:
    buy(store, "c", (placed, "paid", 100))
    assert evaluate(store, day("2026-03-31", 23))["c"][0] == r


def test_only_completed_orders_until_now_count(store: Store) -> None:
    now = day("2026-05-01", 12)
    buy(
        store, "c",
        (day("2026-03-15"), "shipped", 500_00), (day("2026-04-15"), "refunded", 100_000_00),
        (day("2026-04-16"), "closed", 1), (day("2026-04-17"), "placed", 1),
        (now + timedelta(seconds=1), "paid", 100_000_00),
    )  # fmt: skip
    assert evaluate(store, now)["c"][:3] == (4, 1, 3)


def test_classes_follow_their_precedence(store: Store) -> None:
    old, year_before, this_year = day("2024-05-01"), day("2025-11-01"), day("2026-02-01")
    buy(store, "prospect")
    buy(store, "prospect-long-ago", (old, "closed", 1))
    buy(store, "unsold", (this_year, "closed", 1))
    buy(store, "new", (this_year, "paid", 1))
    buy(store, "evaluated-today", (day("2026-01-01", 23), "paid", 1))
    buy(store, "active", (year_before, "received", 1))
    buy(store, "lapsed", (old, "received", 1))
    buy(store, "lapsed-refunded", (old, "received", 1), (this_year, "refunded", 1))
    buy(store, "bad", (this_year, "paid", 1))
    buy(store, "rude", (this_year, "paid", 1))
    with store.write() as connection:
        for ref, by_tag in (("bad", False), ("rude", True)):
            whose = select(customers.c.id).where(customers.c.ref == ref)
            mark_malicious(connection, connection.execute(whose).scalar_one(), by_tag=by_tag)
    found = evaluate(store, day("2026-05-01"))
    assert {name: row[-1] for name, row in found.items()} == {
        "prospect": "prospect", "prospect-long-ago": "prospect", "unsold": "unsold", "new": "new",
        "evaluated-today": "active", "active": "active", "lapsed": "lapsed",
        "lapsed-refunded": "lapsed", "bad": "malicious", "rude": "malicious",
    }  # fmt: skip


def test_the_profile_keeps_lifetime_and_period_apart(store: Store) -> None:
    buy(store, "c", (day("2020-01-01"), "paid", 100), (day("2026-04-01"), "paid", 23),
        (day("2026-04-01"), "arrived", 7))  # fmt: skip
    now = day("2026-05-01")
    evaluate(store, now)
    with store.read() as connection:
        row = connection.execute(select(profiles)).one()
        newest = (
            connection.execute(select(orders.c.id).order_by(orders.c.id.desc())).scalars().first()
        )
    assert (row.orders, row.amount, row.period_orders, row.period_amount) == (3, 130, 2, 30)
    assert (row.first_order_at, row.last_order_at) == (day("2020-01-01"), day("2026-04-01"))
    assert (row.last_order_id, row.evaluated_at) == (newest, now)


def put_in_force(store: Store) -> None:
    """POLICY, as `apply` does."""
    files = {"policy.yaml": f"timezone: {ZONE}\n"}
    with store.write() as connection:
        connection.execute(
            insert(definitions).values(
                kind="policy", name="policy", path="policy.yaml", files=files, digest="p",
                current=True, applied_at=EVALUATED, applied_by="test",
            )
        )  # fmt: skip


def changes(store: Store) -> list[tuple[datetime, str | None, str | None]]:
    with store.read() as connection:
        rows = connection.execute(select(grade_changes).order_by(grade_changes.c.at)).all()
    return [(row.at, row.before, row.after) for row in rows]


def test_a_changed_grade_is_noted_once_and_a_first_one_is_not(store: Store) -> None:
    buy(store, "c", (day("2026-04-01"), "paid", 100_00))
    start = day("2026-05-01")
    evaluate(store, start)
    evaluate(store, start + timedelta(days=1))
    assert changes(store) == []
    buy(store, "c", *[(day("2026-05-02", hour), "paid", 3000_00) for hour in range(6)])
    up, gone = day("2026-05-03"), day("2027-06-01")
    evaluate(store, up)
    evaluate(store, gone)
    assert changes(store) == [(up, "B", "P"), (gone, "P", None)]


def test_two_refreshes_at_one_moment_leave_one_change(store: Store) -> None:
    buy(store, "c", (day("2026-04-01"), "paid", 100_00))
    now = day("2026-05-01")
    evaluate(store, now)
    for amount in (600_00, 9000_00):
        buy(store, "c", (day("2026-04-02"), "paid", amount))
        evaluate(store, now)
    assert changes(store) == [(now, "B", "G")]


def test_nobody_falls_because_the_bounds_were_moved(store: Store) -> None:
    buy(store, "c", (day("2026-04-01"), "paid", 100_00))
    evaluate(store, day("2026-05-01"))
    stricter = replace(POLICY, grading=Grading(grades=(("P", 39), ("S", 20), ("B", 1))))
    laxer = replace(POLICY, grading=Grading(grades=(("P", 9), ("B", 1))))
    for number, rules in enumerate((stricter, laxer, stricter), start=2):
        assert ensure_fresh(store, rules, day(f"2026-05-{number:02}"))
    assert changes(store) == []
    gone = day("2027-06-01")
    assert ensure_fresh(store, stricter, gone)
    assert changes(store) == [(gone, "B", None)]


@pytest.mark.parametrize(
    ("rules", "at", "keeps"),
    [
        (replace(POLICY, grading=Grading(monetary="total")), day("2026-05-02"), True),
        (POLICY, day("2027-06-01"), False),
        (POLICY, day("2026-04-01"), False),
    ],
)
def test_a_look_by_other_rules_or_at_another_day_leaves_no_trace(
    store: Store, rules: Policy, at: datetime, keeps: bool
) -> None:
    """Else the daemon would find everybody changed back, and write to whoever fell."""
    put_in_force(store)
    buy(store, "c", *[(day("2026-04-01", hour), "paid", 300_00) for hour in range(3)])
    assert ensure_fresh(store, POLICY, day("2026-05-02"))
    before = graded(store)
    with looking(store, rules, at, keeps=keeps) as connection:
        (seen,) = connection.execute(select(profiles.c.f, profiles.c.m, profiles.c.grade)).all()
    assert tuple(seen) != (*before["c"][1:3], before["c"][4])
    assert graded(store) == before
    assert changes(store) == []
    assert not ensure_fresh(store, POLICY, day("2026-05-02"))


def test_a_look_of_today_by_the_rules_in_force_brings_profiles_up_to_date(store: Store) -> None:
    put_in_force(store)
    buy(store, "c", (day("2026-04-01"), "paid", 100_00))
    with looking(store, POLICY, day("2026-05-02"), keeps=True) as connection:
        assert connection.execute(select(profiles.c.grade)).all() == [("B",)]
    assert not ensure_fresh(store, POLICY, day("2026-05-02"))


def test_while_nothing_was_applied_the_files_rules_are_the_shops(store: Store) -> None:
    by_total = replace(POLICY, grading=Grading(monetary="total"))
    for rules in (POLICY, by_total):
        with looking(store, rules, day("2026-05-02"), keeps=True):
            pass
        assert not ensure_fresh(store, rules, day("2026-05-02"))


def test_a_refresh_of_some_leaves_the_others(store: Store) -> None:
    for name in ("a", "b"):
        buy(store, name, (day("2026-04-01"), "paid", 100_00))
    evaluate(store, day("2026-05-01"))
    for name in ("a", "b"):
        buy(store, name, (day("2026-04-02"), "paid", 100_00))
    with store.write() as connection:
        ids = {row.ref: row.id for row in connection.execute(select(customers))}
        assert refresh(connection, POLICY, day("2026-05-01", 5), [ids["a"], ids["a"]]) == 1
        assert refresh(connection, POLICY, day("2026-05-01", 5), []) == 0
    assert (graded(store)["a"][1], graded(store)["b"][1]) == (2, 1)


def test_profiles_are_refreshed_once_a_day_of_the_shop_and_when_the_rules_change(
    store: Store,
) -> None:
    buy(store, "c", (day("2026-04-01"), "paid", 100_00))
    assert ensure_fresh(store, POLICY, day("2026-05-01", 1))
    assert not ensure_fresh(store, POLICY, day("2026-05-01", 23))
    assert ensure_fresh(store, POLICY, day("2026-05-02", 0))
    by_total = replace(POLICY, grading=Grading(monetary="total"))
    assert ensure_fresh(store, by_total, day("2026-05-02", 1))
    assert not ensure_fresh(store, by_total, day("2026-05-02", 2))
    with store.write() as connection:
        mark_stale(connection)
    assert ensure_fresh(store, by_total, day("2026-05-02", 3))
