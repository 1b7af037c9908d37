"""Expansion: who gets a delivery, for what reason, due when — and never a second one."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from engine.customers.profiles.freshness import refresh
from engine.definitions.campaign import Care
from engine.planning.expansion import expand, horizon
from engine.planning.runs import close_finished
from engine.store.session import Store
from engine.store.tables import customers, deliveries, runs
from tests.shop import add_customer, add_order, put_in_force

NOW = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)  # 10:00 in Shanghai


def campaign(schedule: str, audience: str = "{all: []}") -> dict[str, str]:
    return {
        "campaigns/sale.yaml": f"""
kind: campaign
class: marketing
schedule: {schedule}
audience: {audience}
steps: [{{id: mail, email: {{subject: 你好, template: hello}}}}]
"""
    }


def care(trigger: str, more: str = "") -> dict[str, str]:
    return {
        "care/kind-word.yaml": f"""
kind: care
class: care
trigger: {trigger}
{more}
steps: [{{email: {{subject: 你好, template: hello}}}}]
"""
    }


def due(store: Store) -> dict[str, datetime]:
    """Every delivery's due time by anchor and customer."""
    with store.read() as connection:
        rows = connection.execute(
            select(deliveries.c.anchor, deliveries.c.due_at, customers.c.ref).join(
                customers, customers.c.id == deliveries.c.customer_id
            )
        )
        return {f"{row.ref} {row.anchor}": row.due_at for row in rows}


def test_a_campaign_at_the_customers_own_ten_oclock_is_due_by_each_zone(store: Store) -> None:
    with store.write() as connection:
        catalog = put_in_force(connection, campaign('{at: "2026-11-02T10:00", timezone: customer}'))
        add_customer(connection, "sh")
        add_customer(connection, "ny", timezone="America/New_York")
        add_customer(connection, "nz", timezone="Pacific/Auckland")
    expand(store, catalog, NOW)
    assert due(store) == {
        "sh at:2026-11-02T10:00": datetime(2026, 11, 2, 2, tzinfo=UTC),
        "ny at:2026-11-02T10:00": datetime(2026, 11, 2, 15, tzinfo=UTC),
        "nz at:2026-11-02T10:00": datetime(2026, 11, 1, 21, tzinfo=UTC),
    }


def test_a_campaign_in_the_shops_zone_is_due_for_all_at_one_moment(store: Store) -> None:
    with store.write() as connection:
        catalog = put_in_force(connection, campaign('{at: "2026-11-02T10:00"}'))
        add_customer(connection, "sh")
        add_customer(connection, "ny", timezone="America/New_York")
    expand(store, catalog, NOW)
    assert set(due(store).values()) == {datetime(2026, 11, 2, 2, tzinfo=UTC)}
    assert set(due(store)) == {"sh at:2026-11-02T10:00+08:00", "ny at:2026-11-02T10:00+08:00"}


def test_expanding_again_and_by_four_at_once_makes_each_delivery_once(store: Store) -> None:
    with store.write() as connection:
        catalog = put_in_force(connection, campaign('{at: "2026-11-02T10:00"}'))
        for number in range(500):
            add_customer(connection, f"{number:03}")
    threads = [threading.Thread(target=expand, args=(store, catalog, NOW)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(due(store)) == 500
    assert expand(store, catalog, NOW).total == 0
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(runs)).scalar_one() == 1


def test_who_joins_the_audience_before_the_date_is_topped_up(store: Store) -> None:
    with store.write() as connection:
        catalog = put_in_force(connection, campaign('{at: "2026-11-02T10:00"}'))
        add_customer(connection, "early")
    expand(store, catalog, NOW)
    with store.write() as connection:
        add_customer(connection, "late")
    expand(store, catalog, NOW)
    assert len(due(store)) == 1
    expand(store, catalog, datetime(2026, 11, 2, 2, 0, tzinfo=UTC))
    assert len(due(store)) == 2


def test_the_places_of_a_top_are_given_out_once_over_all_chunks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.planning.rows.CHUNK", 1)
    audience = "{all: [{phone: {known: false}}], top: {by: amount, n: 2}}"
    first = 0
    with store.write() as connection:
        catalog = put_in_force(connection, campaign('{at: "2026-11-02T10:00"}', audience))
        for ref, amount in (("a", 100), ("b", 300), ("c", 200), ("d", 0)):
            key = add_customer(connection, ref)
            add_order(connection, key, f"O{ref}", NOW - timedelta(days=9), amount=amount)
            first = key if ref == "a" else first
        refresh(connection, catalog.policy, NOW)
    expand(store, catalog, NOW)
    assert [each[0] for each in sorted(due(store))] == ["b", "c"]
    with store.write() as connection:
        add_order(connection, first, "late", NOW, amount=10_000)
        refresh(connection, catalog.policy, NOW)
    expand(store, catalog, NOW + timedelta(days=1))
    assert [each[0] for each in sorted(due(store))] == ["b", "c"], "nobody is added to the two"


def test_spread_moves_each_customer_by_a_share_that_stays_the_same(store: Store) -> None:
    with store.write() as connection:
        catalog = put_in_force(connection, campaign('{at: "2026-11-02T10:00", spread: 4h}'))
        for number in range(400):
            add_customer(connection, f"{number}")
    expand(store, catalog, NOW)
    start = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)
    shares = [(moment - start) / timedelta(hours=4) for moment in due(store).values()]
    assert min(shares) >= 0 and max(shares) < 1
    quarters = [
        sum(1 for share in shares if quarter <= share * 4 < quarter + 1) for quarter in range(4)
    ]
    assert min(quarters) > 60


def test_seven_days_after_receipt_counts_local_dates(store: Store) -> None:
    with store.write() as connection:
        catalog = put_in_force(
            connection, care('{event: order.received, delay: 7d, time: "10:00", grace: 2d}')
        )
        shanghai = add_customer(connection, "sh")
        new_york = add_customer(connection, "ny", timezone="America/New_York")
        # 2026-10-25 23:30 in Shanghai; the same moment is 11:30 of that day in New York, before its DST ends.
        moment = datetime(2026, 10, 25, 15, 30, tzinfo=UTC)
        add_order(connection, shanghai, "A1", moment)
        add_order(connection, new_york, "A2", moment)
    expand(store, catalog, NOW)
    assert due(store) == {
        "sh order:A1:received": datetime(2026, 11, 1, 2, 0, tzinfo=UTC),
        "ny order:A2:received": datetime(2026, 11, 1, 15, 0, tzinfo=UTC),
    }


def test_an_hour_that_daylight_saving_skips_is_sent_at_the_first_moment_after_it(
    store: Store,
) -> None:
    with store.write() as connection:
        catalog = put_in_force(
            connection, care('{event: order.received, delay: 1d, time: "02:30", grace: 2d}')
        )
        berlin = add_customer(connection, "b", timezone="Europe/Berlin")
        add_order(connection, berlin, "gap", datetime(2026, 3, 28, 12, tzinfo=UTC))
        add_order(connection, berlin, "overlap", datetime(2026, 10, 24, 12, tzinfo=UTC))
    expand(store, catalog, datetime(2026, 3, 28, 20, tzinfo=UTC))
    expand(store, catalog, datetime(2026, 10, 24, 20, tzinfo=UTC))
    assert due(store) == {
        "b order:gap:received": datetime(2026, 3, 29, 1, 0, tzinfo=UTC),  # 03:00 local
        "b order:overlap:received": datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # the first 02:30
    }


def test_a_delay_in_minutes_is_exact(store: Store) -> None:
    with store.write() as connection:
        catalog = put_in_force(connection, care("{event: order.placed, delay: 30m, grace: 12h}"))
        someone = add_customer(connection, "1")
        add_order(
            connection, someone, "A", NOW - timedelta(minutes=10), status="placed", received_at=None
        )
    expand(store, catalog, NOW)
    assert due(store) == {"1 order:A:placed": NOW + timedelta(minutes=20)}


def test_late_data_still_triggers_once_but_not_when_stale(store: Store) -> None:
    rule = care('{event: order.received, delay: 7d, time: "10:00", grace: 2d}')
    with store.write() as connection:
        catalog = put_in_force(connection, rule)
        someone = add_customer(connection, "1")
        add_order(connection, someone, "late", NOW - timedelta(days=8))
        add_order(connection, someone, "stale", NOW - timedelta(days=10))
    expand(store, catalog, NOW)
    expand(store, catalog, NOW)
    assert list(due(store)) == ["1 order:late:received"]


def test_a_birthday_is_due_on_the_day_where_the_customer_lives(store: Store) -> None:
    with store.write() as connection:
        catalog = put_in_force(connection, care('{event: birthday, time: "09:00", grace: 12h}'))
        add_customer(connection, "sh", birthday="1990-11-02", birthday_month=11, birthday_day=2)
        add_customer(
            connection, "la", timezone="America/Los_Angeles",
            birthday="--11-01", birthday_month=11, birthday_day=1,
        )  # fmt: skip
        add_customer(connection, "other", birthday="1990-05-02", birthday_month=5, birthday_day=2)
    expand(store, catalog, NOW)
    assert due(store) == {
        "sh birthday:2026": datetime(2026, 11, 2, 1, 0, tzinfo=UTC),
        "la birthday:2026": datetime(2026, 11, 1, 17, 0, tzinfo=UTC),  # DST ended that morning
    }


def test_who_was_born_on_29_february_celebrates_on_the_28th_in_common_years(store: Store) -> None:
    with store.write() as connection:
        catalog = put_in_force(connection, care('{event: birthday, time: "09:00", grace: 12h}'))
        add_customer(connection, "leap", birthday="2000-02-29", birthday_month=2, birthday_day=29)
    expand(store, catalog, datetime(2027, 2, 28, 0, 30, tzinfo=UTC))
    expand(store, catalog, datetime(2028, 2, 28, 2, 0, tzinfo=UTC))
    assert due(store) == {
        "leap birthday:2027": datetime(2027, 2, 28, 1, 0, tzinfo=UTC),
        "leap birthday:2028": datetime(2028, 2, 29, 1, 0, tzinfo=UTC),
    }


def test_who_falls_dormant_is_due_at_the_next_given_hour_and_old_sleepers_are_left_alone(
    store: Store,
) -> None:
    with store.write() as connection:
        catalog = put_in_force(
            connection, care('{dormant: {after: 90d}, time: "10:00", grace: 3d}')
        )
        falling = add_customer(connection, "falling")
        long_gone = add_customer(connection, "long-gone")
        add_order(connection, falling, "F", NOW - timedelta(days=90) + timedelta(hours=3))
        add_order(connection, long_gone, "L", NOW - timedelta(days=400))
        refresh(connection, catalog.policy, NOW)
    expand(store, catalog, NOW)
    assert due(store) == {"falling dormant:F": datetime(2026, 11, 2, 2, 0, tzinfo=UTC)}


def test_the_horizon_is_the_longest_frequency_window(store: Store) -> None:
    with store.write() as connection:
        policy = {"policy.yaml": "frequency:\n  - {class: marketing, max: 10, per: 40d}\n"}
        catalog = put_in_force(connection, {**policy, **campaign('{at: "2026-12-20T10:00"}')})
        add_customer(connection, "1")
    assert horizon(catalog.policy) == timedelta(days=40)
    assert expand(store, catalog, NOW).total == 0
    assert expand(store, catalog, NOW + timedelta(days=10)).total == 1


def test_a_run_with_open_rows_is_never_done(store: Store) -> None:
    with store.write() as connection:
        catalog = put_in_force(connection, campaign('{at: "2026-11-01T10:00"}'))
        add_customer(connection, "1")
    expand(store, catalog, NOW)
    with store.write() as connection:
        close_finished(connection, NOW)
        assert connection.execute(select(runs.c.state)).scalar_one() == "open"
        connection.execute(deliveries.update().values(state="sent"))
        close_finished(connection, NOW)
        assert connection.execute(select(runs.c.state)).scalar_one() == "done"


@pytest.mark.parametrize("trigger", ["{event: order.received}", "{dormant: {after: 90d}}", "birthday"])  # fmt: skip
def test_a_delivery_has_an_order_exactly_where_lint_expects_one(store: Store, trigger: str) -> None:
    with store.write() as connection:
        catalog = put_in_force(connection, care(trigger))
        someone = add_customer(connection, "a", birthday="--11-01", birthday_month=11, birthday_day=1)  # fmt: skip
        add_order(connection, someone, "old", NOW - timedelta(days=90))
        if trigger == "{event: order.received}":
            add_order(connection, someone, "new", NOW)
        refresh(connection, catalog.policy, NOW)
    expand(store, catalog, NOW)
    with store.read() as connection:
        (order,) = connection.execute(select(deliveries.c.order_id)).scalars()
    rule = catalog.current["kind-word"].definition
    assert isinstance(rule, Care)
    assert (order is not None) is rule.trigger.has_order
