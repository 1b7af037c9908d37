"""The segments that ship with the example shop, and whom each finds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from engine.audience.compiler import Scope, select_ids
from engine.customers.importing.files import import_file
from engine.customers.profiles.freshness import refresh
from engine.customers.tags import add_tag, parse_tag
from engine.definitions.loader import Definitions, load, load_policy, read_files
from engine.settings import Settings
from engine.store.session import Store
from engine.store.tables import (
    customers,
    deliveries,
    engagements,
    events,
    links,
    order_items,
    orders,
    profiles,
    runs,
)
from engine.store.zones import ensure_zones
from tests.integration.export_files import export, shipped
from tests.pusher import Sender

CONFIG = Path(__file__).resolve().parents[2] / "config"
TAGGING = load_policy(read_files(CONFIG)).tagging
NOW = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)  # ten in the morning in Shanghai


@pytest.fixture(scope="module")
def project() -> Definitions:
    root = CONFIG
    files = {path: text for path, text in read_files(root).items() if not path.startswith(("campaigns", "care"))}  # fmt: skip
    return load(files)


class Shop:
    """Puts people into the database by the words of a test."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def person(self, ref: str, **values: Any) -> int:
        row = {"phone": f"+86138{ref}", "phone_hash": f"h{ref}", "attributes": {}, "created_at": NOW, "updated_at": NOW}  # fmt: skip
        made = insert(customers).values(ref=ref, **{**row, **values}).returning(customers.c.id)
        return int(self.connection.execute(made).scalar_one())

    def order(self, customer: int, at: str, amount: int = 10000, *, items: Sequence[dict[str, Any]] = (), **values: Any) -> None:  # fmt: skip
        placed = datetime.fromisoformat(f"{at}+08:00")
        row = {"ref": f"{customer}-{at}", "status": "received", "currency": "CNY", "attributes": {}}
        made = insert(orders).values(customer_id=customer, placed_at=placed, amount=amount, **{**row, **values})  # fmt: skip
        key = self.connection.execute(made.returning(orders.c.id)).scalar_one()
        for position, item in enumerate(items, 1):
            self.connection.execute(insert(order_items).values(order_id=key, position=position, **item))  # fmt: skip

    def tag(self, customer: int, written: str) -> None:
        """As customer service does: only what the shipped tagging.yaml allows."""
        tag = parse_tag(written, TAGGING)
        add_tag(self.connection, customer, *tag, tagging=TAGGING, at=NOW, by="小王")

    def message(self, customer: int, definition: str, clicked: str | None = None, scanner: str | None = None) -> None:  # fmt: skip
        run = self.connection.execute(insert(runs).values(definition=definition, occurrence=str(customer), digest="d", priority=1, state="done", created_at=NOW).returning(runs.c.id)).scalar_one()  # fmt: skip
        row = {"public_id": f"{definition}{customer}", "run_id": run, "step": "main", "anchor": "a", "digest": "d", "class": "marketing", "priority": 1, "state": "sent", "deferrals": 0, "channel_index": 0, "attempts": 1}  # fmt: skip
        ago = NOW - timedelta(days=9)
        times = dict.fromkeys(("due_at", "next_at", "not_after", "admitted_at", "sent_at", "created_at"), ago)  # fmt: skip
        made = insert(deliveries).values(customer_id=customer, definition=definition, **row, **times)  # fmt: skip
        key = self.connection.execute(made.returning(deliveries.c.id)).scalar_one()
        if clicked:
            if self.connection.execute(select(links.c.id)).first() is None:
                self.connection.execute(insert(links).values(digest="d", number=1, url="x", label=clicked, personal=False))  # fmt: skip
            self.connection.execute(insert(engagements).values(delivery_id=key, kind="clicked", at=ago, link=1, scanner=scanner, data={}))  # fmt: skip


class Asked:
    def __init__(self, store: Store, project: Definitions) -> None:
        self.store, self.project = store, project

    def who(self, name: str) -> list[str]:
        policy = self.project.policy
        scope = Scope(NOW, policy.timezone, policy, self.project.segments)
        with self.store.write() as connection:
            ensure_zones(connection, [policy.timezone])
            refresh(connection, policy, NOW)
        with self.store.read() as connection:
            chosen = select_ids(self.project.segments[name].tree, scope)
            found = select(customers.c.ref).where(customers.c.id.in_(chosen))
            return sorted(connection.execute(found).scalars())


@pytest.fixture
def asked(store: Store, project: Definitions) -> Asked:
    return Asked(store, project)


def grant(connection: Connection, ref: str) -> None:
    from engine.store.tables import consents

    connection.execute(insert(consents).values(address_hash=f"h{ref}", channel="sms", granted=True, at=NOW, source="import", **{"class": "marketing"}))  # fmt: skip


def test_midnight_buyers_ordered_first_or_last_between_midnight_and_two(asked: Asked) -> None:
    with asked.store.write() as connection:
        shop = Shop(connection)
        first, last, middle, edge, deaf = (shop.person(ref) for ref in ("first", "last", "middle", "edge", "deaf"))  # fmt: skip
        shop.order(first, "2026-03-01T00:30")
        shop.order(first, "2026-05-01T12:00")
        shop.order(last, "2026-03-01T12:00")
        shop.order(last, "2026-05-01T01:59")
        for at in ("2026-03-01T12:00", "2026-04-01T01:00", "2026-05-01T12:00"):
            shop.order(middle, at)
        shop.order(edge, "2026-05-01T02:00")
        shop.order(deaf, "2026-05-01T00:00")
        for ref in ("first", "last", "middle", "edge"):
            grant(connection, ref)
    assert asked.who("midnight-buyers") == ["first", "last"]


def test_sizes_come_from_what_was_told_and_from_what_was_bought_within_a_year(asked: Asked) -> None:
    with asked.store.write() as connection:
        shop = Shop(connection)
        told, bought, grown, other = (shop.person(ref) for ref in ("told", "bought", "grown", "other"))  # fmt: skip
        shop.tag(told, "size-2026=110cm")
        shop.order(bought, "2026-02-01T12:00", items=[{"size": "90cm"}, {"size": "120"}])
        shop.order(grown, "2025-02-01T12:00", items=[{"size": "110cm"}])
        shop.order(other, "2026-02-01T12:00", items=[{"size": "130cm"}])
    assert asked.who("size-110-120") == ["bought", "told"]


def test_the_size_in_an_export_of_taobao_finds_its_buyer(asked: Asked, tmp_path: Path) -> None:
    """By 参考身高：120cm, through the shipped mappings, rules and segment; who bought a hoodie in L is not meant."""
    both = shipped("taobao-orders"), shipped("taobao-items")
    import_file(
        asked.store, "orders", export(tmp_path, "ExportOrderList.csv"),
        items=export(tmp_path, "ExportOrderDetailList.csv"), mappings=both,
        settings=Settings(project=tmp_path, address_key="key"), policy=asked.project.policy, now=NOW,
    )  # fmt: skip
    assert asked.who("size-110-120") == ["tb林小雁"]


def test_the_size_in_a_pushed_order_finds_its_buyer(asked: Asked) -> None:
    order = {"status": "paid", "placed_at": "2026-10-01", "amount": 99}
    with closing(Sender(asked.store, NOW)) as sender:
        for ref, size in (("1", "110cm"), ("2", "100cm"), ("3", "120码")):
            sender.push("customers", {"id": ref})
            items = [{"sku": "T", "size": size}]
            sender.push("orders", {**order, "id": ref, "customer_id": ref, "items": items})
    assert asked.who("size-110-120") == ["1", "3"]


def test_gift_buyers_said_so_or_bought_a_gift_box(asked: Asked) -> None:
    with asked.store.write() as connection:
        shop = Shop(connection)
        said, bought, returned = (shop.person(ref) for ref in ("said", "bought", "returned"))
        shop.tag(said, "purpose=gift")
        shop.order(bought, "2026-01-20T12:00", items=[{"category": "礼盒"}])
        shop.order(returned, "2026-01-20T12:00", status="refunded", items=[{"category": "礼盒"}])
    assert asked.who("gift-buyers") == ["bought", "said"]


def test_guangdong_buyers_are_found_by_their_profile_where_they_did_not_say(asked: Asked) -> None:
    with asked.store.write() as connection:
        shop = Shop(connection)
        people = [shop.person("said", province="广东省"), shop.person("read", address="广东省 广州市 天河区 1 号"), shop.person("north", province="北京")]  # fmt: skip
        for key in people:
            shop.order(key, "2026-02-01T12:00")
    assert asked.who("guangdong-spring") == ["read", "said"]


def test_regulars_near_a_shop_are_found_however_their_city_is_written(asked: Asked) -> None:
    with asked.store.write() as connection:
        shop = Shop(connection)
        written = {"short": {"city": "上海"}, "full": {"city": "杭州市"}, "read": {"address": "浙江省杭州市西湖区"}, "far": {"city": "苏州市"}}  # fmt: skip
        for ref, where in written.items():
            key = shop.person(ref, **where)
            for day in ("2026-08-01", "2026-09-01", "2026-10-01"):
                shop.order(key, f"{day}T12:00", 20000)
    assert asked.who("near-our-shops") == ["full", "read", "short"]


def test_bought_once_and_never_again(asked: Asked) -> None:
    with asked.store.write() as connection:
        shop = Shop(connection)
        once, fresh, twice = (shop.person(ref) for ref in ("once", "fresh", "twice"))
        shop.order(once, "2026-05-01T12:00")
        shop.order(fresh, "2026-10-20T12:00")
        shop.order(twice, "2026-05-01T12:00")
        shop.order(twice, "2026-05-02T12:00")
    assert asked.who("bought-once") == ["once"]


def test_the_call_list_is_the_top_by_amount_and_the_top_by_orders(
    store: Store, project: Definitions
) -> None:
    files = {
        path: text.replace("n: 1000", "n: 2")
        for path, text in project.files.items()
        if not path.startswith("templates")
    }
    asked = Asked(store, load(files))
    with store.write() as connection:
        shop = Shop(connection)
        amounts = {"a": [500], "b": [300], "c": [300], "d": [10, 10, 10], "e": [9, 9, 9, 9], "f": [999], "g": []}  # fmt: skip
        for ref, each in amounts.items():
            key = shop.person(ref)
            for day, amount in enumerate(each, 1):
                shop.order(key, f"2026-05-{day:02}T12:00", amount)
            if ref != "f":  # whom nobody may write to is on no list
                grant(connection, ref)
    assert asked.who("top-by-amount") == ["a", "b"], "of b and c, who came first"
    assert asked.who("top-by-orders") == ["d", "e"]
    assert asked.who("phone-before-double11") == ["a", "b", "d", "e"]


def test_warm_reviewers_gave_four_stars_and_wrote_at_length(asked: Asked) -> None:
    with asked.store.write() as connection:
        shop = Shop(connection)
        for ref, score, length in (("warm", 5, 80), ("text", "4", "50"), ("short", 5, 49), ("cold", 3, 300)):  # fmt: skip
            key = shop.person(ref)
            connection.execute(insert(events).values(ref=ref, customer_id=key, kind="review", at=NOW, data={"score": score, "length": length}))  # fmt: skip
    assert asked.who("warm-reviewers") == ["text", "warm"]


def test_loyal_people_are_asked_for_a_survey_once_in_half_a_year(asked: Asked) -> None:
    with asked.store.write() as connection:
        shop = Shop(connection)
        stage, tagged, had, _ = (shop.person(ref) for ref in ("stage", "tagged", "had", "other"))
        shop.tag(tagged, "temper=loyal")
        shop.tag(had, "temper=loyal")
        shop.message(had, "survey")
        shop.message(tagged, "spring")
        refresh(connection, asked.project.policy, NOW)
        connection.execute(update(profiles).where(profiles.c.customer_id == stage).values(stage="loyal"))  # fmt: skip
    who = _without_refresh(asked, "loyal")
    assert who == ["stage", "tagged"]


def _without_refresh(asked: Asked, name: str) -> list[str]:
    """As they stand: `stage` was written by hand."""
    policy = asked.project.policy
    scope = Scope(NOW, policy.timezone, policy, asked.project.segments)
    with asked.store.read() as connection:
        chosen = select_ids(asked.project.segments[name].tree, scope)
        found = select(customers.c.ref).where(customers.c.id.in_(chosen))
        return sorted(connection.execute(found).scalars())


def test_furniture_buyers_who_kept_everything_are_asked_to_recommend(asked: Asked) -> None:
    with asked.store.write() as connection:
        shop = Shop(connection)
        content, fresh, angry = (shop.person(ref) for ref in ("content", "fresh", "angry"))
        shop.order(content, "2026-05-01T12:00", items=[{"category": "家具"}])
        shop.order(fresh, "2026-10-20T12:00", items=[{"category": "家具"}])
        shop.order(angry, "2026-05-01T12:00", items=[{"category": "家具"}])
        shop.order(angry, "2026-06-01T12:00", status="refunded")
    assert asked.who("furniture-referral") == ["content"]


def test_coffee_lovers_order_it_or_click_on_it_themselves(asked: Asked) -> None:
    with asked.store.write() as connection:
        shop = Shop(connection)
        buyer, little, clicker, machine = (shop.person(ref) for ref in ("buyer", "little", "clicker", "machine"))  # fmt: skip
        for key, teas in ((buyer, 2), (little, 3)):  # a third, and a quarter
            shop.order(key, "2026-05-01T12:00", items=[{"category": "咖啡"}])
            for day in range(teas):
                shop.order(key, f"2026-06-0{day + 1}T12:00", items=[{"category": "茶"}])
        shop.message(clicker, "spring", clicked="coffee")
        shop.message(machine, "spring", clicked="coffee", scanner="burst")
    assert asked.who("coffee-lovers") == ["buyer", "clicker"]
