"""The two rhythms of the trade, as they are shipped: the day of each letter, who gets no more, and what the caps make of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from engine.customers.consent import grant
from engine.customers.profiles.freshness import refresh
from engine.definitions.loader import load
from engine.store.session import Store
from engine.store.tables import customers, deliveries, engagements
from tests.integration.test_series import Post
from tests.line import Line, settings_for
from tests.shop import add_customer, add_order, put_in_force

ROOT = Path(__file__).resolve().parents[2]
DAY, LATER = timedelta(days=1), timedelta(minutes=2)
PEOPLE = ("all", "buys", "bounces", "leaves")
PROMOTION = """
kind: campaign
class: marketing
priority: 60
schedule: {at: "2027-03-10T06:30"}
audience: {id: {in: [all]}}
steps: [{email: {subject: promotion, template: hello}}]
"""


def shipped(*campaigns: str) -> dict[str, str]:
    """These campaigns with the policy, segments and templates of the example shop, held out nobody."""
    files = {"policy.yaml": (ROOT / "config/policy.yaml").read_text()}
    for name in campaigns:
        text = (ROOT / f"config/campaigns/{name}.yaml").read_text()
        files[f"campaigns/{name}.yaml"] = text.replace("  holdout: 5%", "")
    for folder, suffix in (("config/segments", ".yaml"), ("templates/email", ".j2")):
        for path in (ROOT / folder).iterdir():
            if path.suffix == suffix:
                files[f"{folder.removeprefix('config/')}/{path.name}"] = path.read_text()
    return files


def play(store: Store, files: dict[str, str], first: datetime, days: int) -> dict[str, list[int]]:
    """On which days after the first each person got a letter; at half past six, when all of an hour's spread are due."""
    post = Post()
    line = Line(store, settings_for(25), transports={"email": [lambda: post]}, now=first)
    with store.write() as connection:
        catalog = put_in_force(connection, files)
        for number, ref in enumerate(PEOPLE):
            key = add_customer(connection, ref, email=f"c{ref}@example.com")
            for order in range(3):
                add_order(connection, key, f"O{number}{order}", first - (30 + order) * DAY, amount=30_000)  # fmt: skip
        hashes = connection.execute(select(customers.c.email_hash)).scalars().all()
        for each in hashes:
            grant(connection, each, "email", ["marketing"], at=first - DAY, source="import")
        refresh(connection, catalog.policy, first)
    found: dict[str, list[int]] = {ref: [] for ref in PEOPLE}
    for day in range(days):
        line.now = first + day * (DAY + LATER)  # what was sent a moment after is due a moment after
        if day == 9:
            happens_on_the_ninth(store, first + 8 * DAY)
        if day < 3:
            line.expand()
        line.run()
        for ref, _ in post.take():
            found[ref].append(day)
    return found


def happens_on_the_ninth(store: Store, at: datetime) -> None:
    with store.write() as connection:
        rows = connection.execute(
            select(customers.c.ref, customers.c.id, customers.c.email_hash, deliveries.c.id.label("delivery"))
            .join(deliveries, deliveries.c.customer_id == customers.c.id)
            .where(deliveries.c.state == "sent")
        )  # fmt: skip
        by_ref = {row.ref: row for row in rows}
        add_order(connection, by_ref["buys"].id, "new", at, status="placed")
        for ref, kind in (("bounces", "bounced"), ("leaves", "unsubscribed")):
            event = {"delivery_id": by_ref[ref].delivery, "kind": kind, "at": at, "data": {}}
            connection.execute(insert(engagements).values(**event))


@pytest.mark.parametrize(
    ("name", "first", "expected"),
    [
        ("spring-letters", datetime(2027, 3, 7, 22, 30, tzinfo=UTC), [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]),
        ("old-friends-letters", datetime(2027, 9, 5, 22, 30, tzinfo=UTC), [0, 5, 10, 15, 20, 25]),
    ],
)  # fmt: skip
def test_each_letter_goes_on_its_day_until_the_customer_buys_leaves_or_bounces(
    store: Store, name: str, first: datetime, expected: list[int]
) -> None:
    found = play(store, shipped(name), first, 45)
    until_then = [day for day in expected if day < 9]
    assert found == {"all": expected, "buys": until_then, "bounces": until_then, "leaves": until_then}  # fmt: skip


def test_a_promotion_between_the_letters_puts_the_tenth_off_and_takes_none_away(
    store: Store,
) -> None:
    files = {**shipped("spring-letters"), "campaigns/promotion.yaml": PROMOTION}
    files |= {"templates/email/hello.html.j2": "<p>{{ links.unsubscribe }}</p>"}
    found = play(store, files, datetime(2027, 3, 7, 22, 30, tzinfo=UTC), 45)
    assert found["all"] == [0, 2, 4, 8, 12, 16, 20, 24, 28, 32, 40]


def test_caps_that_leave_no_room_for_a_rhythm_are_told_with_the_rule() -> None:
    from engine.errors import DefinitionsError

    files = shipped("old-friends-letters")
    files["policy.yaml"] = files["policy.yaml"].replace("max: 10, per: 40d", "max: 4, per: 60d")
    place = 1 + files["policy.yaml"].split("max: 4")[0].count("\n")
    with pytest.raises(DefinitionsError) as caught:
        load(files)
    (problem,) = caught.value.problems
    assert str(problem.position) == "campaigns/old-friends-letters.yaml:20:5"
    assert f"can never reach step 5, 'new-goods-2': at most 4 in 60d (policy.yaml:{place}:5)" in problem.message  # fmt: skip
