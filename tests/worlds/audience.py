"""Whether a customer matches conditions: docs/definitions.md word for word, one customer at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.worlds.calendars import lasting
from tests.worlds.people import Order, Person, Spec, World, words


def holds(
    tree: Spec, world: World, person: Person, grade: str | None, now: datetime, anchor: Order | None
) -> bool:
    """Several keys in one map must all hold. `anchor`: the order behind the message, for `still`."""

    def one(name: str, asked: Any) -> bool:
        if name in ("all", "any", "not"):
            each = [holds(child, world, person, grade, now, anchor) for child in ([asked] if name == "not" else asked)]  # fmt: skip
            return {"all": all(each), "any": any(each), "not": not each[0] if each else True}[name]
        if name == "anchor":
            return anchor is not None and anchor.status in words(asked["status"])
        return _holds_one(name, asked, world, person, grade, now)

    return all(one(name, asked) for name, asked in tree.items() if name != "holdout")


def _holds_one(
    name: str, asked: Spec, world: World, person: Person, grade: str | None, now: datetime
) -> bool:
    def recent(moment: datetime, age: str) -> bool:
        return moment >= now - lasting(age)

    done = person.completed()
    last = done[-1].placed_at if done else None
    number = sum("within" not in asked or recent(one.placed_at, asked["within"]) for one in done)
    at = person.joined_at if name == "joined_at" else last
    after = asked.get("after") or world.policy.get("dormant_after", "180d")
    grades: dict[str, Callable[[Any], bool]] = {
        "in": lambda names: grade in names,
        "not_in": lambda names: grade not in names,
        "known": lambda wanted: (grade is not None) is wanted,
    }
    moments: Callable[[], bool] = lambda: at is not None and all(recent(at, age) is (how == "within") for how, age in asked.items())  # noqa: E731  # fmt: skip
    answers: dict[str, Callable[[], bool]] = {
        "orders": lambda: number >= asked.get("gte", 0) and number <= asked.get("lte", number),
        "last_order_at": moments,
        "joined_at": moments,
        "dormant": lambda: last is not None and not recent(last, after),
        "grade": lambda: all(grades[how](value) for how, value in asked.items()),
        "tag": lambda: (asked["dimension"], asked["value"]) in person.tags,
        "membership": lambda: any(
            card.state == "active" and card.starts_at <= now < card.expires_at and card.level in words(asked["level"])
            for card in person.cards
        ),
        "province": lambda: person.province in asked["in"],
        "event": lambda: any(
            event.kind == asked["kind"] and event.at <= now and recent(event.at, asked["within"])
            for event in person.events
        ),
    }  # fmt: skip
    return answers[name]()
