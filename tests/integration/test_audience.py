"""Compiled segments against a naive evaluator that asks one customer at a time, on both databases."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select

from engine.audience.compiler import PEOPLE, Scope, matches, members, select_ids
from engine.customers.importing.files import import_file
from engine.customers.profiles.freshness import refresh
from engine.definitions.loader import load_policy
from engine.definitions.policy import Policy
from engine.definitions.segment import EVERYONE, Condition, Group, Segment, Top, Tree
from engine.definitions.values import Duration
from engine.errors import Position
from engine.settings import Settings
from engine.store.session import Store
from engine.store.tables import customers, orders, profiles, tags
from tests.shop import add_customer

ZONE = "Asia/Shanghai"
POLICY = Policy(timezone=ZONE, unknown_consent={})
NOW = datetime(2026, 5, 1, 4, 0, tzinfo=UTC)
HERE = Position("segments/x.yaml")
COMPLETED = {"paid", "shipped", "arrived", "received"}

CITIES = ["上海", "杭州", "广州", "o'Brien", "100%", None]
DOMAINS = ["qq.com", "163.com", "example.com"]
STATUSES = ["placed", "paid", "shipped", "arrived", "received", "refunded", "closed"]
WORDS: Mapping[str, Sequence[Any]] = {
    "gender": ["f", "m", None],
    "language": ["zh", "en", None],
    "province": ["广东", "浙江", None],
    "city": CITIES,
    "timezone": ["Asia/Shanghai", "Europe/Berlin", None],
    "email_domain": [*DOMAINS, None],
}


def leaf(name: str, /, **arguments: Any) -> Condition:
    return Condition(
        name, {key.removesuffix("_"): value for key, value in arguments.items()}, HERE, name
    )


@dataclass
class Person:
    row: dict[str, Any]
    orders: list[dict[str, Any]]
    profile: dict[str, Any] = field(default_factory=dict)

    def completed(self, within: Duration | None = None) -> list[dict[str, Any]]:
        return [
            order
            for order in self.orders
            if order["status"] in COMPLETED
            and order["placed_at"] <= NOW
            and (within is None or order["placed_at"] >= NOW - within.delta)
        ]


def make_shop(seed: int, size: int) -> list[Person]:
    chance = random.Random(seed)
    people = []
    for number in range(size):
        row: dict[str, Any] = {name: chance.choice(words) for name, words in WORDS.items()}
        row["ref"] = f"{number:05}"
        row["email"] = f"p{number}@{row['email_domain']}" if row["email_domain"] else None
        row["phone"] = f"+4477009{number:05}" if chance.random() < 0.5 else None
        row["birthday"] = "1990-02-28" if chance.random() < 0.5 else None
        row["joined_at"] = (
            NOW - timedelta(days=chance.randint(-30, 400)) if chance.random() < 0.7 else None
        )
        row["malicious"] = chance.random() < 0.05
        people.append(Person(row, [make_order(chance) for _ in range(chance.choice([0, 0, 1, 2, 5, 9]))]))  # fmt: skip
    return people


def make_order(chance: random.Random) -> dict[str, Any]:
    # some stand exactly on the edges of windows, a few in the future
    ago = chance.choice([timedelta(days=chance.choice([-3, 0, 30, 90, 180, 365])),
                         timedelta(seconds=chance.randint(0, 3 * 365 * 86400))])  # fmt: skip
    return {
        "status": chance.choice(STATUSES),
        "placed_at": NOW - ago,
        "amount": chance.choice([0, 1, 9999, 10000, 10001, 123_456]),
    }


def lay_down(store: Store, people: Sequence[Person], *, graded: bool = True) -> None:
    with store.write() as connection:
        for person in people:
            key = connection.execute(
                insert(customers)
                .values(**person.row, attributes={}, created_at=NOW, updated_at=NOW)
                .returning(customers.c.id)
            ).scalar_one()
            person.profile = {"id": key}
            for number, order in enumerate(person.orders):
                connection.execute(
                    insert(orders).values(
                        **order, ref=f"{person.row['ref']}-{number}", customer_id=key,
                        currency="CNY", attributes={},
                    )
                )  # fmt: skip
        if not graded:
            return
        refresh(connection, POLICY, NOW)
        for row in connection.execute(select(profiles)).mappings():
            person = next(each for each in people if each.profile["id"] == row["customer_id"])
            person.profile.update(row)


def holds(tree: Tree, person: Person, segments: Mapping[str, Segment]) -> bool:
    if isinstance(tree, Group):
        each = [holds(child, person, segments) for child in tree.children]
        return {"all": all(each), "any": any(each), "not": not any(each)}[tree.kind]
    assert not isinstance(tree, Top)
    if tree.name == "segment":
        return holds(segments[tree.arguments["name"]].tree, person, segments)
    return all(
        holds_one(tree.name, operator, value, tree.arguments, person)
        for operator, value in tree.arguments.items()
        if not (operator == "within" and tree.name in ("orders", "amount"))
    )


def holds_one(
    name: str, operator: str, value: Any, arguments: Mapping[str, Any], person: Person
) -> bool:
    if name == "dormant":
        operator, name = "older_than", "last_order_at"
    known = fact(name, person, arguments.get("within"))
    if operator == "known":
        return (known is not None) is value
    if operator == "not_in":
        return known not in value
    if known is None:
        return False
    local_day = known.astimezone(ZoneInfo(ZONE)).date() if isinstance(known, datetime) else None
    answers: dict[str, Callable[[], bool]] = {
        "eq": lambda: known == value,
        "in": lambda: known in value,
        "gte": lambda: known >= value,
        "lte": lambda: known <= value,
        "within": lambda: NOW - value.delta <= known <= NOW,
        "older_than": lambda: known < NOW - value.delta,
        "after": lambda: local_day is not None and local_day > value,
        "before": lambda: local_day is not None and local_day < value,
    }
    return answers[operator]()


def fact(name: str, person: Person, within: Any) -> Any:
    done = person.completed(within if name in ("orders", "amount") else None)
    money = sum((Decimal(order["amount"]) / 100 for order in done), Decimal())
    facts: dict[str, Callable[[], Any]] = {
        "id": lambda: person.row["ref"],
        "orders": lambda: len(done),
        "amount": lambda: money,
        "average_amount": lambda: money / len(done) if done else None,
        "first_order_at": lambda: min((order["placed_at"] for order in done), default=None),
        "last_order_at": lambda: max((order["placed_at"] for order in done), default=None),
        "grade": lambda: person.profile["grade"],
        "class": lambda: "malicious" if person.row["malicious"] else person.profile["class"],
    }
    if name in (
        "province",
        "city",
    ):  # where the shop does not know, the profile read it from the rest
        return person.row[name] or person.profile.get(name)
    return facts[name]() if name in facts else person.row[name]


def make_tree(chance: random.Random, depth: int) -> Tree:
    if depth and chance.random() < 0.6:
        kind = chance.choice(["all", "any", "not"])
        count = 1 if kind == "not" else chance.randint(0, 3)
        return Group(kind, tuple(make_tree(chance, depth - 1) for _ in range(count)))  # type: ignore[arg-type]
    return make_leaf(chance)


def make_leaf(chance: random.Random) -> Condition:
    kinds = [words_leaf, moment_leaf, number_leaf, graded_leaf]
    return chance.choice(kinds)(chance)


def words_leaf(chance: random.Random) -> Condition:
    name = chance.choice([*WORDS, "id", "email", "phone", "birthday"])
    if name in ("email", "phone", "birthday"):
        return leaf(name, known=chance.random() < 0.5)
    words = [word for word in WORDS.get(name, ["00001", "00002", "9"]) if word is not None]
    some = tuple(chance.sample(words, chance.randint(1, len(words))))
    arguments = chance.choice([{"eq": some[0]}, {"in_": some}, {"not_in": some}])
    if name != "id" and chance.random() < 0.2:
        arguments = {**arguments, "known": chance.random() < 0.7}
    return leaf(name, **arguments)


def moment_leaf(chance: random.Random) -> Condition:
    name = chance.choice(["joined_at", "first_order_at", "last_order_at"])
    days = Duration(chance.choice([0, 1, 30, 90, 180, 365]), "d")
    on = date(2025, 1, 1) + timedelta(days=chance.randint(0, 500))
    options: list[dict[str, Any]] = [
        {"within": days}, {"older_than": days}, {"before": on}, {"after": on},
        {"within": Duration(365, "d"), "older_than": Duration(30, "d")}, {"known": False},
    ]  # fmt: skip
    return leaf(name, **chance.choice(options))


def number_leaf(chance: random.Random) -> Condition:
    name = chance.choice(["orders", "amount", "average_amount"])
    bound: Any = chance.choice([0, 1, 2, 5])
    if name != "orders":
        bound = Decimal(chance.choice(["0", "0.005", "99.99", "100", "100.004", "1234.56"]))
    arguments: dict[str, Any] = {chance.choice(["gte", "lte"]): bound}
    if name == "orders" and chance.random() < 0.3:
        arguments = {"eq": bound}
    if name != "average_amount" and chance.random() < 0.5:
        arguments["within"] = Duration(chance.choice([30, 90, 365]), "d")
    return leaf(name, **arguments)


def graded_leaf(chance: random.Random) -> Condition:
    options = [
        leaf("grade", in_=("P", "G", "S")), leaf("grade", eq="B"), leaf("class", eq="prospect"),
        leaf("class", in_=("malicious", "new", "lapsed")), leaf("dormant", after=Duration(90, "d")),
        leaf("segment", name="nested"),
    ]  # fmt: skip
    return chance.choice(options)


NESTED = Group("any", (leaf("city", in_=("上海", "o'Brien")), leaf("orders", gte=3)))
SEGMENTS = {"nested": Segment("nested", NESTED, HERE)}
SCOPE = Scope(NOW, ZONE, POLICY, SEGMENTS)


def test_four_hundred_random_trees_select_whom_the_naive_evaluator_selects(store: Store) -> None:
    seed = 20261109
    people = make_shop(seed, 120)
    lay_down(store, people)
    chance = random.Random(seed)
    some = 0
    with store.read() as connection:
        for number in range(400):
            tree = make_tree(chance, 4)
            wanted = {each.profile["id"] for each in people if holds(tree, each, SEGMENTS)}
            found = list(connection.execute(select_ids(tree, SCOPE)).scalars())
            assert len(found) == len(set(found))
            assert set(found) == wanted, f"seed {seed}, tree {number}: {tree}"
            some += 0 < len(wanted) < len(people)
    assert some > 150, "the trees must tell people apart, or this shows nothing"


def ids(store: Store, tree: Tree, scope: Scope = SCOPE) -> set[int]:
    with store.read() as connection:
        return set(connection.execute(select_ids(tree, scope)).scalars())


def test_everyone_is_everyone_and_an_empty_any_is_nobody(store: Store) -> None:
    lay_down(store, make_shop(1, 5))
    assert len(ids(store, EVERYONE)) == 5
    assert ids(store, Group("any")) == set()


def test_before_the_first_refresh_customers_are_there_without_orders(store: Store) -> None:
    lay_down(store, make_shop(2, 10), graded=False)
    assert len(ids(store, leaf("orders", lte=0))) == 10
    assert len(ids(store, Group("not", (leaf("last_order_at", within=Duration(9, "d")),)))) == 10
    assert len(ids(store, leaf("class", in_=("prospect", "malicious")))) == 10


def test_dormant_takes_the_policys_default(store: Store) -> None:
    people = make_shop(3, 40)
    lay_down(store, people)
    wanted = {
        each.profile["id"] for each in people if holds(leaf("last_order_at", older_than=Duration(180, "d")), each, {})
    }  # fmt: skip
    assert ids(store, leaf("dormant")) == wanted != set()


def test_a_window_longer_than_history_is_no_error(store: Store) -> None:
    lay_down(store, make_shop(4, 20))
    ages = Duration(999_999, "d")
    assert ids(store, leaf("orders", gte=1, within=ages)) == ids(store, leaf("orders", gte=1))
    assert ids(store, leaf("joined_at", older_than=ages)) == set()


def test_a_blank_cell_of_an_import_is_no_known_attribute(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_text("id,skin\n1,dry\n2,\n", encoding="utf-8")
    settings = Settings(project=tmp_path, address_key="key")
    import_file(store, "customers", file, settings=settings, policy=load_policy({}), now=NOW)
    answers = [ids(store, leaf("attribute", name="skin", known=known)) for known in (True, False)]
    assert [len(answer) for answer in answers] == [1, 1]
    assert ids(store, leaf("attribute", name="skin", not_in=("dry",))) == answers[1]


def test_a_tag_of_tomorrow_is_not_there_yet(store: Store) -> None:
    with store.write() as connection:
        for ref, at in (("1", NOW), ("2", NOW + timedelta(days=1))):
            tag = {"dimension": "temper", "value": "picky", "tagged_at": at}
            key = add_customer(connection, ref)
            connection.execute(insert(tags).values(customer_id=key, **tag))
    assert len(ids(store, leaf("tag", dimension="temper", value="picky"))) == 1
    assert len(ids(store, leaf("tag", dimension="temper", within=Duration(1, "d")))) == 1


def test_values_are_bound_and_never_read_as_sql(store: Store) -> None:
    lay_down(store, make_shop(5, 20))
    assert ids(store, leaf("city", eq="' OR 1=1 --")) == set()
    assert ids(store, leaf("city", eq="100%")) != set()


def test_members_tells_which_of_those_asked_still_match(store: Store) -> None:
    lay_down(store, make_shop(6, 30))
    tree = leaf("orders", gte=1)
    everyone, matching = ids(store, EVERYONE), ids(store, tree)
    asked = [*sorted(everyone)[:15], 10**9, *range(10**6, 10**6 + 1500)]
    with store.read() as connection:
        assert members(connection, tree, SCOPE, asked) == matching & set(asked)
        assert members(connection, tree, SCOPE, []) == set()


def test_the_anchor_is_the_order_that_it_is_told(store: Store) -> None:
    people = make_shop(7, 30)
    lay_down(store, people)
    gone = leaf("anchor", status=("refunded", "closed"))
    anchor = orders.alias("anchor")
    tree = Group("all", (Group("not", (gone,)), leaf("orders", gte=0, within=Duration(9, "d"))))
    with store.read() as connection:
        kept = connection.execute(
            select(anchor.c.status)
            .select_from(PEOPLE.join(anchor, anchor.c.customer_id == customers.c.id))
            .where(matches(tree, SCOPE, anchor=anchor))
        ).scalars()
        found = sorted(kept)
    assert found == sorted(
        order["status"] for each in people for order in each.orders
        if order["status"] not in ("refunded", "closed")
    )  # fmt: skip
    assert ids(store, gone) == set()
    assert len(ids(store, Group("not", (gone,)))) == 30


def test_an_unknown_condition_is_refused_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"segments/x\.yaml:1:1.*shoe"):
        matches(leaf("shoe", eq="42"), SCOPE)
