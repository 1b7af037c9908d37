"""Random segment trees over every condition."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from engine.definitions.segment import Condition, Group, Segment, Top, Tree
from engine.definitions.values import Duration, parse_hours
from engine.errors import Position
from tests.segment_shop import ZONE

HERE = Position("segments/x.yaml")
DAYS = [Duration(days, "d") for days in (1, 30, 90, 180, 365)]
WORDS = {
    "id": ["00001", "00002", "9"], "gender": ["f", "m"], "province": ["广东", "江苏"], "city": ["上海", "苏州", "o'Brien", "100%"],
    "timezone": ["Asia/Shanghai", ZONE], "email_domain": ["qq.com", "163.com"], "grade": ["P", "G", "S", "B"],
}  # fmt: skip


def leaf(name: str, /, **arguments: Any) -> Condition:
    return Condition(name, {key.removesuffix("_"): value for key, value in arguments.items()}, HERE, name)  # fmt: skip


def make_tree(chance: random.Random, depth: int) -> Tree:
    if depth and chance.random() < 0.6:
        kind = chance.choice(["all", "any", "not"])
        count = 1 if kind == "not" else chance.choice([0, 1, 2, 2, 3, 3])
        return Group(kind, tuple(make_tree(chance, depth - 1) for _ in range(count)))  # type: ignore[arg-type]
    return chance.choice(LEAVES)(chance)


def make_top(chance: random.Random, tree: Tree) -> Top:
    by = chance.choice(["amount", "orders", "affinity"])
    arguments: dict[str, Any] = {"by": by, "n": chance.choice([1, 3, 10, 1000])}
    if by == "affinity":
        arguments["category"] = "coffee"
    elif chance.random() < 0.5:
        arguments["within"] = chance.choice(DAYS)
    place = Position("segments/x.yaml", chance.randint(2, 10**9))
    return Top(tree, arguments, place, "top")


def some(chance: random.Random, values: list[Any]) -> tuple[Any, ...]:
    return tuple(chance.sample(values, chance.randint(1, len(values))))


def pick(chance: random.Random, share: float = 0.35, **choices: Callable[[], Any]) -> dict[str, Any]:  # fmt: skip
    return {name: make() for name, make in choices.items() if chance.random() < share}


def words_leaf(chance: random.Random) -> Condition:
    name = chance.choice([*WORDS, "email", "phone", "address", "birthday"])
    if name == "birthday" and chance.random() < 0.6:
        return leaf(name, month=some(chance, [1, 2, 5, 12]))
    if name not in WORDS:
        return leaf(name, known=chance.random() < 0.5)
    values = some(chance, WORDS[name])
    arguments = chance.choice([{"eq": values[0]}, {"in_": values}, {"not_in": values}])
    if name != "id" and chance.random() < 0.2:
        arguments = {**arguments, "known": chance.random() < 0.7}
    return leaf(name, **arguments)


def when(chance: random.Random) -> dict[str, Any]:
    on = date(2025, 1, 1) + timedelta(days=chance.randint(0, 500))
    options: list[dict[str, Any]] = [
        {"within": chance.choice(DAYS)}, {"older_than": chance.choice(DAYS)}, {"before": on}, {"after": on},
        {"within": DAYS[4], "older_than": DAYS[1]},
    ]  # fmt: skip
    return chance.choice(options)


def age(chance: random.Random) -> dict[str, Any]:
    options: list[dict[str, Any]] = [{}, {"within": chance.choice(DAYS)}, {"older_than": chance.choice(DAYS)}]  # fmt: skip
    return chance.choice(options)


def moment_leaf(chance: random.Random) -> Condition:
    name = chance.choice(["joined_at", "first_order_at", "last_order_at"])
    return leaf(name, **chance.choice([when(chance), {"known": False}]))


def count(chance: random.Random) -> dict[str, Any]:
    return {chance.choice(["gte", "lte", "eq"]): chance.choice([0, 1, 2, 4])}


def money(chance: random.Random) -> dict[str, Any]:
    amount = Decimal(chance.choice(["0", "0.005", "99.99", "100", "100.004", "1234.56"]))
    return {chance.choice(["gte", "lte"]): amount}


def number_leaf(chance: random.Random) -> Condition:
    name = chance.choice(["orders", "amount", "average_amount"])
    arguments = count(chance) if name == "orders" else money(chance)
    if name != "average_amount" and chance.random() < 0.6:
        arguments["within"] = chance.choice(DAYS)
    return leaf(name, **arguments)


def ordered_leaf(chance: random.Random) -> Condition:
    window = parse_hours(chance.choice(["22:00-02:00", "00:00-02:00", "02:30-03:30", "08:00-20:15"]))  # fmt: skip
    arguments = pick(
        chance, 0.2,
        category=lambda: some(chance, ["coffee", "tea", "儿童"]), brand=lambda: some(chance, ["雁", "o'Brien"]),
        sku=lambda: some(chance, ["A1", "B2"]), size=lambda: ("110",), coupon=lambda: some(chance, ["SPRING", "10%"]),
        source=lambda: ("taobao",), status=lambda: some(chance, ["placed", "paid", "received", "refunded", "closed"]),
        hours=lambda: window, only=lambda: chance.choice(["first", "last"]),
    )  # fmt: skip
    arguments |= when(chance) if chance.random() < 0.4 else {}
    return leaf("ordered", **arguments, **pick(chance, 0.25, count=lambda: count(chance), sum=lambda: money(chance), avg=lambda: money(chance), quantity=lambda: count(chance)))  # fmt: skip


def message_leaf(chance: random.Random) -> Condition:
    kind = chance.choice(["sent", "opened", "clicked", "clicked", "viewed", "delivered", "unsubscribed", "bounced", "complained"])  # fmt: skip
    arguments = pick(chance, definition=lambda: ("spring",), channel=lambda: ("email",), count=lambda: count(chance))  # fmt: skip
    if kind == "clicked" and chance.random() < 0.6:
        arguments["label"] = some(chance, ["coffee", "tea"])
    return leaf(kind, **arguments, **age(chance))


def attribute_leaf(chance: random.Random) -> Condition:
    name = chance.choice(["skin", "o\"d'd 皮肤", "nobody's"])
    values = some(chance, ["dry", "42", "true", "", Decimal(42), Decimal("7.5"), Decimal(-3)])
    number = Decimal(chance.choice(["-3", "0", "7.5", "42"]))
    options: list[dict[str, Any]] = [
        {"eq": values[0]}, {"in_": values}, {"not_in": values}, {"known": chance.random() < 0.5}, {"gte": number}, {"lte": number},
    ]  # fmt: skip
    return leaf("attribute", name=name, **chance.choice(options))


def tag_leaf(chance: random.Random) -> Condition:
    dimension = chance.choice(["size", "temper", "none"])
    value: dict[str, Any] = chance.choice([{}, {"value": "110"}, {"in_": ("120", "picky")}])
    return leaf("tag", dimension=dimension, **value, **age(chance))


def event_leaf(chance: random.Random) -> Condition:
    data = chance.choice([{"score": {"gte": Decimal(4)}}, {"score": {"eq": "5"}}, {"score": {"known": False}}])  # fmt: skip
    return leaf("event", kind="review", **age(chance), **pick(chance, 0.5, data=lambda: data, count=lambda: count(chance)))  # fmt: skip


def person_leaf(chance: random.Random) -> Condition:
    bound = chance.choice(["gte", "lte"])
    states = ["eligible", "called", "carded", "active", "lapsed"]
    options = [
        leaf("stage", in_=("prospect", "repeat")), leaf("stage", not_in=("dormant",)),
        leaf("class", eq="prospect"), leaf("class", in_=("malicious", "new", "lapsed")), leaf("dormant", after=DAYS[2]),
        leaf("membership", **pick(chance, 0.5, level=lambda: ("gold",), state=lambda: some(chance, states), expires_within=lambda: chance.choice(DAYS))),
        leaf("usual_hour", hours=parse_hours(chance.choice(["22:00-06:30", "08:00-12:00"]))),
        leaf("usual_hour", confidence=Decimal(50)), leaf("usual_hour", known=False),
        leaf("cycle", **{bound: Duration(30, "d")}), leaf("cycle", known=True), leaf("cycle", category="coffee"),
        leaf("cycle", category="tea", **{bound: Duration(30, "d")}),
        leaf("affinity", category="coffee", **{bound: chance.choice([0, 300, 301])}), leaf("affinity", brand="雁"),
        leaf("reachable", channel=some(chance, ["email", "sms"]), **pick(chance, 0.6, class_=lambda: chance.choice(["care", "transactional"]))),
        leaf("sample", share=Decimal(chance.choice(["10", "33.3", "100"])), **pick(chance, salt=lambda: "s")),
        leaf("segment", name="nested"), leaf("segment", name="best"),
    ]  # fmt: skip
    return chance.choice(options)


LEAVES = [
    words_leaf, moment_leaf, number_leaf, ordered_leaf, ordered_leaf, ordered_leaf, message_leaf, message_leaf,
    attribute_leaf, tag_leaf, event_leaf, person_leaf, person_leaf, person_leaf,
]  # fmt: skip
NESTED = Group("any", (leaf("city", in_=("上海", "o'Brien")), leaf("orders", gte=3)))
BEST = Top(leaf("gender", known=True), {"by": "amount", "n": 12, "within": DAYS[4]}, Position("segments/best.yaml"), "top")  # fmt: skip
SEGMENTS = {"nested": Segment("nested", NESTED, HERE), "best": Segment("best", BEST, HERE)}
