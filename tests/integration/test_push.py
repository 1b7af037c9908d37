"""Pushes on both databases: they land whole or not at all, and leave what an import of the same rows leaves."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from engine.customers.importing.files import import_file
from engine.customers.merging import merge
from engine.customers.profiles.freshness import ensure_fresh, mark_stale
from engine.customers.push.body import read_body
from engine.customers.push.faults import Faults
from engine.customers.push.fields import PushKind
from engine.customers.push.landing import Lander
from engine.customers.push.rows import Push, read_rows
from engine.customers.wake import leave_note, read_note, take_note_away
from engine.definitions.loader import load_policy
from engine.settings import Settings
from engine.store.migrate import upgrade
from engine.store.session import Store
from engine.store.tables import (
    affinities,
    customers,
    definitions,
    events,
    metadata,
    order_items,
    orders,
    products,
    profiles,
    tags,
)
from tests.pusher import KEY, NDJSON, Sender, errors

NOW = datetime(2026, 11, 10, 4, 0, tzinfo=UTC)
FILES = {
    "policy.yaml": "timezone: Asia/Shanghai\n",
    "tagging.yaml": """\
dimensions:
  occupation: {values: [office-worker, full-time-parent]}
  likes: {values: [tea], several: true}
  spending: {values: [big]}
  temper: {values: [picky, patient]}
rules:
  - {name: home, tag: occupation=full-time-parent, address: {contains: [小区]}}
  - {name: tea, tag: likes=tea, ordered: {category: [tea], count: 2}}
  - {name: big, tag: spending=big, amount: {gte: 300}}
""",
}


def rules(store: Store) -> None:
    """Put policy and tagging in force."""
    with store.write() as connection:
        for kind in ("policy", "tagging"):
            file = f"{kind}.yaml"
            connection.execute(
                insert(definitions).values(
                    kind=kind, name=kind, digest=kind, path=file, files={file: FILES[file]},
                    current=True, applied_at=NOW, applied_by="test",
                )
            )  # fmt: skip


@pytest.fixture
def sender(store: Store) -> Iterator[Sender]:
    rules(store)
    opened = Sender(store, NOW)
    yield opened
    opened.close()


def content(store: Store, *tables: Any) -> dict[str, list[dict[str, Any]]]:
    """Everything in these tables (else: in all that an import may write)."""
    left = {"rate_states", "definitions", "zone_offsets", "alembic_version", "audit"}
    found = {}
    with store.read() as connection:
        for table in tables or [one for one in metadata.sorted_tables if one.name not in left]:
            key = list(table.primary_key.columns)
            rows = connection.execute(select(table).order_by(*key)).mappings()
            found[table.name] = [dict(row) for row in rows]
    for row in found.get("tags", []):  # PostgreSQL uses up numbers for tags that are there already
        row.pop("id")
    return found


CUSTOMERS: list[dict[str, Any]] = [
    {"id": "00001", "name": " 李梅 ", "email": "Mei@Example.COM", "phone": "138 0013 8000", "birthday": "1990-02-28",
     "timezone": "Europe/Berlin", "address": "广东省广州市天河区花园小区 1 号", "joined_at": "2025-01-02T03:04:05",
     "email_consent": "yes", "sms_consent": "no", "malicious": "", "level": "gold"},
    {"id": "00002", "name": "林*", "email": "l***@qq.com", "phone": "138****1234", "birthday": "--10-01",
     "timezone": "Mars/Olympus", "address": "上海市浦东新区", "joined_at": "2025-06-01", "email_consent": "",
     "sms_consent": "yes", "malicious": "yes", "level": ""},
    {"id": "00003", "name": "王五", "email": "wang@example.com", "phone": "+44 7700 900123", "birthday": "",
     "timezone": "", "address": "", "joined_at": "", "email_consent": "true", "sms_consent": "", "malicious": "no",
     "level": "silver"},
    {"id": "old-3", "name": "王小五", "email": "", "phone": "", "birthday": "", "timezone": "", "address": "",
     "joined_at": "", "email_consent": "", "sms_consent": "", "malicious": "", "level": ""},
]  # fmt: skip
PRODUCTS: list[dict[str, Any]] = [
    {
        "sku": "T1",
        "title": "龙井",
        "category": "tea",
        "brand": "龙井村",
        "price": "199.5",
        "season": "spring",
    },
    {"sku": "T2", "title": "茶杯", "category": "teaware", "brand": "", "price": "20", "season": ""},
]
ORDERS: list[dict[str, Any]] = [
    {"id": "A1", "customer_id": "00001", "status": "paid", "placed_at": "2026-11-01T22:00:00+08:00",
     "paid_at": "2026-11-01 22:05", "amount": "199.50", "currency": "cny", "quantity": "2", "coupon": "c1", "note": "快"},
    {"id": "A2", "customer_id": "00001", "status": "", "placed_at": "2026-10-01", "paid_at": "", "amount": "120",
     "currency": "", "quantity": "", "coupon": "", "note": ""},
    {"id": "A3", "customer_id": "old-3", "status": "closed", "placed_at": "2026-11-02T09:00:00", "paid_at": "",
     "amount": "0", "currency": "CNY", "quantity": "1", "coupon": "", "note": ""},
]  # fmt: skip
LATER: list[dict[str, Any]] = [
    {"id": "A1", "customer_id": "00001", "status": "received", "placed_at": "2026-11-01T22:00:00+08:00",
     "received_at": "2026-11-05T10:00:00+08:00", "amount": "199.50"},
]  # fmt: skip
ITEMS: dict[str, list[dict[str, Any]]] = {
    "A1": [
        {"sku": "T1", "quantity": "1", "price": "199.5"},
        {"sku": "T2", "quantity": "", "price": ""},
    ],
    "A2": [{"sku": "T1", "quantity": "2", "price": "60"}],
}
TAGS: list[dict[str, Any]] = [
    {
        "customer_id": "00001",
        "dimension": "likes",
        "value": "tea",
        "tagged_at": "2026-11-03",
        "by": "小王",
    },
    {"customer_id": "old-3", "dimension": "temper", "value": "picky", "tagged_at": "", "by": ""},
]
EVENTS: list[dict[str, Any]] = [
    {"id": "E1", "customer_id": "00003", "kind": "review", "at": "2026-11-04T10:00", "data": {"score": 5, "text": "好"}},
    {"id": "", "customer_id": "00001", "kind": "visit", "at": "2026-11-05T10:00+08:00", "data": {}},
]  # fmt: skip
ROWS = {"customers": CUSTOMERS, "products": PRODUCTS, "orders": ORDERS, "tags": TAGS, "events": EVENTS}  # fmt: skip
EXTRA = {"customers": "level", "products": "season", "orders": "note"}


def as_file(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        cells = [{key: json.dumps(value) if isinstance(value, dict) else value for key, value in row.items()} for row in rows]  # fmt: skip
        writer.writerows(cells)
    return path


def as_json(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """As a program would send it: blanks as null, numbers as numbers, yes and no as booleans."""
    words: dict[str, Any] = {"": None, "yes": True, "no": False}
    found = {key: words.get(value, value) if isinstance(value, str) else value for key, value in row.items()}  # fmt: skip
    if kind in EXTRA and EXTRA[kind] in row:
        found["attributes"] = {EXTRA[kind]: found.pop(EXTRA[kind])}
    for name in ("amount", "price"):
        if found.get(name) is not None:
            found[name] = float(found[name])
    if found.get("quantity") is not None:
        found["quantity"] = int(found["quantity"])
    if kind == "orders" and row["id"] in ITEMS:
        found["items"] = [as_json("items", item) for item in ITEMS[row["id"]]]
    return found


def bring_in_by_file(store: Store, folder: Path) -> None:
    policy = load_policy(FILES)
    options: dict[str, Any] = {
        "settings": Settings(project=folder, address_key=KEY), "policy": policy, "now": NOW,
    }  # fmt: skip
    for kind, rows in ROWS.items():
        more: dict[str, Any] = {}
        if kind == "orders":
            items = [{"order_id": ref, **item} for ref, some in ITEMS.items() for item in some]
            more = {"items": as_file(folder, "items", items)}
        found = import_file(store, kind, as_file(folder, kind, rows), **options, **more)  # type: ignore[arg-type]  # one of Kind
        assert found.rejected == 0
        if kind == "customers":
            join(store)
    assert import_file(store, "orders", as_file(folder, "later", LATER), **options).updated == 1
    ensure_fresh(store, policy, NOW)


def join(store: Store) -> None:
    with store.write() as connection:
        merge(
            connection,
            "old-3",
            "00003",
            policy=load_policy(FILES),
            membership=None,
            now=NOW,
            by="test",
        )
    ensure_fresh(store, load_policy(FILES), NOW)


def bring_in_by_push(store: Store, sender: Sender) -> None:
    ensure_fresh(store, load_policy(FILES), NOW)
    for kind, rows in ROWS.items():
        answer = sender.push(kind, [as_json(kind, row) for row in rows])
        assert (answer.status_code, answer.json()["unchanged"]) == (200, 0), answer.text
        if kind == "customers":
            join(store)
    later = sender.push("orders", b"\n".join(json.dumps(row).encode() for row in LATER), media=NDJSON)  # fmt: skip
    assert later.json()["updated"] == 1, later.text
    ensure_fresh(store, load_policy(FILES), NOW)


def test_a_push_leaves_the_database_that_an_import_of_the_same_rows_leaves(
    store: Store, sender: Sender, tmp_path: Path
) -> None:
    by_file = Store(f"sqlite:///{tmp_path / 'by-file.db'}")
    upgrade(by_file)
    bring_in_by_file(by_file, tmp_path)
    bring_in_by_push(store, sender)
    imported, pushed = content(by_file), content(store)
    for name, rows in imported.items():
        assert pushed[name] == rows, name
    assert [len(pushed[name]) for name in ("customers", "orders", "order_items", "events")] == [3, 3, 3, 2]  # fmt: skip
    by_file.close()


# --- what a push computes


def customer(ref: str, **more: Any) -> dict[str, Any]:
    return {"id": ref, "email": f"c{ref}@example.com", **more}


def order(ref: str, owner: str, **more: Any) -> dict[str, Any]:
    return {
        "id": ref, "customer_id": owner, "status": "paid", "placed_at": "2026-11-01T22:00:00+08:00", "amount": 150,
        **more,
    }  # fmt: skip


def test_what_is_computed_of_the_touched_is_what_a_refresh_of_everybody_computes(
    store: Store, sender: Sender
) -> None:
    policy = load_policy(FILES)
    ensure_fresh(store, policy, NOW)
    item = {"sku": "T1", "quantity": 2, "price": "60"}
    for kind, rows in (
        ("customers", [customer("1", address="广东省广州市花园小区"), customer("2")]),
        ("orders", [order("A1", "1", items=[item]), order("A2", "1", items=[item], placed_at="2026-10-01"), order("A3", "2")]),
        ("products", {"sku": "T1", "category": "tea", "brand": "龙井村"}),
        ("orders", order("A3", "2", status="refunded")),
        ("customers", customer("2", timezone="Europe/Berlin", malicious=True)),
        ("orders", order("A2", "1", placed_at="2026-10-01", items=[])),
        ("orders", order("A2", "1", placed_at="2026-10-01", items=[item])),
    ):  # fmt: skip
        assert sender.push(kind, rows).status_code == 200
    computed = (profiles, affinities, tags)
    incremental = content(store, *computed)
    with store.write() as connection:
        mark_stale(connection)
    assert ensure_fresh(store, policy, NOW)
    assert content(store, *computed) == incremental
    assert [row["class"] for row in incremental["profiles"]] == ["new", "unsold"]
    assert {(row["kind"], row["name"], row["orders"]) for row in incremental["affinities"]} == {
        ("category", "tea", 2), ("brand", "龙井村", 2)
    }  # fmt: skip
    # two of tea, 300 in all, a housing estate
    assert {row["rule"] for row in incremental["tags"]} == {"tea", "big", "home"}


def test_a_push_leaves_profiles_fresh_that_were_fresh(store: Store, sender: Sender) -> None:
    policy = load_policy(FILES)
    ensure_fresh(store, policy, NOW)
    for kind, rows in (("customers", customer("1")), ("orders", order("A1", "1"))):
        assert sender.push(kind, rows).status_code == 200
        assert not ensure_fresh(store, policy, NOW)  # nobody else had to be looked at


def test_an_empty_list_of_items_takes_them_away_and_none_leaves_them(
    store: Store, sender: Sender
) -> None:
    sender.push("customers", customer("1"))
    pushed = sender.push("orders", order("A1", "1", items=[{"sku": "T1"}, {"sku": "T2"}]))
    assert pushed.json()["items"] == {"rows": 2, "inserted": 2, "updated": 0, "unchanged": 0}
    sender.push("orders", order("A1", "1"))
    assert [row["sku"] for row in content(store, order_items)["order_items"]] == ["T1", "T2"]
    sender.push("orders", order("A1", "1", items=[]))
    assert content(store, order_items)["order_items"] == []


# --- the same again, and later states


def test_the_same_push_twice_changes_nothing_and_a_later_state_updates(
    store: Store, sender: Sender
) -> None:
    ensure_fresh(store, load_policy(FILES), NOW)
    pushes: list[tuple[str, Any]] = [
        ("customers", [customer("1", attributes={"level": "gold"})]),
        ("products", [{"sku": "T1", "category": "tea"}]),
        ("orders", [order("A1", "1", items=[{"sku": "T1"}])]),
        ("tags", [{"customer_id": "1", "dimension": "temper", "value": "picky"}]),
        ("events", [{"customer_id": "1", "kind": "visit", "at": "2026-11-09"}]),
    ]
    for kind, rows in pushes:
        sender.push(kind, rows)
    before = content(store)
    for kind, rows in pushes:
        answer = sender.push(kind, rows).json()
        assert (answer["rows"], answer["unchanged"]) == (1, 1), kind
    assert content(store) == before
    later = order("A1", "1", status="shipped", shipped_at="2026-11-02T10:00:00+08:00")
    assert sender.push("orders", later).json()["updated"] == 1
    (row,) = content(store, orders)["orders"]
    assert (row["status"], row["paid_at"].isoformat()) == ("shipped", "2026-11-01T14:00:00+00:00")
    unsaid = {name: value for name, value in later.items() if name != "status"}
    assert sender.push("orders", unsaid).json()["unchanged"] == 1
    # What is pushed holds now: an order that was shipped by mistake goes back.
    assert sender.push("orders", order("A1", "1", status="paid")).json()["updated"] == 1
    assert content(store, orders)["orders"][0]["status"] == "paid"


# --- whole or not at all


def test_a_tag_that_tagging_yaml_does_not_know_is_refused_with_the_nearest_name(
    store: Store, sender: Sender
) -> None:
    sender.push("customers", customer("1"))
    before = content(store)
    unknown = {"customer_id": "1", "dimension": "temper", "value": "pickly"}
    answer = sender.push("tags", unknown)
    assert answer.status_code == 422
    ((path, message),) = errors(answer)
    assert path == "$.value"
    assert "picky" in message
    assert content(store) == before


def test_one_bad_row_keeps_all_of_a_push_out_and_its_path_is_told(
    store: Store, sender: Sender
) -> None:
    sender.push("customers", [customer("1"), customer("2")])
    before = content(store)
    rows = [
        order("A1", "1"), order("A2", "9"), order("A3", "1", amount="-5"), order("A4", "2", items=[{"sku": "x", "price": "1.234"}]),
    ]  # fmt: skip
    answer = sender.push("orders", rows)
    assert answer.status_code == 422
    assert sorted(errors(answer)) == [
        ("$[1].customer_id", "there is no customer '9'"),
        ("$[2].amount", "'-5' is negative"),
        ("$[3].items[0].price", "'1.234' has more decimals than CNY"),
    ]
    assert content(store) == before
    with store.read() as connection:
        assert (
            read_note(connection) is not None
        )  # of the customers: nobody wakes up for what did not land


def test_pushes_that_share_a_commit_stand_and_fall_by_themselves(
    store: Store, sender: Sender
) -> None:
    sender.push("customers", [customer(str(number)) for number in range(20)])
    pushes = [("orders", order(f"A{number}", str(number))) for number in range(20)]
    pushes[7] = ("orders", order("A7", "nobody"))
    answers = sender.push_together(pushes)
    assert [answer.status_code for answer in answers] == [422 if n == 7 else 200 for n in range(20)]
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(orders)).scalar() == 19


def test_a_warning_names_the_place_in_the_body(sender: Sender) -> None:
    rows = [customer("1"), customer("2", name="林*", timezone="Mars/Olympus")]
    assert sender.push("customers", rows).json()["warnings"] == [
        "1 names are masked: what is known stays (for example $[1])",
        "1 rows name an unknown time zone: what is known stays, else the shop's applies"
        " (for example 'Mars/Olympus' in $[1])",
    ]


def test_numbers_of_an_event_stay_numbers_and_its_id_may_be_one(
    store: Store, sender: Sender
) -> None:
    sender.push("customers", {"id": 7})
    data = {"score": 5, "share": 0.25, "of": [1, {"deep": True}], "big": 12345678901234567890}
    event = {"id": 1, "customer_id": 7, "kind": "review", "at": "2026-11-09T10:00", "data": data}
    assert sender.push("events", event).status_code == 200
    (row,) = content(store, events)["events"]
    assert (row["ref"], row["data"]) == ("1", data)


@pytest.mark.parametrize(
    ("written", "cents"), [("1.995E+2", 19950), ("2e2", 20000), ("1e-1", 10), ("12E0", 1200)]
)
def test_an_amount_may_be_written_as_java_writes_it(
    store: Store, sender: Sender, written: str, cents: int
) -> None:
    sender.push("customers", {"id": 7})
    body = f'{{"id": "A", "customer_id": 7, "placed_at": "2026-11-09T10:00", "amount": {written}}}'
    assert sender.push("orders", body.encode()).status_code == 200
    assert content(store, orders)["orders"][0]["amount"] == cents
    for beyond in ("1e400", "1E99", "1e-3"):
        answer = sender.push("orders", body.replace(written, beyond).encode())
        assert errors(answer)[0][0] == "$.amount"


# --- the note that wakes the scheduler


def test_the_note_says_of_whom_something_came_and_goes_only_when_nothing_came_since(
    store: Store, sender: Sender
) -> None:
    sender.push("customers", [customer("1"), customer("2"), customer("3")])
    sender.push("products", {"sku": "T1"})
    with store.write() as connection:
        note = read_note(connection)
        assert note is not None and note.people == (1, 2, 3)
        assert take_note_away(connection, note)
        assert read_note(connection) is None
    sender.push("orders", order("A1", "2"))
    sender.push("orders", order("A1", "2"))  # changes nothing
    with store.read() as connection:
        first = read_note(connection)
    assert first is not None and first.people == (2,)
    sender.push("tags", {"customer_id": "3", "dimension": "temper", "value": "picky"})
    with store.write() as connection:
        assert not take_note_away(connection, first)
        second = read_note(connection)
        assert second is not None and second.people == (2, 3)
        leave_note(connection, range(2000), NOW)
        everybody = read_note(connection)
        assert everybody is not None and everybody.people is None
        leave_note(connection, [1], NOW)
        assert (read_note(connection) or first).people is None
    assert len(content(store, customers, products)["customers"]) == 3


def test_two_processes_that_push_orders_of_one_customer_count_both(postgresql_url: str) -> None:
    """(On SQLite there is one writer at a time.)"""
    store = Store(postgresql_url)
    rules(store)
    ensure_fresh(store, load_policy(FILES), NOW)
    first, second = Lander(KEY), Lander(KEY)
    with store.write() as connection:
        first.land(connection, [read("customers", customer("1"))], NOW)

    def push_another() -> None:
        with store.write() as connection:
            second.land(connection, [read("orders", order("A2", "1"))], NOW)

    other = threading.Thread(target=push_another)
    with store.write() as connection:
        first.land(connection, [read("orders", order("A1", "1"))], NOW)
        other.start()
        while not waits_for_a_lock(store):
            assert other.is_alive()
    other.join()
    (row,) = content(store, profiles)["profiles"]
    assert (row["orders"], row["amount"]) == (2, 30_000)
    store.close()


def read(kind: PushKind, row: dict[str, Any]) -> Push:
    faults = Faults()
    return read_rows(kind, read_body(json.dumps(row).encode(), by_line=False, faults=faults), faults)  # fmt: skip


def waits_for_a_lock(store: Store) -> bool:
    with store.read() as connection:
        question = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        return bool(connection.exec_driver_sql(question).scalar())
