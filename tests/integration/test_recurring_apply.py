"""What an edit does to a campaign that comes again and again: its dates to come follow, what went out is no reason to ask."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from engine.store.session import Store
from engine.store.tables import deliveries, runs
from tests.integration.test_renames import NOW, SALE, Shop

TEA = "campaigns/tea.yaml"


def daily(time: str) -> dict[str, str]:
    return {TEA: SALE.replace('at: "2026-11-02T10:00"', f'cron: "{time} * * *", expires: 12h')}


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(store, tmp_path)


def states(store: Store) -> dict[str, tuple[str, str | None, int]]:
    """Each run's state and reason, and how many of its deliveries are open."""
    planned = select(func.count()).where(deliveries.c.run_id == runs.c.id, deliveries.c.state == "planned")  # fmt: skip
    with store.read() as connection:
        rows = connection.execute(select(runs, planned.scalar_subquery().label("open")))
        return {row.occurrence: (row.state, row.reason, row.open) for row in rows}


def test_dates_to_come_follow_an_edited_schedule_and_come_back_with_it(shop: Shop) -> None:
    shop.apply(daily("0 10"))  # it is ten o'clock
    shop.two_have_it()
    first, tomorrow = "cron:2026-11-02T10:00+08:00", "cron:2026-11-03T10:00+08:00"
    assert states(shop.store) == {first: ("open", None, 1), tomorrow: ("open", None, 1)}
    shop.apply(daily("30 12"))
    assert states(shop.store) == {
        first: ("open", None, 1),
        tomorrow: ("cancelled", "rescheduled", 0),
        "cron:2026-11-02T12:30+08:00": ("open", None, 3),
    }
    applied = shop.apply(daily("0 10"))
    assert "planned again" in applied.in_flight["tea"]
    assert states(shop.store)[tomorrow][0] == "open"
    assert states(shop.store)["cron:2026-11-02T12:30+08:00"] == ("cancelled", "rescheduled", 0)


def test_a_plan_shows_the_next_date_of_a_recurring_campaign_and_of_a_festival(shop: Shop) -> None:
    festival = SALE.replace("campaign", "care").replace('schedule: {at: "2026-11-02T10:00"}', "trigger: {solar_term: 立冬}")  # fmt: skip
    plan = shop.plan({**daily("0 9"), "care/winter.yaml": festival})
    by_id = {sending.id: sending for sending in plan.sendings}
    assert by_id["tea"].first == datetime(2026, 11, 3, 1, tzinfo=UTC)
    assert (by_id["tea"].people, by_id["winter"].people) == (3, 3)
    assert by_id["winter"].first == datetime(2026, 11, 7, 2, tzinfo=UTC)
    assert by_id["winter"].first > NOW
