"""Products, tags and events from files, and two records of one person made one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from engine.customers.importing import files
from engine.customers.merging import merge
from engine.definitions.tagging import Dimension, Tagging
from engine.errors import YanshuError
from engine.store.session import Store
from engine.store.tables import (
    audit,
    consents,
    customers,
    deliveries,
    events,
    merged_refs,
    order_items,
    orders,
    products,
    tags,
)
from tests.integration.export_files import mapping
from tests.integration.test_importing import NOW, POLICY, Shop, at, counts
from tests.mailing import add_delivery, add_run

ORDER = "id,customer_id,placed_at,amount\n"


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    found = Shop(store, tmp_path)
    found.load("customers", "id,name,email,phone,email_consent\na,甲,,13800138001,\nb,,b@mail.example,,yes\n")  # fmt: skip
    return found


def test_products_give_items_what_the_orders_do_not_say(shop: Shop) -> None:
    shop.load("orders", ORDER + "1,a,2026-04-01,5\n")
    items = shop.write("items.csv", "order_id,sku,category\n1,S,\n1,T,tea\n1,,\n")
    shop.load("orders", ORDER + "1,a,2026-04-01,5\n", items=items)
    file = "sku,title,category,brand,price,origin\nS,Cup,cups,Goose,12.50,景德镇\nT,Tea,drinks,,3,\n,x,,,,\n"
    summary = shop.load("products", file)
    assert counts(summary) == (3, 2, 0, 0, 1)
    assert shop.reasons(summary) == [(4, "sku: is blank")]
    found = [(i["sku"], i["category"], i["brand"]) for i in shop.rows(order_items)]
    assert found == [("S", "cups", "Goose"), ("T", "tea", None), (None, None, None)]
    assert shop.rows(products)[0]["attributes"] == {"origin": "景德镇"}
    assert shop.rows(products)[0]["price"] == 1250
    assert counts(shop.load("products", file)) == (3, 0, 0, 2, 1)
    again = shop.load("orders", ORDER + "1,a,2026-04-01,5\n", items=items)
    assert again.items is not None
    assert counts(again.items) == (3, 0, 0, 3, 0)
    assert shop.rows(order_items)[0]["category"] == "cups"


def test_tags_land_once_and_become_a_persons_own(shop: Shop) -> None:
    file = "customer_id,dimension,value,tagged_at,by\na,肤质,干性,2026-04-01 10:00+08:00,客服小王\na,用途,送礼,,\nx,用途,自用,,\n"
    summary = shop.load("tags", file)
    assert counts(summary) == (3, 2, 0, 0, 1)
    assert shop.reasons(summary) == [(4, "customer_id: there is no customer 'x'")]
    first = next(tag for tag in shop.rows(tags) if tag["dimension"] == "肤质")
    assert (first["tagged_at"], first["tagged_by"], first["rule"]) == (at("2026-04-01T10:00+08:00"), "客服小王", None)  # fmt: skip
    before = shop.rows(tags)
    assert counts(shop.load("tags", file, now=NOW + timedelta(days=1))) == (3, 0, 0, 2, 1)
    assert shop.rows(tags) == before
    with shop.store.write() as connection:
        connection.execute(insert(tags).values(customer_id=before[0]["customer_id"], dimension="d", value="v", tagged_at=NOW, rule="r"))  # fmt: skip
    shop.load("tags", "customer_id,dimension,value\na,d,v\n")
    assert [tag["rule"] for tag in shop.rows(tags)] == [None, None, None]


def test_tags_that_tagging_yaml_does_not_know_are_rejected_with_the_nearest_name(
    shop: Shop,
) -> None:
    tagging = Tagging(dimensions={"skin": Dimension(values=("dry", "oily")), "size": Dimension(values=("S", "M"), several=True)})  # fmt: skip
    policy = replace(POLICY, tagging=tagging)
    file = "customer_id,dimension,value\na,skn,dry\na,skin,drry\na,size,S\na,size,M\na,skin,oily\na,skin,dry\nb,skin,oily\n"
    summary = shop.load("tags", file, policy=policy)
    assert counts(summary) == (7, 4, 0, 1, 2)
    assert shop.reasons(summary) == [
        (2, "dimension: no dimension 'skn' in tagging.yaml; did you mean 'skin'?"),
        (3, "value: 'drry' is no value of skin; did you mean 'dry'?"),
    ]
    found = [(tag["dimension"], tag["value"]) for tag in shop.rows(tags)]
    assert sorted(found) == [("size", "M"), ("size", "S"), ("skin", "dry"), ("skin", "oily")]
    assert counts(shop.load("tags", file, policy=policy)) == (7, 0, 0, 5, 2)
    shop.load("tags", "customer_id,dimension,value\nb,skin,dry\n", policy=policy)
    assert [tag["value"] for tag in shop.rows(tags) if tag["dimension"] == "skin"] == ["dry", "dry"]


def test_events_without_an_id_are_known_by_the_rest(shop: Shop) -> None:
    lines = '{"customer_id":"a","kind":"review","at":"2026-04-01T10:00+08:00","data":{"score":5,"text":"好"}}\n'
    assert counts(shop.load("events", lines, name="e.jsonl")) == (1, 1, 0, 0, 0)
    same = '{"data":{"text":"好","score":5},"at":"2026-04-01T02:00:00Z","kind":"review","customer_id":"a"}\n'
    assert counts(shop.load("events", same, name="f.jsonl")) == (1, 0, 0, 1, 0)
    row = shop.one(events)
    assert row["ref"].startswith("sha256:")
    assert row["data"] == {"score": 5, "text": "好"}
    file = 'id,customer_id,kind,at,data,page\nE1,b,visit,2026-04-02,"{""n"": 1}",home\nE2,b,visit,2026-04-02,[1],\n'
    summary = shop.load("events", file)
    assert shop.reasons(summary) == [(3, "data: is not a JSON object")]
    assert shop.rows(events)[1]["data"] == {"n": 1, "page": "home"}
    later = file.replace('{""n"": 1}', '{""n"": 2}')
    assert counts(shop.load("events", later)) == (2, 0, 1, 0, 1)


def test_numbers_inside_an_object_or_a_list_stay_numbers(shop: Shop) -> None:
    """With a mapping too, and as a push of the same keeps them."""
    line = '{"id":"E","who":"a","at":"2026-04-01","data":{"score":5,"by":[1.5]},"more":[7]}\n'
    ours = mapping("kind: mapping\nof: events\ncolumns: {id: id, customer_id: who, kind: {value: review}, at: at, data: data}\n")  # fmt: skip
    assert counts(shop.load("events", line, name="e.jsonl", mappings=[ours])) == (1, 1, 0, 0, 0)
    assert shop.one(events)["data"] == {"score": 5, "by": [1.5], "more": "[7]"}
    lines = '{"id":"a","sizes":[110,{"eu":36.5}]}\n{"id":"c","sizes":[1e400]}\n'
    summary = shop.load("customers", lines, name="c.jsonl")
    assert shop.reasons(summary) == [(2, "sizes: holds a number that is too large")]
    assert shop.rows(customers)[0]["attributes"] == {"sizes": '[110, {"eu": 36.5}]'}


def test_what_no_database_keeps_is_rejected_from_an_events_data_too(shop: Shop) -> None:
    """JSON can escape it. SQLite would keep some of it, and PostgreSQL would refuse the whole batch."""
    data = (r'{""s"": ""\ud83d""}', r'{""n"": [1e400]}', r'{""s"": ""a\u0000b""}', r'{""\u0000"": 1}', r'{""s"": ""\\u0000""}')  # fmt: skip
    rows = "".join(f'E{n},a,visit,2026-04-02,"{cell}"\n' for n, cell in enumerate(data))
    summary = shop.load("events", f"id,customer_id,kind,at,data\n{rows}")
    assert shop.reasons(summary) == [
        (2, "data: holds half a surrogate pair"),
        (3, "data: holds a number that is too large"),
        (4, "data: holds a NUL character"),
        (5, "data: holds a NUL character"),
    ]
    assert shop.one(events)["data"] == {"s": r"\u0000"}
    key = r'{"id": "c", "note\u0000": "x"}'
    summary = shop.load("customers", f'{key}\n{{"id": "d"}}\n', name="c.jsonl")
    assert shop.reasons(summary) == [(1, "note�: holds a NUL byte")]
    assert [row["ref"] for row in shop.rows(customers)] == ["a", "b", "d"]


def merge_a_into_b(shop: Shop) -> Any:
    with shop.store.write() as connection:
        return merge(connection, "a", "b", policy=POLICY, membership=None, now=NOW, by="me")


def test_a_merge_moves_all_history_and_fills_gaps(shop: Shop) -> None:
    shop.load("orders", ORDER + "1,a,2026-04-01,5\n2,b,2026-04-02,5\n")
    shop.load("tags", "customer_id,dimension,value\na,d,v\nb,d,v\na,d,w\n")
    shop.load("events", "id,customer_id,kind,at\nE,a,review,2026-04-01\n")
    shop.load("contacts", "customer_id,channel,class,at\na,email,marketing,2026-04-01\n")
    ledger = shop.rows(consents)
    done = merge_a_into_b(shop)
    assert done.moved == {
        "orders": 1, "tags": 1, "deliveries": 0, "events": 1, "contacts": 1, "memberships": 0,
        "grade_changes": 0, "tasks": 0,
    }  # fmt: skip
    assert done.twice["tags"] == 1
    person = shop.one(customers)
    assert (person["ref"], person["name"], person["email"], person["phone"]) == (
        "b", "甲", "b@mail.example", "+8613800138001",
    )  # fmt: skip
    assert {order["customer_id"] for order in shop.rows(orders)} == {person["id"]}
    assert shop.rows(consents) == ledger
    assert (shop.one(audit)["action"], shop.one(audit)["target"]) == ("customer merge", "a")


@pytest.mark.parametrize(
    ("of_first", "of_second", "left"),
    [
        ("sent", "planned", {("birthday:2026", "sent"), ("birthday:2026:merged", "cancelled")}),
        ("queued", "planned", {("birthday:2026", "queued"), ("birthday:2026:merged", "cancelled")}),
        ("planned", "planned", {("birthday:2026", "planned"), ("birthday:2026:merged", "cancelled")}),
        ("planned", "sent", {("birthday:2026", "sent"), ("birthday:2026:merged", "cancelled")}),
        ("skipped", "planned", {("birthday:2026", "planned"), ("birthday:2026:merged", "skipped")}),
        ("planned", "skipped", {("birthday:2026", "planned"), ("birthday:2026:merged", "skipped")}),
        ("sent", "holdout", {("birthday:2026", "holdout"), ("birthday:2026:merged", "sent")}),
        ("planned", "holdout", {("birthday:2026", "holdout"), ("birthday:2026:merged", "cancelled")}),
    ],
)  # fmt: skip
def test_what_one_of_them_got_does_not_go_to_the_other(
    of_first: str, of_second: str, left: set[tuple[str, str]], shop: Shop
) -> None:
    people = {row["ref"]: row["id"] for row in shop.rows(customers)}
    with shop.store.write() as connection:
        run = add_run(connection)
        for ref, state in (("a", of_first), ("b", of_second)):
            add_delivery(connection, run, people[ref], anchor="birthday:2026", state=state)
    assert merge_a_into_b(shop).twice["deliveries"] == 1
    found = {(row["anchor"].removesuffix(f":{people['a']}"), row["state"]) for row in shop.rows(deliveries)}  # fmt: skip
    assert found == left


@pytest.mark.parametrize("of_second", [("planned", "waiting"), ("skipped", "skipped")])
def test_of_two_series_of_one_person_the_further_goes_on(
    of_second: tuple[str, str], shop: Shop
) -> None:
    people = {row["ref"]: row["id"] for row in shop.rows(customers)}
    with shop.store.write() as connection:
        run = add_run(connection)
        for ref, states in (("a", ("sent", "waiting")), ("b", of_second)):
            for step, state in zip(("mail", "second"), states, strict=True):
                add_delivery(connection, run, people[ref], step=step, anchor="x", state=state)
    merge_a_into_b(shop)
    going_on = {row["step"]: row["state"] for row in shop.rows(deliveries) if row["anchor"] == "x"}
    assert going_on == {"mail": "sent", "second": "waiting"}
    rest = [row["state"] for row in shop.rows(deliveries) if row["anchor"] != "x"]
    assert rest == (["skipped"] * 2 if of_second[0] == "skipped" else ["cancelled"] * 2)
    assert {row["customer_id"] for row in shop.rows(deliveries)} == {people["b"]}


def test_a_merged_id_goes_on_meaning_that_person(shop: Shop) -> None:
    merge_a_into_b(shop)
    assert counts(shop.load("orders", ORDER + "9,a,2026-04-03,5\n")) == (1, 1, 0, 0, 0)
    person = shop.one(customers)
    assert shop.one(orders)["customer_id"] == person["id"]
    summary = shop.load("customers", "id,name\na,另一个\nb,李\n")
    assert counts(summary) == (2, 0, 1, 1, 0)
    assert "merged into others" in summary.warnings[0]
    assert shop.one(customers)["name"] == "李"
    shop.load("customers", "id\nc\n")
    with shop.store.write() as connection:
        merge(connection, "b", "c", policy=POLICY, membership=None, now=NOW, by="me")
    last = shop.one(customers)
    assert {(row["ref"], row["customer_id"]) for row in _merged(shop)} == {("a", last["id"]), ("b", last["id"])}  # fmt: skip
    with shop.store.write() as connection, pytest.raises(YanshuError, match="'a' was merged into 'c'"):  # fmt: skip
        merge(connection, "a", "c", policy=POLICY, membership=None, now=NOW, by="me")


def _merged(shop: Shop) -> list[dict[str, Any]]:
    with shop.store.read() as connection:
        return [dict(row) for row in connection.execute(merged_refs.select()).mappings()]


@pytest.mark.parametrize("batch", [10_000, 1])
@pytest.mark.parametrize(
    ("kind", "header", "row", "other"),
    [
        ("customers", "id,name\n", "x,甲\n", "x,乙\n"),
        ("orders", ORDER, "x,a,2026-04-01,5\n", "x,b,2026-04-01,5\n"),
        ("products", "sku,title\n", "x,Cup\n", "x,Pot\n"),
    ],
)
def test_an_id_that_stands_twice_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, batch: int, kind: str, header: str, row: str, other: str
) -> None:  # fmt: skip
    monkeypatch.setattr(files, "BATCH", batch)
    (warning,) = shop.load(kind, header + row + other).warnings
    assert warning == (
        "1 rows have an id that an earlier one has: the last of them counts (for example 'x' in line 3)"
    )


def test_one_row_twice_and_a_row_that_was_there_are_no_warning(shop: Shop) -> None:
    assert shop.load("customers", "id,name\nx,甲\nx,甲\n").warnings == ()
    assert shop.load("customers", "id,name\nx,乙\n").warnings == ()
