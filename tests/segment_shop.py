"""A seeded shop with hours, categories, regions, tags, members and mailings, kept in plain Python and laid down in a database."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, delete, insert, select, update

from engine.customers.profiles.freshness import refresh
from engine.definitions.policy import Policy
from engine.store.session import Store
from engine.store.tables import (
    affinities,
    consents,
    customers,
    deliveries,
    engagements,
    events,
    links,
    memberships,
    order_items,
    orders,
    products,
    profiles,
    runs,
    suppressions,
    tags,
)
from engine.store.zones import ensure_zones

ZONE = "Europe/Berlin"  # with summer time: the last Sundays of March and October
NOW = datetime(2026, 5, 1, 4, 0, tzinfo=UTC)
UNKNOWN = {
    (channel, name): name != "marketing"
    for channel in ("email", "sms")
    for name in ("marketing", "care", "transactional")
}
POLICY = Policy(timezone=ZONE, unknown_consent=UNKNOWN)  # type: ignore[arg-type]
CATEGORIES = ["coffee", "tea", "儿童", None]
SKUS = ["A1", "B2", "C3", None]
CATALOG = {"A1": ("coffee", "雁"), "B2": ("tea", None), "C3": ("儿童", "o'Brien")}
EDGES = [timedelta(days=days) for days in (-3, 0, 30, 90, 180, 365)]
CLOCK_CHANGES = [datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2025, 10, 26, 0, 15, tzinfo=UTC)]  # fmt: skip
LABELS = ["coffee", "tea", None]
DIGEST = "d" * 64


@dataclass
class Person:
    row: dict[str, Any]
    orders: list[dict[str, Any]] = field(default_factory=list)  # each with its "items"
    tags: list[dict[str, Any]] = field(default_factory=list)
    memberships: list[dict[str, Any]] = field(default_factory=list)
    affinities: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)  # each with its "events"
    events: list[dict[str, Any]] = field(default_factory=list)
    habits: dict[str, Any] = field(default_factory=dict)
    consents: list[dict[str, Any]] = field(default_factory=list)  # oldest first
    suppressed: list[str] = field(default_factory=list)  # channels
    profile: dict[str, Any] = field(default_factory=dict)  # as laid down; "id": the internal id


def make_shop(seed: int, size: int) -> list[Person]:
    chance = random.Random(seed)
    return [_person(chance, number) for number in range(size)]


def moment(chance: random.Random) -> datetime:
    """Some on the edges of windows, some where the clock changes, a few in the future."""
    draw = chance.random()
    if draw < 0.2:
        return NOW - chance.choice(EDGES)
    if draw < 0.3:
        return chance.choice(CLOCK_CHANGES) + timedelta(minutes=chance.randint(0, 90))
    return NOW - timedelta(seconds=chance.randint(0, 500 * 86400))


def _person(chance: random.Random, number: int) -> Person:
    def maybe(value: Any, share: float = 0.6) -> Any:
        return value if chance.random() < share else None

    domain = chance.choice(["qq.com", "163.com", None])
    month = maybe(chance.randint(1, 12))
    phone = maybe(f"+4477009{number:05}")
    row: dict[str, Any] = {
        "ref": f"{number:05}",
        "gender": chance.choice(["f", "m", None]),
        "language": None,
        "timezone": chance.choice(["Asia/Shanghai", ZONE, None]),
        "province": maybe(chance.choice(["广东", "浙江"])),
        "city": maybe(chance.choice(["上海", "o'Brien", "100%"])),
        "address": maybe("x"),
        "email": f"p{number}@{domain}" if domain else None,
        "email_domain": domain,
        "email_hash": f"e{number // 2}" if domain else None,  # couples share one
        "phone": phone,
        "phone_hash": f"p{number}" if phone else None,
        "phone_valid_until": maybe(moment(chance), 0.3) if phone else None,
        "birthday": f"1990-{month:02}-07" if month else None,
        "birthday_month": month,
        "joined_at": maybe(moment(chance)),
        "malicious": chance.random() < 0.05,
        "attributes": _attributes(chance),
    }
    person = Person(row)
    person.orders = [_order(chance) for _ in range(chance.choice([0, 0, 1, 2, 3, 6, 9]))]
    values = chance.sample([("size", "110"), ("size", "120"), ("temper", "picky"), ("skin", "dry")], chance.randint(0, 3))  # fmt: skip
    values += chance.choice([[], [], [], [("malicious", "rude")], [("malicious", "cleared")]])
    person.tags = [{"dimension": dimension, "value": value, "tagged_at": moment(chance)} for dimension, value in values]  # fmt: skip
    person.memberships = [_membership(chance) for _ in range(chance.choice([0, 0, 1, 2]))]
    person.affinities = _affinities(chance)
    person.messages = [_message(chance) for _ in range(chance.choice([0, 1, 2, 4]))]
    person.events = [{"kind": chance.choice(["review", "chat"]), "at": moment(chance), "data": {"score": chance.choice([3, "4", 5, None])}} for _ in range(chance.choice([0, 1, 3]))]  # fmt: skip
    person.habits = {
        "usual_hour": maybe(chance.randint(0, 23)),
        "usual_hour_confidence": chance.choice([10, 50, 90]),
        "cycle_seconds": maybe(chance.choice([86400 * 20, 86400 * 30, 86400 * 31])),
        "stage": chance.choice(["prospect", "first-time", "repeat", "dormant", None]),
        "province": maybe("江苏"),
        "city": maybe("苏州"),
    }
    if row["email_hash"]:
        person.consents += _consents(chance, row["email_hash"], "email")
    if phone:
        person.consents += _consents(chance, row["phone_hash"], "sms")
        person.suppressed = ["sms"] if chance.random() < 0.1 else []
    if chance.random() < 0.1 and row["email_hash"]:
        person.suppressed.append("email")
    return person


def _attributes(chance: random.Random) -> dict[str, Any]:
    skin = chance.choice(["dry", "oily", "42", 42, 42.0, 7.5, "7.50", "-3", "--3", "1.2.3", ".5", "5.", True, False, None, ["dry"], {"a": 1}, "1" * 17, ""])  # fmt: skip
    found = {"o\"d'd 皮肤": skin, "skin": skin} if chance.random() < 0.85 else {}
    return {**found, "noise": "dry"}


def _order(chance: random.Random) -> dict[str, Any]:
    return {
        "status": chance.choice(["placed", "paid", "shipped", "arrived", "received", "received", "refunded", "closed"]),
        "placed_at": moment(chance),
        "amount": chance.choice([0, 1, 9999, 10000, 10001, 123_456]),
        "quantity": chance.choice([None, 1, 5]),
        "coupon": chance.choice(["SPRING", "10%", None]),
        "source": chance.choice(["taobao", None]),
        "items": [
            {
                "sku": chance.choice(SKUS),
                "category": chance.choice(CATEGORIES),
                "brand": chance.choice(["雁", None]),
                "size": chance.choice(["110", "120", None]),
                "quantity": chance.choice([None, 1, 3]),
                "price": chance.choice([None, 0, 5000, 10001]),
            }
            for _ in range(chance.choice([0, 1, 1, 3]))
        ],
    }  # fmt: skip


def _membership(chance: random.Random) -> dict[str, Any]:
    return {
        "level": chance.choice(["silver", "gold"]),
        "state": chance.choice(["eligible", "called", "carded", "active", "active", "lapsed"]),
        "starts_at": chance.choice([None, moment(chance)]),
        "expires_at": chance.choice([None, NOW, NOW + timedelta(days=30), NOW + timedelta(days=9), moment(chance)]),
    }  # fmt: skip


def _affinities(chance: random.Random) -> list[dict[str, Any]]:
    names = chance.sample([("category", "coffee"), ("category", "tea"), ("brand", "雁")], chance.randint(0, 3))  # fmt: skip
    return [
        {
            "kind": kind,
            "name": name,
            "score": chance.choice([0, 1, 300, 301, 700, 1000]),
            "cycle_seconds": chance.choice([None, 86400 * 30]),
        }
        for kind, name in names
    ]


def _message(chance: random.Random) -> dict[str, Any]:
    sent = moment(chance)
    state = chance.choice(["sent", "sent", "sent", "failed", "planned", "uncertain"])
    kinds = ["opened", "clicked", "clicked", "viewed", "unsubscribed", "bounced", "complained", "delivered"]  # fmt: skip
    return {
        "state": state,
        "definition": chance.choice(["spring", "after-7-days"]),
        "channel": chance.choice(["email", "sms"]),
        "admitted_at": None if state == "planned" else sent,
        "sent_at": sent if state == "sent" else None,
        "events": [
            {"kind": kind, "at": moment(chance), "link": chance.randint(0, 2) if kind == "clicked" else None, "scanner": chance.choice([None, None, "burst"])}
            for kind in chance.sample(kinds, chance.randint(0, 4))
            if state != "planned"
        ],
    }  # fmt: skip


def _consents(chance: random.Random, hashed: str, channel: str) -> list[dict[str, Any]]:
    return [
        {"address_hash": hashed, "channel": channel, "class": chance.choice(["marketing", "care"]), "granted": chance.random() < 0.6}
        for _ in range(chance.choice([0, 1, 1, 3]))
    ]  # fmt: skip


def lay_down(store: Store, people: Sequence[Person]) -> None:
    """Write the shop; afterwards each person's `profile` holds what the program computed."""
    with store.write() as connection:
        ensure_zones(connection, [ZONE])
        values: list[dict[str, Any]] = [
            {"sku": sku, "category": category, "brand": brand, "attributes": {}}
            for sku, (category, brand) in CATALOG.items()
        ]
        connection.execute(insert(products), values)
        connection.execute(
            insert(links),
            [{"digest": DIGEST, "number": number, "url": "x", "label": label, "personal": False} for number, label in enumerate(LABELS)],
        )  # fmt: skip
        run = _add(connection, runs, definition="spring", occurrence="x", digest=DIGEST, priority=1, state="open", created_at=NOW)  # fmt: skip
        for person in people:
            person.profile = {
                "id": _add(connection, customers, **person.row, created_at=NOW, updated_at=NOW)
            }
            _write_person(connection, person, run)
        refresh(connection, POLICY, NOW)
        connection.execute(delete(affinities))
        for person in people:
            for each in person.affinities:  # of a thousand points in all
                score = {"clicks": each["score"], "orders": 0, "quantity": 0, "amount": 0}
                liked = {name: value for name, value in each.items() if name != "score"} | score
                connection.execute(insert(affinities).values(**liked, customer_id=person.profile["id"]))  # fmt: skip
            mine = profiles.c.customer_id == person.profile["id"]
            connection.execute(update(profiles).where(mine).values(**person.habits, category_points=1000, brand_points=1000))  # fmt: skip
        by_id = {person.profile["id"]: person for person in people}
        for row in connection.execute(select(profiles)).mappings():
            by_id[row["customer_id"]].profile.update(row)


def _add(connection: Any, table: Table, **values: Any) -> int:
    return int(connection.execute(insert(table).values(**values).returning(table.c.id)).scalar_one())  # fmt: skip


def _write_person(connection: Any, person: Person, run: int) -> None:
    key, ref = person.profile["id"], person.row["ref"]
    for number, order in enumerate(person.orders):
        plain = {name: value for name, value in order.items() if name != "items"}
        order["id"] = _add(connection, orders, **plain, ref=f"{ref}-{number}", customer_id=key, currency="CNY", attributes={})  # fmt: skip
        for position, item in enumerate(order["items"], 1):
            _add(connection, order_items, **item, order_id=order["id"], position=position)
    for each in person.tags:
        _add(connection, tags, **each, customer_id=key)
    for number, each in enumerate(person.events):
        _add(connection, events, **each, ref=f"{ref}-{number}", customer_id=key)
    for each in person.memberships:
        _add(connection, memberships, **each, customer_id=key)
    _write_messages(connection, person, run)
    for each in person.consents:
        _add(connection, consents, **each, at=NOW, source="import")
    for channel in person.suppressed:
        hashed = person.row["email_hash" if channel == "email" else "phone_hash"]
        there = select(suppressions.c.id).where(
            suppressions.c.address_hash == hashed, suppressions.c.channel == channel
        )
        if connection.execute(there).first() is None:
            _add(connection, suppressions, address_hash=hashed, channel=channel, reason="operator", at=NOW)  # fmt: skip


def _write_messages(connection: Any, person: Person, run: int) -> None:
    key, ref = person.profile["id"], person.row["ref"]
    for number, message in enumerate(person.messages):
        plain = {name: value for name, value in message.items() if name != "events"}
        delivery = _add(
            connection, deliveries, **plain, public_id=f"{ref}-{number}", run_id=run, step="main", customer_id=key,
            anchor=str(number), digest=DIGEST, priority=1, due_at=NOW, next_at=NOW, not_after=NOW, deferrals=0,
            channel_index=0, attempts=0, created_at=NOW, **{"class": "marketing"},
        )  # fmt: skip
        for event in message["events"]:
            _add(connection, engagements, **event, delivery_id=delivery, data={})
