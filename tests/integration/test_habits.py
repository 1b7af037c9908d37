"""Habits against plain Python, one customer at a time, on both databases."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import case, delete, insert, select, update

from engine.audience.home import known_zone
from engine.audience.liking import points, score
from engine.clock import from_local
from engine.customers.profiles.freshness import refresh
from engine.customers.profiles.kept import forget_items
from engine.definitions.policy import Policy
from engine.store.session import Store
from engine.store.tables import (
    affinities,
    category_cycles,
    customers,
    deliveries,
    engagements,
    links,
    order_items,
    orders,
    products,
    profiles,
    runs,
)
from tests.shop import add_customer, add_order

SHOP = "Asia/Shanghai"
POLICY = Policy(timezone=SHOP, unknown_consent={})
NOW = datetime(2026, 11, 9, 4, tzinfo=UTC)
COMPLETED = ("paid", "shipped", "arrived", "received")
SCORE = case(
    *[
        (affinities.c.kind == kind, score(kind, points(affinities.c)))
        for kind in ("category", "brand")
    ]
).label("score")
Hour = tuple[int | None, int | None]


def at(text: str, zone: str = SHOP) -> datetime:
    return from_local(datetime.fromisoformat(text), zone)


def median(values: Sequence[int]) -> int | None:
    ranked, middle = sorted(values), len(values) // 2
    if not ranked:
        return None
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) // 2


def gaps(moments: Sequence[datetime]) -> list[int]:
    seconds = sorted(int(moment.timestamp()) for moment in moments)
    return [later - earlier for earlier, later in pairwise(seconds)]


def usual(moments: Sequence[datetime], zone: str, shop: str = SHOP) -> Hour:
    """The rule as docs/import.md has it."""
    at_shop = [moment.astimezone(ZoneInfo(shop)) for moment in moments]
    if all((one.hour, one.minute, one.second) == (0, 0, 0) for one in at_shop):
        return None, None
    clocks = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    since_midnight = [one.hour * 3600 + one.minute * 60 + one.second for one in clocks]
    best: tuple[Any, ...] | None = None
    for hour in {seconds // 3600 for seconds in since_midnight}:
        run = []
        for seconds in since_midnight:
            for day in (-1, 0, 1):
                moved = seconds + day * 86_400
                if hour - 2 <= moved // 3600 <= hour + 2:
                    run.append(moved)
        own = sum(1 for seconds in since_midnight if seconds // 3600 == hour)
        key = (-len(run), -own, hour)
        if best is None or key < best[0]:
            best = (key, run)
    assert best is not None
    run = best[1]
    return (sum(run) // len(run)) // 3600 % 24, 100 * len(run) // (len(moments) + 1)


def profile(store: Store, customer: int) -> Any:
    with store.read() as connection:
        return connection.execute(select(profiles).where(profiles.c.customer_id == customer)).one()


def refreshed(store: Store, moments: Sequence[datetime], **more: Any) -> Any:
    with store.write() as connection:
        person = add_customer(connection, "1", **more)
        for number, moment in enumerate(moments):
            add_order(connection, person, str(number), moment)
        refresh(connection, POLICY, NOW)
    return profile(store, person)


@pytest.mark.parametrize(
    ("clocks", "hour", "confidence"),
    [
        (["23:30", "00:30"], 0, 66),
        (["10:45"], 10, 50),
        (["09:10", "11:20"], 10, 66),
        (["12:00", "12:30", "12:59", "03:00"], 12, 60),
        (["22:10", "23:50", "01:30"], 23, 75),
        (["00:00", "00:00"], None, None),
        (["00:00", "00:20"], 0, 66),
    ],
)
def test_the_usual_hour_goes_around_the_clock(
    store: Store, clocks: list[str], hour: int | None, confidence: int | None
) -> None:
    moments = [at(f"2026-05-{day:02}T{clock}") for day, clock in enumerate(clocks, start=1)]
    found = refreshed(store, moments)
    assert (found.usual_hour, found.usual_hour_confidence) == (hour, confidence)


def test_the_usual_hour_is_that_of_the_customers_own_clock(store: Store) -> None:
    winter, summer = (
        at("2026-01-05T09:30", "Europe/Berlin"),
        at("2026-07-05T09:30", "Europe/Berlin"),
    )
    assert refreshed(store, [winter, summer], timezone="Europe/Berlin").usual_hour == 9


def test_the_zone_of_a_province_stands_below_ones_own_and_above_the_shops(store: Store) -> None:
    policy = Policy(timezone="Europe/Berlin", unknown_consent={})
    with store.write() as connection:
        of = {
            "own": add_customer(connection, "own", timezone="America/New_York", province="广东"),
            "region": add_customer(
                connection, "region", address="新疆维吾尔自治区 乌鲁木齐市 天山区"
            ),
            "none": add_customer(connection, "none", province="Bayern"),
        }
        for name, person in of.items():
            add_order(connection, person, name, at("2026-05-01T20:30"))
        refresh(connection, policy, NOW)
        found = connection.execute(select(customers.c.ref, known_zone()))
        zones: dict[str, str | None] = {row[0]: row[1] for row in found}
    assert zones == {"own": "America/New_York", "region": "Asia/Shanghai", "none": None}
    assert [profile(store, of[name]).usual_hour for name in of] == [8, 20, 14]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"address": "广东省 广州市 天河区 体育西路1号"}, ("广东", "广州")),
        ({"address": "广东广州天河区"}, ("广东", "广州")),
        ({"address": "上海 上海市 浦东新区"}, ("上海", "上海")),
        ({"address": "上海市浦东新区世纪大道1号"}, ("上海", "上海")),
        ({"address": "上海路12号"}, (None, None)),
        ({"address": "南京东路12号"}, (None, None)),
        ({"address": "广西壮族自治区 南宁市"}, ("广西", "南宁")),
        ({"address": "新疆 伊犁哈萨克自治州 伊宁市"}, ("新疆", "伊犁")),
        ({"address": "内蒙古呼和浩特市新城区"}, ("内蒙古", "呼和浩特")),
        ({"address": "吉林市船营区"}, ("吉林", "吉林")),
        ({"address": "吉林省吉林市船营区"}, ("吉林", "吉林")),
        ({"address": "杭州市西湖区"}, ("浙江", "杭州")),
        ({"address": "中国 浙江省，杭州市"}, ("浙江", "杭州")),
        ({"address": "海南省 海口市"}, ("海南", "海口")),
        ({"address": "青海省 海南藏族自治州 共和县"}, ("青海", "海南")),
        ({"address": "海南藏族自治州共和县恰卜恰镇"}, ("青海", "海南")),
        ({"address": "海南海口市龙华区"}, ("海南", "海口")),
        ({"address": "香港特别行政区 九龙"}, ("香港", "香港")),
        ({"address": "10 Downing Street, London"}, (None, None)),
        ({"province": "广东省"}, ("广东", None)),
        ({"province": "上海市"}, ("上海", "上海")),
        ({"city": "苏州市"}, ("江苏", "苏州")),
        ({"province": "Bayern", "city": "München"}, ("Bayern", "München")),
        ({"province": "浙江", "address": "广东省 广州市"}, ("浙江", None)),
        ({"province": "浙江", "city": " ", "address": "浙江省 宁波市"}, ("浙江", "宁波")),
        ({}, (None, None)),
    ],
)  # fmt: skip
def test_where_customers_live(
    store: Store, given: dict[str, str], found: tuple[str | None, str | None]
) -> None:
    row = refreshed(store, [], **given)
    assert (row.province, row.city) == found


def lay_down_a_shop(store: Store, seed: int, people: int = 60) -> None:
    """Customers in four zones with orders of all states, items with and without products, brands and categories."""
    rng = random.Random(seed)
    zones = [None, "Asia/Shanghai", "Europe/Berlin", "America/New_York"]
    with store.write() as connection:
        connection.execute(insert(products), [
            {"sku": f"s{n}", "category": f"k{n % 3}", "brand": f"b{n % 4}", "attributes": {}} for n in range(6)
        ])  # fmt: skip
        number = 0
        for person in range(people):
            key = add_customer(connection, f"p{person}", timezone=rng.choice(zones))
            for _ in range(rng.choice([0, 1, 1, 2, 3, 5, 9])):
                number += 1
                placed = NOW - timedelta(seconds=rng.randrange(-86_400, 700 * 86_400))
                if rng.random() < 0.2:
                    placed = at(f"{placed:%Y-%m-%d}T00:00:00")
                order = add_order(
                    connection, key, f"o{number}", placed,
                    status=rng.choice([*COMPLETED, "received", "refunded", "closed", "placed"]),
                )  # fmt: skip
                items = [
                    {"order_id": order, "position": position, "sku": rng.choice([None, "s1", "s2", "s5", "x"]),
                     "category": rng.choice([None, "k1", "tea", ""]), "brand": rng.choice([None, "b0"]),
                     "quantity": rng.choice([None, 1, 3]), "price": rng.choice([None, 500, 1250])}
                    for position in range(1, rng.randrange(1, 4))
                ]  # fmt: skip
                if items:
                    connection.execute(insert(order_items), items)


def by_hand(store: Store) -> tuple[dict[int, Any], dict[Any, Any], dict[str, Any]]:
    """Profiles, affinities and category cycles, as a shopkeeper would work them out."""
    with store.read() as connection:
        goods = {row.sku: row for row in connection.execute(select(products))}
        people = connection.execute(select(customers)).all()
        bought = [
            row for row in connection.execute(select(orders))
            if row.status in COMPLETED and row.placed_at <= NOW
        ]  # fmt: skip
        items = connection.execute(select(order_items)).all()
    of_person = defaultdict(list)
    for row in bought:
        of_person[row.customer_id].append(row.placed_at)
    habits = {}
    for person in people:
        mine = of_person[person.id]
        hour = usual(mine, person.timezone or SHOP) if mine else (None, None)
        habits[person.id] = (*hour, median(gaps(mine)))
    order_of = {row.id: row for row in bought}
    signs: dict[Any, dict[int, list[int]]] = defaultdict(dict)
    for item in items:
        if item.order_id not in order_of:
            continue
        for kind in ("category", "brand"):
            own = getattr(item, kind)
            name = own if own is not None else getattr(goods.get(item.sku), kind, None)
            if name:
                key = (order_of[item.order_id].customer_id, kind, name)
                pair = signs[key].setdefault(item.order_id, [0, 0])
                quantity = 1 if item.quantity is None else item.quantity
                pair[0] += quantity
                pair[1] += quantity * (item.price or 0)
    likes: dict[Any, Any] = {}
    all_gaps: dict[str, list[int]] = defaultdict(list)
    for key, of_orders in signs.items():
        moments = [order_of[order].placed_at for order in of_orders]
        everything = sum(len(other) for at_, other in signs.items() if at_[:2] == key[:2])
        likes[key] = (
            len(of_orders), sum(pair[0] for pair in of_orders.values()), sum(pair[1] for pair in of_orders.values()),
            0, 1000 * len(of_orders) // everything, min(moments), max(moments), median(gaps(moments)),
        )  # fmt: skip
        if key[1] == "category":
            all_gaps[key[2]] += gaps(moments)
    cycles = {name: (len(found), median(found)) for name, found in all_gaps.items() if found}
    return habits, likes, cycles


def as_kept(store: Store) -> tuple[dict[int, Any], dict[Any, Any], dict[str, Any]]:
    with store.read() as connection:
        p = profiles.c
        habits = {
            row[0]: tuple(row[1:])
            for row in connection.execute(
                select(p.customer_id, p.usual_hour, p.usual_hour_confidence, p.cycle_seconds)
            )
        }
        a = affinities.c
        shown = select(
            a.customer_id,
            a.kind,
            a.name,
            a.orders,
            a.quantity,
            a.amount,
            a.clicks,
            SCORE,
            a.first_at,
            a.last_at,
            a.cycle_seconds,
        )
        of_profile = shown.join(profiles, p.customer_id == a.customer_id)
        likes = {tuple(row[:3]): tuple(row[3:]) for row in connection.execute(of_profile)}
        cycles = {row[0]: tuple(row[1:]) for row in connection.execute(select(category_cycles))}
    return habits, likes, cycles


@pytest.mark.parametrize("seed", [1, 2])
def test_habits_agree_with_a_calculation_by_hand(store: Store, seed: int) -> None:
    lay_down_a_shop(store, seed)
    with store.write() as connection:
        refresh(connection, POLICY, NOW)
    assert as_kept(store) == by_hand(store)
    with store.write() as connection:  # once more: nothing is written
        assert refresh(connection, POLICY, NOW + timedelta(seconds=1)) == 0
    assert as_kept(store) == by_hand(store)


def change_at_random(connection: Any, rng: random.Random, number: int) -> list[int]:
    """One thing of each kind that changes what counts; whom it is about."""
    people = connection.execute(select(customers.c.id)).scalars().all()
    there = connection.execute(select(orders.c.id, orders.c.customer_id)).all()
    owner = {row.id: row.customer_id for row in there}
    new, again, moved, emptied, filled, later = (rng.choice(people), *rng.sample(sorted(owner), 5))
    order = add_order(connection, new, f"new{number}", NOW - timedelta(hours=rng.randrange(9_000)))
    rows = [(order, 9), (order, 8), (filled, 9)]
    forget_items(connection, [emptied, filled])
    connection.execute(insert(order_items), [
        {"order_id": of, "position": at_, "sku": rng.choice(["s1", "s2", "x"]), "category": rng.choice([None, "new", "k1"]), "quantity": 1}
        for of, at_ in rows if connection.execute(select(order_items.c.id).filter_by(order_id=of, position=at_)).first() is None
    ])  # fmt: skip
    for one, values in (
        (again, {"status": rng.choice(["received", "refunded"]), "amount": rng.randrange(90_000)}),
        (moved, {"customer_id": new}),
        (later, {"placed_at": NOW + timedelta(days=rng.randrange(-400, 2))}),
    ):
        connection.execute(update(orders).where(orders.c.id == one).values(**values))
    connection.execute(delete(order_items).where(order_items.c.order_id == emptied))
    return [new, *(owner[one] for one in (again, moved, emptied, filled, later))]


def all_that_is_computed(connection: Any) -> tuple[set[Any], set[Any]]:
    columns = [column for column in profiles.c if column.name != "evaluated_at"]
    likes = [column for column in affinities.c if column.name != "times"]  # in no order
    return set(connection.execute(select(*columns))), set(connection.execute(select(*likes)))


def test_a_refresh_of_some_leaves_what_a_refresh_of_all_would(store: Store) -> None:
    lay_down_a_shop(store, 3)
    rng = random.Random(3)
    with store.write() as connection:
        refresh(connection, POLICY, NOW)
        for number in range(5):
            refresh(connection, POLICY, NOW, change_at_random(connection, rng, number))
        some = all_that_is_computed(connection)
    habits, likes, _ = by_hand(store)
    assert as_kept(store)[:2] == (habits, likes)
    with store.write() as connection:
        assert refresh(connection, POLICY, NOW) == 0
        assert all_that_is_computed(connection) == some
    assert as_kept(store) == by_hand(store)


def click(connection: Any, customer: int, label: str, number: int, **more: Any) -> None:
    digest = f"d{number}"
    run = connection.execute(
        insert(runs).values(definition=digest, occurrence="x", digest=digest, priority=50, state="open", starts_at=NOW, created_at=NOW)
    ).inserted_primary_key[0]  # fmt: skip
    connection.execute(insert(links).values(digest=digest, number=1, url="https://shop.example/", label=label))  # fmt: skip
    delivery = connection.execute(
        insert(deliveries).values(
            public_id=digest, run_id=run, definition=digest, step="main", customer_id=customer, anchor="at:x",
            digest=digest, priority=50, state="sent", due_at=NOW, next_at=NOW, not_after=NOW, created_at=NOW, deferrals=0, channel_index=0, attempts=0,
            **{"class": "marketing"},
        )
    ).inserted_primary_key[0]  # fmt: skip
    for dedupe in ("a", "b"):
        values: dict[str, Any] = {"kind": "clicked", "link": 1, "at": NOW, "dedupe": dedupe, "data": {}}  # fmt: skip
        connection.execute(insert(engagements).values(delivery_id=delivery, **values | more))


def test_clicks_on_a_category_count_once_a_message_and_not_a_scanners(store: Store) -> None:
    with store.write() as connection:
        buyer, reader = add_customer(connection, "buyer"), add_customer(connection, "reader")
        order = add_order(connection, buyer, "A", at("2026-05-01T10:00"))
        connection.execute(
            insert(order_items).values(order_id=order, position=1, category="coffee")
        )
        connection.execute(insert(products).values(sku="t", category="tea", attributes={}))
        click(connection, buyer, "tea", 1)
        click(connection, reader, "coffee", 2)
        click(connection, reader, "logo", 3)
        click(connection, reader, "tea", 4, scanner="too fast")
        refresh(connection, POLICY, NOW)
        a = affinities.c
        shown = (
            select(a.customer_id, a.name, a.orders, a.clicks, SCORE)
            .join(profiles, profiles.c.customer_id == a.customer_id)
            .order_by(a.customer_id, a.name)
        )
        rows = connection.execute(shown).all()
        refresh(connection, POLICY, NOW, [buyer, reader])
        again = connection.execute(shown).all()
    expected = [(buyer, "coffee", 1, 0, 833), (buyer, "tea", 0, 1, 166), (reader, "coffee", 0, 1, 1000)]  # fmt: skip
    assert [tuple(row) for row in rows] == expected
    assert again == rows
