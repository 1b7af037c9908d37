"""The simulated future of the shipped example shop is what then really happens; and simulating changes nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, insert, select, update

from engine.clock import Clock
from engine.customers.profiles.freshness import ensure_fresh
from engine.definitions.loader import Definitions, load, read_files
from engine.delivery.dispatch import Dispatcher
from engine.foresight.apply import rehearse
from engine.foresight.page import future_page
from engine.foresight.plan import make_plan
from engine.settings import Settings, ShopSettings
from engine.store.session import Store
from engine.store.tables import consents, customers, deliveries, metadata, zone_offsets
from tests.shop import ADDRESS_KEY, add_customer, add_order
from workers.planner import Planner

SHOP = Path(__file__).parents[2] / "config"
NOW = datetime(2026, 11, 7, 16, 0, tzinfo=UTC)  # midnight in Shanghai
DAYS = {True: 3, False: 1}
"""On SQLite with Double 11's preview and the day after it; on PostgreSQL, where the same code runs in the same copy, less."""
PEOPLE = 80

Sent = Mapping[tuple[date, str, str], int]


def files_of_the_shop(frequency: str = "max: 2, per: 5d") -> dict[str, str]:
    """The shipped files, with a cap that binds and a volume that puts off until tomorrow."""
    files = dict(read_files(SHOP)) | {
        f"templates/{path.relative_to(SHOP.parent / 'templates')}": path.read_text(encoding="utf-8")
        for path in (SHOP.parent / "templates").rglob("*.j2")
    }
    policy = files["policy.yaml"].replace("max: 3, per: 24h", frequency)
    files["policy.yaml"] = policy + "\nvolume: [{channel: email, max: 30, per: 1d}]\n"
    return files


def lay_down(store: Store) -> None:
    """People who ordered at all ages, some with a birthday this week, some who said no."""
    dice = random.Random(7)
    with store.write() as connection:
        for number in range(PEOPLE):
            born = date(1990, 1, 1) + timedelta(days=dice.randrange(365))
            phone = f"+8613800138{number:03}" if dice.random() < 0.5 else None
            key = add_customer(
                connection, f"{number:05}", phone=phone,
                email=None if dice.random() < 0.1 else f"c{number}@example.com",
                birthday=born.isoformat(), birthday_month=born.month, birthday_day=born.day,
                timezone="Europe/London" if dice.random() < 0.1 else None,
            )  # fmt: skip
            for order in range(dice.randrange(5)):
                placed = NOW - timedelta(days=dice.choice((1, 4, 6, 7, 24, 27, 88, 89)), hours=dice.randrange(24))  # fmt: skip
                add_order(
                    connection, key, f"{number}-{order}", placed,
                    received_at=placed + timedelta(hours=2), amount=dice.randrange(500, 90_000),
                )  # fmt: skip
        rows = connection.execute(
            select(customers.c.email_hash).where(customers.c.email_hash.is_not(None))
        )
        connection.execute(insert(consents), [
            {"address_hash": digest, "channel": "email", "class": name, "granted": dice.random() < 0.9,
             "at": NOW - timedelta(days=90), "source": "import"}
            for digest in rows.scalars().all()
            for name in ("marketing", "care")
        ])  # fmt: skip


def settings_of(folder: Path) -> Settings:
    return Settings(project=folder, secret_key="test-secret", address_key=ADDRESS_KEY)


def live_through(store: Store, settings: Settings, end: datetime) -> None:
    """The daemon's own planner and dispatcher, at every moment at which something is due; each message arrives."""
    planner, batches = Planner(store), list[str]()
    dispatcher = Dispatcher(store, batches.append, "live", settings.channels())
    moment, looks_at = NOW, NOW
    while moment <= end:
        if moment >= looks_at:
            planner.look(Clock.starting_at(moment))
            looks_at = moment + timedelta(hours=8)
        while dispatcher.tick(moment).decided or batches:
            batches.clear()
            with store.write() as connection:
                connection.execute(
                    update(deliveries)
                    .where(deliveries.c.state == "queued")
                    .values(state="sent", batch=None, sent_at=deliveries.c.send_at)
                )
        with store.read() as connection:
            due = connection.execute(
                select(func.min(deliveries.c.next_at)).where(
                    deliveries.c.state == "planned", deliveries.c.next_at > moment
                )
            ).scalar()
        moment = min(filter(None, (due, looks_at)))


def sent_in(store: Store) -> Sent:
    zone = ZoneInfo("Asia/Shanghai")
    with store.read() as connection:
        rows = connection.execute(
            select(deliveries.c.sent_at, deliveries.c.channel, deliveries.c.definition).where(
                deliveries.c.state == "sent"
            )
        )
        return Counter((at.astimezone(zone).date(), channel, name) for at, channel, name in rows)


def skipped_in(store: Store) -> Mapping[tuple[str, str], int]:
    with store.read() as connection:
        rows = connection.execute(
            select(deliveries.c.definition, deliveries.c.reason).where(
                deliveries.c.state == "skipped"
            )
        )
        return Counter((name, reason) for name, reason in rows)


def everything_in(store: Store) -> dict[str, int]:
    with store.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
            if table is not zone_offsets  # laid down where they are first needed
        }


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> tuple[Store, Definitions, Settings]:
    lay_down(store)
    definitions = load(files_of_the_shop())
    ensure_fresh(store, definitions.policy, NOW)
    return store, definitions, settings_of(tmp_path)


def test_what_plan_foresees_for_the_example_shop_is_what_then_happens(
    shop: tuple[Store, Definitions, Settings],
) -> None:
    store, definitions, settings = shop
    span = timedelta(days=DAYS[store.is_sqlite])
    before = everything_in(store)
    plan = make_plan(store, definitions, settings, NOW, span=span)
    assert everything_in(store) == before
    future = plan.future
    assert future is not None
    rehearse(store, definitions, NOW, by="test")
    live_through(store, settings, NOW + span)
    foreseen = {(v.day, v.channel, v.definition): v.sent for v in future.volumes}
    assert foreseen == sent_in(store)
    left_out = Counter[tuple[str, str]]()
    for course in future.courses:
        for left in course.left_out:
            left_out[course.id, left.reason] += left.count
    assert left_out == skipped_in(store)
    if store.is_sqlite:
        assert sum(left_out[key] for key in left_out if key[1] == "frequency") > 0
        assert {one.reason for one in future.held} >= {"frequency", "volume"}
    assert sum(n * people for n, people in future.contacts.items()) == future.sent
    assert sum(future.contacts.values()) == PEOPLE == future.customers
    preview = next(one for one in plan.sendings if one.id == "double11-preview")
    assert any("caps" in warning or "send-test" in warning for warning in preview.warnings)
    text, markdown = plan.as_text(), plan.as_markdown()
    assert f"after the caps: {future.sent} messages" in text
    assert f"after the caps: **{future.sent:,} messages**" in markdown
    assert "<details><summary>care after-7-days</summary>" in markdown
    page = future_page(future, ShopSettings(name="<b>店"))
    assert "&lt;b&gt;店" in page
    assert "<script" not in page
