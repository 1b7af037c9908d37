"""The shop's diagnosis against a plain calculation over the same orders, on CDNOW and on a made-up shop with hours."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, insert, select, update

from engine.audience.scope import COMPLETED
from engine.clock import from_local
from engine.customers.profiles.freshness import ensure_fresh
from engine.definitions.policy import Grading, Policy, Prices
from engine.insight.diagnosis import Diagnosis, diagnose
from engine.insight.diagnosis.sentences import sentences
from engine.pages.terminal import plain
from engine.pages.words import words
from engine.store.session import Store
from engine.store.tables import (
    consents,
    customers,
    grade_changes,
    order_items,
    orders,
    products,
    profiles,
    suppressions,
)
from tests.diagnosis_reference import Bought, Reference, cdnow
from tests.shop import add_customer, add_order

SHANGHAI, NEW_YORK = "Asia/Shanghai", "America/New_York"
UNKNOWN = {
    ("email", "marketing"): False, ("email", "care"): True,
    ("sms", "marketing"): False, ("sms", "care"): True,
}  # fmt: skip
POLICY = Policy(timezone=SHANGHAI, unknown_consent=UNKNOWN)  # type: ignore[arg-type]
NOW = datetime(1998, 6, 30, 12, tzinfo=UTC)
TODAY = date(1998, 6, 30)


def lay_down(store: Store, bought: Sequence[Bought], zone: str = SHANGHAI) -> None:
    people = sorted({customer for customer, _, _ in bought})
    blank: dict[str, Any] = {"attributes": {}, "created_at": NOW, "updated_at": NOW}
    with store.write() as connection:
        connection.execute(insert(customers), [{"ref": person, **blank} for person in people])
        ids = {row.ref: row.id for row in connection.execute(select(customers))}
        connection.execute(
            insert(orders),
            [
                {
                    "ref": str(number), "customer_id": ids[customer], "status": "received",
                    "placed_at": from_local(datetime(on.year, on.month, on.day), zone),
                    "amount": amount, "currency": "CNY", "attributes": {},
                }
                for number, (customer, on, amount) in enumerate(bought)
            ],
        )  # fmt: skip


def assert_agrees(found: Diagnosis, wanted: Reference, months: int) -> None:
    """Every figure about time and money equals the reference's."""
    for curve, first_only in ((found.repurchase, False), (found.second, True)):
        for days, part in curve.within.items():
            by_hand = wanted.back_within(days, first_only=first_only)
            assert part == (by_hand if by_hand is None else pytest.approx(by_hand, abs=1e-12)), days
        assert curve.returned == len(wanted.gaps(first_only=first_only))
        assert curve.purchases == curve.returned + len(wanted.open_days(first_only=first_only))
        assert curve.returned_median_days == wanted.median_gap(first_only=first_only)
        if curve.median_days is not None:
            for days, reached in ((curve.median_days, True), (curve.median_days - 1, False)):
                half = wanted.back_within(days, first_only=first_only)
                assert half is not None
                assert (half >= 0.5) is reached
    for step in found.steps:
        n = step.purchase
        assert (step.customers, step.went_on) == (wanted.reached(n), wanted.reached(n + 1))
        assert step.median_days in (None, wanted.median_of_step(n))
    assert {
        row.start: (row.customers, list(row.active)) for row in found.cohorts.rows
    } == wanted.retention(months)
    assert {
        f"{month.start:%Y-%m}": (month.amount, month.old_amount)
        for month in found.revenue.months
        if month.orders
    } == wanted.money("%Y-%m")
    everything, old = (sum(sums) for sums in zip(*wanted.money("%Y").values(), strict=True))
    assert (found.revenue.amount, found.revenue.old_amount) == (everything, old)


def test_cdnow_is_diagnosed_as_by_hand_in_a_handful_of_statements(store: Store) -> None:
    bought = cdnow()
    lay_down(store, bought)
    ensure_fresh(store, POLICY, NOW)
    statements: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
    found = diagnose(store, POLICY, NOW)
    assert len(statements) < 60
    assert_agrees(found, Reference(bought, TODAY), months=1)
    assert found.cohorts.unit == "month"  # everybody came within one quarter
    rounded = {days: round(part or 0, 3) for days, part in found.repurchase.within.items()}
    assert rounded == {30: 0.309, 60: 0.429, 90: 0.495, 180: 0.598, 365: 0.676}
    assert (found.repurchase.median_days, found.second.returned_median_days) == (94, 57.0)
    assert (found.steps[0].customers, found.steps[0].went_on) == (23_570, 11_516)
    assert round(found.revenue.old_share or 0, 3) == 0.686
    assert {one.grade: one.customers for one in found.people.grades} == {
        "P": 0, "G": 1, "S": 2903, "B": 5446, None: 15220,
    }  # fmt: skip
    assert dict(found.people.classes) == {"active": 8350, "lapsed": 15_220}
    assert sum(cell.customers for cell in found.people.rfm) == 8350
    assert found.people.period_amount == sum(cell.amount for cell in found.people.rfm)
    assert found.hours.orders is None
    assert found.hours.without_hour == len(bought)
    assert (found.since, found.until) == (date(1997, 1, 1), TODAY)
    assert [one.code for one in found.advice] == ["few-customers", "when-to-write"]
    assert dict(found.advice[0].figures) == {
        "ordering": 23_570, "meant_for": 150_000, "grades": 4, "suggested_grades": 3,
        "rare_grades": ("P", "G"),
    }  # fmt: skip
    assert dict(found.advice[1].figures) == {
        "half_days": 34, "most_days": 200, "dormant_after_days": 180,
    }  # fmt: skip


@pytest.mark.parametrize("today", [date(1997, 2, 28), date(1997, 12, 31)])
def test_orders_of_later_days_are_not_known_yet(store: Store, today: date) -> None:
    some = [order for order in cdnow() if order[0].endswith("7")]
    lay_down(store, some, NEW_YORK)
    noon = from_local(datetime(today.year, today.month, today.day, 12), NEW_YORK)
    found = diagnose(store, replace(POLICY, timezone=NEW_YORK), noon)
    assert_agrees(found, Reference(some, today), months=1)


def seeded(store: Store, now: datetime, people: int = 300) -> list[tuple[str, datetime, int]]:
    """A shop in New York over three years, orders at any second, many around the changes of the clock."""
    dice = random.Random(20261109)
    made: list[tuple[str, datetime, int]] = []
    with store.write() as connection:
        for number in range(people):
            customer = add_customer(connection, f"{number:03}")
            at = now - timedelta(seconds=dice.randrange(3 * 365 * 86_400))
            for _ in range(dice.choice((1, 1, 1, 2, 3, 5, 8))):
                ref, amount = f"o{len(made)}", dice.randrange(100, 90_000)
                add_order(connection, customer, ref, at, amount=amount)
                made.append((f"{number:03}", at, amount))
                at += timedelta(seconds=dice.randrange(120 * 86_400))
                if at > now:
                    break
        odd = add_customer(connection, "odd")
        for year in (2024, 2025, 2026):
            for second in (-1, 0, 1, 3599, 3600):
                for change in (datetime(year, 3, 8, 7), datetime(year, 11, 1, 6)):
                    at = change.replace(tzinfo=UTC) + timedelta(seconds=second)
                    if at <= now:
                        add_order(connection, odd, f"o{len(made)}", at, amount=5)
                        made.append(("odd", at, 5))
        add_order(connection, odd, "refunded", now - timedelta(days=9), status="refunded")
        add_order(connection, odd, "tomorrow", now + timedelta(days=1))
    return made


def test_a_shop_with_hours_agrees_with_the_wall_clock_of_its_zone(store: Store) -> None:
    now = datetime(2026, 11, 9, 3, tzinfo=UTC)  # the evening of the 8th in New York
    made = seeded(store, now)
    zone = ZoneInfo(NEW_YORK)
    found = diagnose(store, replace(POLICY, timezone=NEW_YORK), now)
    local = [(who, at.astimezone(zone), amount) for who, at, amount in made]
    assert_agrees(
        found, Reference([(w, at.date(), a) for w, at, a in local], date(2026, 11, 8)), months=3
    )
    assert found.cohorts.unit == "quarter"
    clock = Counter((at.weekday(), at.hour) for _, at, _ in local)
    assert found.hours.orders is not None
    for day in range(7):
        for hour in range(24):
            assert found.hours.orders[day][hour] == clock[day, hour], (day, hour)
    assert found.hours.without_hour == 0


def test_orders_that_have_only_a_date_are_left_out_of_the_hours(store: Store) -> None:
    now = from_local(datetime(2026, 11, 9, 12), SHANGHAI)
    with store.write() as connection:
        customer = add_customer(connection, "1")
        for number in range(10):
            midnight = from_local(datetime(2026, 10, 5 + number), SHANGHAI)
            add_order(connection, customer, f"date{number}", midnight)
            add_order(connection, customer, f"hour{number}", midnight + timedelta(hours=21))
    found = diagnose(store, POLICY, now).hours
    assert found.orders is not None
    assert found.without_hour == 10
    assert sum(map(sum, found.orders)) == sum(row[21] for row in found.orders) == 10


def test_regions_come_from_the_profile_and_else_from_the_customer(store: Store) -> None:
    now = from_local(datetime(2026, 11, 9, 12), SHANGHAI)
    with store.write() as connection:
        for number, (province, city) in enumerate(
            [("广东", "广州"), ("广东", "深圳"), ("浙江", "杭州"), (None, None), (None, "上海")]
        ):
            one = add_customer(connection, str(number), province=province, city=city)
            add_order(connection, one, str(number), now - timedelta(days=number + 1), amount=100)
    ensure_fresh(store, POLICY, now)
    with store.write() as connection:
        chosen = select(customers.c.id).where(customers.c.ref == "3").scalar_subquery()
        connection.execute(
            update(profiles).where(profiles.c.customer_id == chosen).values(province="浙江")
        )
    found = diagnose(store, POLICY, now).regions
    assert [(one.name, one.customers, one.orders, one.amount) for one in found.provinces] == [
        ("广东", 2, 2, 200), ("浙江", 2, 2, 200), ("上海", 1, 1, 100),
    ]  # fmt: skip
    assert (found.provinces_known, found.cities_known) == (5, 4)


def test_categories_and_brands_are_counted_per_order_and_buyer(store: Store) -> None:
    now = from_local(datetime(2026, 11, 9, 12), SHANGHAI)
    bought: list[
        tuple[int, float, list[Any]]
    ] = [  # customer, days ago, items: category, brand, sku, quantity, price
        (0, 9, [("coffee", "A", None, 2, 500), ("coffee", "B", None, 1, 300)]),
        (0, 5, [("coffee", None, None, None, 100)]),
        (1, 9, [("coffee", "A", None, 1, None), (None, None, "tea-1", 3, 200)]),
        (1, 9, [("tea", "B", None, 1, 50)]),
        (1, 0.1, [(None, None, None, 1, 10_000)]),
    ]
    with store.write() as connection:
        connection.execute(
            insert(products).values(sku="tea-1", category="tea", brand="C", attributes={})
        )
        people = [add_customer(connection, str(n)) for n in range(2)]
        for number, (who, ago, items) in enumerate(bought):
            order = add_order(connection, people[who], str(number), now - timedelta(days=ago))
            for position, (category, brand, sku, quantity, price) in enumerate(items, 1):
                connection.execute(
                    insert(order_items).values(
                        order_id=order, position=position, category=category, brand=brand, sku=sku,
                        quantity=quantity, price=price,
                    )
                )  # fmt: skip
        closed = add_order(connection, people[0], "no", now - timedelta(days=1), status="closed")
        connection.execute(
            insert(order_items).values(order_id=closed, position=1, category="tea", price=9)
        )
    found = diagnose(store, POLICY, now)
    assert [
        (one.name, one.orders, one.customers, one.quantity, one.amount, one.repeat_share)
        for one in found.categories
    ] == [("coffee", 3, 2, 5, 1400, 0.5), ("tea", 2, 1, 4, 650, 0.0)]
    assert [(one.name, one.amount) for one in found.brands] == [
        ("A", 1000), ("C", 600), ("B", 350),
    ]  # fmt: skip


def test_who_can_be_reached_is_told_by_channel_and_class(store: Store) -> None:
    with store.write() as connection:
        add_customer(connection, "asked", phone="+8613800138000")
        add_customer(connection, "said-yes")
        add_customer(connection, "bounced")
        add_customer(connection, "none", email=None)
        rows = connection.execute(select(customers.c.ref, customers.c.email_hash))
        hashes = {row.ref: row.email_hash for row in rows}
        connection.execute(
            insert(consents).values({
                "address_hash": hashes["said-yes"], "channel": "email", "class": "marketing",
                "granted": True, "at": NOW, "source": "import",
            })
        )  # fmt: skip
        connection.execute(
            insert(suppressions).values(
                address_hash=hashes["bounced"], channel="email", reason="hard_bounce", at=NOW
            )
        )
    found = diagnose(store, POLICY, NOW).reach
    assert found == {
        "email": {"marketing": 1, "care": 2}, "sms": {"marketing": 0, "care": 1},
    }  # fmt: skip


def test_advice_is_given_only_where_it_applies(store: Store) -> None:
    some = [order for order in cdnow() if order[0].endswith("07")]
    lay_down(store, some)
    three = replace(POLICY, grading=Grading(grades=(("A", 26), ("B", 17), ("C", 1))))
    told = diagnose(store, three, NOW).advice
    assert told[0].figures["suggested_grades"] == 2  # fewer than 15,000 customers
    two = replace(POLICY, grading=Grading(grades=(("A", 17), ("B", 1))))
    told = diagnose(store, two, NOW + timedelta(days=60)).advice
    assert [one.code for one in told] == ["stale-orders", "when-to-write"]
    assert (told[0].figures["days"], told[0].figures["until"]) == (63, "1998-06-27")
    assert max(on for _, on, _ in some) == date(1998, 6, 27)


def test_asked_twice_it_answers_the_same_and_leaves_no_table_behind(store: Store) -> None:
    lay_down(store, [order for order in cdnow() if order[0].endswith("07")])
    assert diagnose(store, POLICY, NOW) == diagnose(store, POLICY, NOW)


def test_stages_follow_the_number_of_orders_where_the_profile_has_none(store: Store) -> None:
    wanted: dict[str, int] = defaultdict(int)
    with store.write() as connection:
        for number, orders_of in enumerate((0, 1, 2, 2, 3, 4, 5, 9)):
            one = add_customer(connection, str(number))
            for n in range(orders_of):
                add_order(connection, one, f"{number}-{n}", NOW - timedelta(days=n + 1))
            name = ("prospect", "first-time", "second-time", "repeat", "repeat", "loyal")
            wanted[name[min(orders_of, 5)]] += 1
        asleep = add_customer(connection, "asleep")
        add_order(connection, asleep, "old", NOW - timedelta(days=181))
    ensure_fresh(store, POLICY, NOW)
    with store.write() as connection:
        connection.execute(update(profiles).values(stage=None))
    assert dict(diagnose(store, POLICY, NOW).people.stages) == {**wanted, "dormant": 1}


def test_prospects_become_first_time_buyers_when_an_order_is_completed(store: Store) -> None:
    dice = random.Random(20261127)
    statuses = [*COMPLETED, "placed", "refunded", "closed"]
    bought = [[dice.choice(statuses) for _ in range(dice.randrange(4))] for _ in range(80)]
    with store.write() as connection:
        for number, own in enumerate(bought):
            one = add_customer(connection, str(number))
            for place, status in enumerate(own):
                at = NOW - timedelta(days=place + 1)
                add_order(connection, one, f"{number}-{place}", at, status=status)
        tomorrow = add_customer(connection, "tomorrow")
        add_order(connection, tomorrow, "later", NOW + timedelta(days=1))
    buyers = sum(any(status in COMPLETED for status in own) for own in bought)
    assert 20 < buyers < 70
    first, second, *_ = diagnose(store, POLICY, NOW).steps
    assert (first.purchase, first.customers, first.went_on) == (0, 81, buyers)
    assert (first.share, first.median_days) == (buyers / 81, None)
    assert (second.purchase, second.customers) == (1, buyers)


def test_where_everybody_known_has_bought_there_is_no_step_of_prospects(store: Store) -> None:
    with store.write() as connection:
        add_order(connection, add_customer(connection, "1"), "1", NOW - timedelta(days=1))
    assert [step.purchase for step in diagnose(store, POLICY, NOW).steps] == [1]


def test_a_shop_without_orders_has_an_empty_diagnosis(store: Store) -> None:
    with store.write() as connection:
        add_customer(connection, "1")
    found = diagnose(store, POLICY, NOW)
    assert (found.people.total, found.people.ordering, found.since) == (1, 0, None)
    assert (found.steps, found.cohorts.rows, found.revenue.months, found.advice) == ((), (), (), ())
    assert found.repurchase.median_days is None
    assert set(found.repurchase.within.values()) == {None}


def test_orders_in_another_currency_count_as_orders_and_add_nothing_to_amounts(
    store: Store,
) -> None:
    lay_down(store, [("a", date(1998, 6, 1), 10_000), ("a", date(1998, 6, 9), 500_000), ("b", date(1998, 6, 2), 70_000)])  # fmt: skip
    with store.write() as connection:
        connection.execute(update(orders).where(orders.c.ref != "0").values(currency="USD"))
    found = diagnose(store, POLICY, NOW)
    assert (found.currency, found.other_currencies) == ("CNY", {"USD": 2})
    assert (found.revenue.amount, found.people.period_amount) == (10_000, 10_000)
    assert sum(one.amount for one in found.regions.cities) == 10_000
    assert (found.repurchase.purchases, found.people.ordering) == (3, 2)
    said = sentences(found, words("en"))["revenue"]
    assert "orders in other currencies (USD 2) count as orders only" in plain(said)
    dollars = diagnose(store, replace(POLICY, prices=Prices(currency="USD")), NOW)
    assert (dollars.revenue.amount, dollars.other_currencies) == (570_000, {"CNY": 1})


def test_a_shop_that_took_no_money_yet_is_told_of_in_whole_sentences(store: Store) -> None:
    """One order of amount 0, at ten in the morning."""
    with store.write() as connection:
        customer = add_customer(connection, "1")
        add_order(connection, customer, "1", NOW.replace(hour=2, minute=5), amount=0)
    said = sentences(diagnose(store, POLICY, NOW), words("en"))
    assert plain(said["grades"]).startswith(
        "B: 100% of the 1 graded customers, and – of the revenue"
    )
    assert plain(said["rfm"]).endswith("and bring – of the revenue.")
    assert "most orders come at 10:00: 100% of them" in plain(said["hours"])


def test_a_question_about_another_day_is_no_change_of_anybodys_grade(store: Store) -> None:
    """Else the shop's next look would find that they all changed back, and write to whoever fell."""
    lay_down(store, [("a", date(1997, 8, number), 60_000) for number in (1, 2, 3, 4)])
    ensure_fresh(store, POLICY, NOW)
    then = NOW + timedelta(days=300)
    grades = [
        {one.grade: one.customers for one in diagnose(store, POLICY, at, keeps=at == NOW).people.grades}
        for at in (NOW, then)
    ]  # fmt: skip
    assert grades[0] != grades[1]
    assert not ensure_fresh(store, POLICY, NOW)
    with store.read() as connection:
        assert connection.execute(select(grade_changes)).all() == []
