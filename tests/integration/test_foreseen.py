"""What plan warns of after the caps, what waits for ever, and what `explain` foresees of a planned message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert, select

from engine.definitions.loader import load
from engine.foresight.apply import rehearse
from engine.foresight.outcome import simulate
from engine.foresight.plan import Plan, make_plan
from engine.foresight.simulation import Passage
from engine.foresight.trials import note_trial
from engine.foresight.world import copied_world
from engine.insight.explain import explain_customer
from engine.planning.look import look
from engine.settings import Settings
from engine.store.catalog import CatalogReader
from engine.store.session import Store
from engine.store.tables import deliveries, pauses
from tests.shop import ADDRESS_KEY, TEMPLATES, add_customer

NOW = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)  # 10:00 in Shanghai
DAYS = timedelta(days=4)
HOUR = timedelta(hours=1)
POLICY = """\
frequency: [{class: marketing, max: 1, per: 5d}]
consent: {unknown: {email: {marketing: true}, sms: {marketing: true}}}
"""


def campaign(at: str, priority: int, channel: str = "email") -> str:
    way = "{subject: 你好, template: hello}" if channel == "email" else "{template: hello}"
    return f"""\
kind: campaign
class: marketing
priority: {priority}
schedule: {{at: "{at}", expires: 12h}}
audience: {{all: []}}
steps: [{{id: mail, {channel}: {way}}}]
"""


BUTTON = '<a href="https://shop.example" style="display:block;background:#23695a;color:#fff;padding:12px">去看看</a>'
FILES = {
    "templates/sms/hello.txt.j2": TEMPLATES["templates/sms/hello.txt.j2"],
    "templates/email/hello.html.j2": TEMPLATES["templates/email/hello.html.j2"].replace(
        "</td>", f"{BUTTON}</td>"
    ),
    "policy.yaml": POLICY,
    "campaigns/news.yaml": campaign("2026-11-03T10:00", 40),
    "campaigns/sale.yaml": campaign("2026-11-03T20:00", 60),
}


def settings_of(folder: Path) -> Settings:
    return Settings(project=folder, secret_key="test-secret", address_key=ADDRESS_KEY)


def add_people(store: Store, count: int) -> None:
    with store.write() as connection:
        for number in range(count):
            add_customer(connection, f"{number:05}", phone=f"+861380013{number:04}")


def planned(store: Store, folder: Path) -> Plan:
    return make_plan(store, load(FILES), settings_of(folder), NOW, span=DAYS)


def warnings_of(plan: Plan, name: str) -> str:
    return "\n".join(next(one for one in plan.sendings if one.id == name).warnings)


def test_plan_warns_of_two_campaigns_on_one_day_and_of_what_the_caps_take(
    store: Store, tmp_path: Path
) -> None:
    add_people(store, 5)
    plan = planned(store, tmp_path)
    assert plan.future is not None
    assert [(v.day, v.definition, v.sent) for v in plan.future.volumes] == [
        (date(2026, 11, 3), "sale", 5)
    ]
    news, sale = warnings_of(plan, "news"), warnings_of(plan, "sale")
    assert "on 2026-11-03 it meets campaign 'sale': 5 people are in both, and 5 of them (100%)" in news  # fmt: skip
    assert "caps take away 5 of 5 messages (100%), most of them frequency at policy.yaml:1" in news
    assert "5 people are in both, and 0 of them (0%) do not get this one" in sale
    assert "caps take away" not in sale
    assert "after the caps it reaches only 5 people" in sale
    assert "less than three days" in sale
    (left,) = next(one for one in plan.future.courses if one.id == "news").left_out
    assert (left.reason, left.count, list(left.customers)) == ("frequency", 5, ["00000", "00001", "00002"])  # fmt: skip
    assert plan.future.contacts == {0: 0, 1: 5}


def test_plan_asks_for_a_test_until_one_of_this_very_content_was_sent(
    store: Store, tmp_path: Path
) -> None:
    add_people(store, 1)
    definitions, settings = load(FILES), settings_of(tmp_path)

    def asked(files: dict[str, str]) -> str:
        return warnings_of(make_plan(store, load(files), settings, NOW), "sale")

    assert "no test was sent yet: `yanshu send-test sale --to YOU`" in asked(FILES)
    sale = definitions.sendable()["sale"]
    note_trial(store, definitions, sale, channel="email", by="mei", now=NOW)
    assert "test" not in asked(FILES)
    edited = FILES | {"campaigns/sale.yaml": campaign("2026-11-03T20:00", 61)}
    assert "edited since its last test" in asked(edited)


def test_what_waits_for_a_channel_or_an_operator_is_not_asked_every_few_minutes(
    store: Store, tmp_path: Path
) -> None:
    add_people(store, 3)
    files = FILES | {"campaigns/sale.yaml": campaign("2026-11-03T20:00", 60, "sms")}
    with store.write() as connection:
        connection.execute(insert(pauses).values(target="channel:email", at=NOW, by="mei"))
    with copied_world(store) as world:
        rehearse(world, load(files), NOW, by="test")
        with world.read() as connection:
            catalog = CatalogReader().read(connection)
        settings = settings_of(tmp_path)  # no gateway: email alone
        passage = Passage(world, catalog, settings, NOW, NOW + DAYS)
        passage.run()
        with world.read() as connection:
            rows = connection.execute(select(deliveries.c.state, deliveries.c.reason)).all()
    assert {tuple(row) for row in rows} == {("skipped", "expired")}
    assert passage.moments < 20


def test_messages_on_their_way_count_as_sent_and_use_up_the_caps(
    store: Store, tmp_path: Path
) -> None:
    add_people(store, 2)
    definitions, settings = load(FILES), settings_of(tmp_path)
    rehearse(store, definitions, NOW, by="test")
    with store.read() as connection:
        catalog = CatalogReader().read(connection)
    look(store, catalog, NOW, DAYS)
    with store.write() as connection:
        news = (deliveries.c.definition == "news") & (deliveries.c.customer_id == 1)
        queued = {"state": "queued", "channel": "email", "batch": "b", "admitted_at": NOW - HOUR, "send_at": NOW}  # fmt: skip
        connection.execute(deliveries.update().where(news).values(**queued))
    future = simulate(store, definitions, settings, NOW, DAYS)
    assert sum(volume.sent for volume in future.volumes) == 1  # the other one's; not who has one
    with store.read() as connection:
        found = explain_customer(connection, settings=settings, now=NOW, ref="00000")
    sale = next(story for story in found.stories if story.row["definition"] == "sale")
    coming = sale.as_json()["foreseen"]
    assert (coming["verdict"], coming["reason"]) == ("skip", "frequency")
    assert coming["rule"]["file"] == "policy.yaml"
    assert [used["delivery"] for used in coming["evidence"]["used"]] == [
        story.row["public_id"] for story in found.stories if story.row["definition"] == "news"
    ]
    assert "as things stand: 2026-11-03 20:00:00  skip: frequency" in sale.as_text("Asia/Shanghai")
    assert replace(sale, foreseen=None).as_json()["foreseen"] is None
