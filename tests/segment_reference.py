"""A naive evaluator of segment trees: one customer at a time, in plain Python, from the same words of the documentation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from engine.audience.sampling import is_drawn
from engine.definitions.segment import Condition, Group, Segment, Top, Tree
from tests.segment_shop import CATALOG, LABELS, NOW, UNKNOWN, ZONE, Person

COMPLETED = {"paid", "shipped", "arrived", "received"}


class Reference:
    """`people` is everybody: a `top` compares them, and couples share an address."""

    def __init__(self, people: Sequence[Person], segments: Mapping[str, Segment]) -> None:
        self.people, self.segments = people, segments
        self._tops: dict[int, tuple[Top, frozenset[int]]] = {}
        self._families: dict[tuple[str, str], list[Person]] = {}
        for person in people:
            for column in ("email_hash", "phone_hash"):
                address = person.row[column]
                self._families.setdefault((column, address), []).append(person)

    def select(self, tree: Tree) -> set[int]:
        return {person.profile["id"] for person in self.people if self.holds(tree, person)}

    def holds(self, tree: Tree, person: Person) -> bool:
        if isinstance(tree, Top):
            return person.profile["id"] in self.top(tree)
        if isinstance(tree, Group):
            each = [self.holds(child, person) for child in tree.children]
            return {"all": all(each), "any": any(each), "not": not any(each)}[tree.kind]
        if tree.name == "segment":
            return self.holds(self.segments[tree.arguments["name"]].tree, person)
        if tree.name == "sample":
            return is_drawn(person.profile["id"], tree)
        if tree.name == "reachable":
            return self.reachable(tree.arguments, person)
        return holds_one(tree, person)

    def top(self, top: Top) -> frozenset[int]:
        if id(top) not in self._tops:
            self._tops[id(top)] = (top, frozenset(self.first(top)))
        return self._tops[id(top)][1]

    def first(self, top: Top) -> list[int]:
        inside = [person for person in self.people if self.holds(top.child, person)]
        places = sorted((-measure(top.arguments, person), person.profile["id"]) for person in inside)  # fmt: skip
        return [key for size, key in places if size < 0][: top.arguments["n"]]

    def reachable(self, arguments: Mapping[str, Any], person: Person) -> bool:
        return not is_malicious(person) and any(
            self.reaches(channel, arguments.get("class", "marketing"), person)
            for channel in arguments["channel"]
        )

    def reaches(self, channel: str, name: str, person: Person) -> bool:
        column = "email_hash" if channel == "email" else "phone_hash"
        address = person.row[column]
        until = person.row["phone_valid_until"]
        if address is None or (channel == "sms" and until is not None and until < NOW):
            return False
        family = self._families[column, address]
        if any(channel in each.suppressed for each in family):
            return False
        said = [row["granted"] for each in family for row in each.consents if (row["channel"], row["class"]) == (channel, name)]  # fmt: skip
        return said[-1] if said else UNKNOWN[channel, name]


def measure(arguments: Mapping[str, Any], person: Person) -> int:
    if arguments["by"] == "affinity":
        return liking(arguments, person, "score") or 0
    done = completed(person, arguments.get("within"))
    return len(done) if arguments["by"] == "orders" else sum(order["amount"] for order in done)


def completed(person: Person, within: Any) -> list[dict[str, Any]]:
    return [
        order
        for order in person.orders
        if order["status"] in COMPLETED
        and order["placed_at"] <= NOW
        and (within is None or order["placed_at"] >= NOW - within.delta)
    ]


def liking(arguments: Mapping[str, Any], person: Person, column: str) -> Any:
    kind = "category" if "category" in arguments else "brand"
    wanted = (kind, arguments[kind])
    return next((row[column] for row in person.affinities if (row["kind"], row["name"]) == wanted), None)  # fmt: skip


def holds_one(leaf: Condition, person: Person) -> bool:
    special: dict[str, Callable[[Mapping[str, Any], Person], bool]] = {
        "ordered": ordered, "tag": tagged, "attribute": attribute, "membership": membership,
        "usual_hour": usual_hour, "affinity": affinity, "event": happened,
    }  # fmt: skip
    if leaf.name in special:
        return special[leaf.name](leaf.arguments, person)
    if leaf.name in ("sent", "delivered", "opened", "clicked", "viewed", "unsubscribed", "bounced", "complained"):  # fmt: skip
        return engaged(leaf.name, leaf.arguments, person)
    value = fact(leaf, person)
    asked = [
        (operator, wanted)
        for operator, wanted in leaf.arguments.items()
        if operator not in ("category", "month")
        and not (operator == "within" and leaf.name in ("orders", "amount"))
    ]
    if leaf.name == "dormant":
        asked = [("older_than", leaf.arguments["after"])]
    if leaf.name == "birthday" and "month" in leaf.arguments:
        return person.row["birthday_month"] in leaf.arguments["month"] and all(compare(value, *each) for each in asked)  # fmt: skip
    return all(compare(value, *each) for each in asked) and (bool(asked) or value is not None)


def compare(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "known":
        return (value is not None) is wanted
    if operator == "not_in":
        return value not in wanted
    if value is None:
        return False
    size = wanted.delta if isinstance(value, timedelta) else wanted
    answers: dict[str, Callable[[], bool]] = {
        "eq": lambda: bool(value == wanted),
        "in": lambda: value in wanted,
        "gte": lambda: bool(value >= size),
        "lte": lambda: bool(value <= size),
        "within": lambda: NOW - wanted.delta <= value <= NOW,
        "older_than": lambda: bool(value < NOW - wanted.delta),
        "after": lambda: value.astimezone(ZoneInfo(ZONE)).date() > wanted,
        "before": lambda: value.astimezone(ZoneInfo(ZONE)).date() < wanted,
    }
    return answers[operator]()


def fact(leaf: Condition, person: Person) -> Any:
    name, row, profile = leaf.name, person.row, person.profile
    done = completed(person, leaf.arguments.get("within") if name in ("orders", "amount") else None)
    money = Decimal(sum(order["amount"] for order in done)) / 100
    when = [order["placed_at"] for order in done]
    seconds = person.habits["cycle_seconds"]
    if name == "cycle" and "category" in leaf.arguments:
        seconds = liking(leaf.arguments, person, "cycle_seconds")
    facts: dict[str, Callable[[], Any]] = {
        "id": lambda: row["ref"],
        "province": lambda: person.habits["province"] or row["province"],
        "city": lambda: person.habits["city"] or row["city"],
        "orders": lambda: len(done),
        "amount": lambda: money,
        "average_amount": lambda: Fraction(money) / len(done) if done else None,
        "first_order_at": lambda: min(when, default=None),
        "last_order_at": lambda: max(when, default=None),
        "dormant": lambda: max(when, default=None),
        "grade": lambda: profile["grade"],
        "class": lambda: "malicious" if is_malicious(person) else profile["class"],
        "stage": lambda: person.habits["stage"] or "prospect",
        "cycle": lambda: None if seconds is None else timedelta(seconds=seconds),
    }
    return facts[name]() if name in facts else row[name]


def ordered(arguments: Mapping[str, Any], person: Person) -> bool:
    statuses = arguments.get("status", COMPLETED)
    mine = [order for order in person.orders if order["status"] in statuses and order["placed_at"] <= NOW]  # fmt: skip
    mine.sort(key=lambda order: (order["placed_at"], order["id"]))
    if "only" in arguments:
        mine = mine[:1] if arguments["only"] == "first" else mine[-1:]
    wanted = {name: arguments[name] for name in ("category", "brand", "sku", "size") if name in arguments}  # fmt: skip
    mine = [order for order in mine if order_fits(arguments, order)]
    fitting = [[item for item in order["items"] if item_fits(wanted, item)] for order in mine]
    if wanted:
        mine, fitting = [list(each) for each in zip(*[pair for pair in zip(mine, fitting, strict=True) if pair[1]], strict=True)] or ([], [])  # fmt: skip
    return totals_fit(arguments, *totals(mine, fitting, by_item=bool(wanted)))


def order_fits(arguments: Mapping[str, Any], order: Mapping[str, Any]) -> bool:
    at = order["placed_at"]
    dates = [(name, arguments[name]) for name in ("within", "older_than", "before", "after") if name in arguments]  # fmt: skip
    return (
        all(compare(at, *each) for each in dates)
        and (
            "hours" not in arguments
            or arguments["hours"].holds(at.astimezone(ZoneInfo(ZONE)).time())
        )
        and all(
            order[name] in arguments[name] for name in ("coupon", "source") if name in arguments
        )
    )


def item_fits(wanted: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    category, brand = CATALOG.get(item["sku"], (None, None))
    said = {**item, "category": item["category"] or category, "brand": item["brand"] or brand}
    return all(said[name] in values for name, values in wanted.items())


def totals(
    mine: list[dict[str, Any]], fitting: list[list[dict[str, Any]]], *, by_item: bool
) -> tuple[int, Decimal, int]:
    if by_item:
        items = [item for each in fitting for item in each]
        pieces = sum(item["quantity"] or 1 for item in items)
        worth = sum((item["price"] or 0) * (item["quantity"] or 1) for item in items)
    else:
        worth = sum(order["amount"] for order in mine)
        pieces = sum(
            order["quantity"] or sum(item["quantity"] or 1 for item in order["items"])
            for order in mine
        )
    return len(mine), Decimal(worth) / 100, pieces


def totals_fit(arguments: Mapping[str, Any], count: int, worth: Decimal, pieces: int) -> bool:
    average = Fraction(worth) / count if count else None
    values = {"count": count, "sum": worth, "avg": average, "quantity": pieces}
    asked = [(values[name], arguments[name]) for name in values if name in arguments]
    if not asked:
        return count > 0
    return all(compare(value, *bound) for value, bounds in asked for bound in bounds.items())


def engaged(kind: str, arguments: Mapping[str, Any], person: Person) -> bool:
    number = 0
    for message in person.messages:
        if message["admitted_at"] is None:
            continue
        if "definition" in arguments and message["definition"] not in arguments["definition"]:
            continue
        if "channel" in arguments and message["channel"] not in arguments["channel"]:
            continue
        events = [event for event in message["events"] if event["kind"] == kind and event["scanner"] is None]  # fmt: skip
        if "label" in arguments:
            events = [event for event in events if LABELS[event["link"]] in arguments["label"]]
        moments = [event["at"] for event in events]
        if kind == "sent":
            moments = [message["sent_at"]] if message["state"] == "sent" else []
        ages = [(name, arguments[name]) for name in ("within", "older_than") if name in arguments]
        number += any(at <= NOW and all(compare(at, *age) for age in ages) for at in moments)
    return all(compare(number, *bound) for bound in arguments.get("count", {"gte": 1}).items())


def is_malicious(person: Person) -> bool:
    said = {tag["value"] for tag in person.tags if tag["dimension"] == "malicious"}
    return person.row["malicious"] or bool(said - {"cleared"})


def tagged(arguments: Mapping[str, Any], person: Person) -> bool:
    values = arguments.get("in", (arguments["value"],) if "value" in arguments else None)
    ages = [(name, arguments[name]) for name in ("within", "older_than") if name in arguments]
    return any(
        tag["dimension"] == arguments["dimension"]
        and tag["tagged_at"] <= NOW
        and (values is None or tag["value"] in values)
        and all(compare(tag["tagged_at"], *age) for age in ages)
        for tag in person.tags
    )


def happened(arguments: Mapping[str, Any], person: Person) -> bool:
    ages = [(name, arguments[name]) for name in ("within", "older_than") if name in arguments]
    number = sum(
        event["kind"] == arguments["kind"]
        and event["at"] <= NOW
        and all(compare(event["at"], *age) for age in ages)
        and all(valued(event["data"].get(name), asked) for name, asked in arguments.get("data", {}).items())
        for event in person.events
    )  # fmt: skip
    return all(compare(number, *bound) for bound in arguments.get("count", {"gte": 1}).items())


def attribute(arguments: Mapping[str, Any], person: Person) -> bool:
    return valued(person.row["attributes"].get(arguments["name"]), arguments)


def valued(value: Any, arguments: Mapping[str, Any]) -> bool:
    text: str | None
    number: Decimal | None
    if isinstance(value, bool):
        text, number = str(value).lower(), None
    elif isinstance(value, (str, int, float)):
        text = str(value) or None
        numeric = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", str(value)) and len(str(value)) <= 16
        number = Decimal(str(value)) if numeric else None
    else:
        text, number = None, None

    def is_one(values: tuple[Any, ...]) -> bool:
        return any((text if isinstance(each, str) else number) == each for each in values)

    answers: dict[str, Callable[[Any], bool]] = {
        "eq": lambda wanted: is_one((wanted,)),
        "in": is_one,
        "not_in": lambda wanted: not is_one(wanted),
        "known": lambda wanted: (text is not None) is wanted,
        "gte": lambda wanted: number is not None and number >= wanted,
        "lte": lambda wanted: number is not None and number <= wanted,
    }
    return all(answers[name](wanted) for name, wanted in arguments.items() if name != "name")


def membership(arguments: Mapping[str, Any], person: Person) -> bool:
    def runs(row: Mapping[str, Any]) -> bool:
        started = row["starts_at"] is None or row["starts_at"] <= NOW
        return row["state"] == "active" and started and (row["expires_at"] is None or row["expires_at"] > NOW)  # fmt: skip

    def is_in(row: Mapping[str, Any], state: str) -> bool:
        if state == "active":
            return runs(row)
        if state != "lapsed":
            return bool(row["state"] == state)
        over = row["state"] == "lapsed" or (row["state"] == "active" and row["expires_at"] is not None and row["expires_at"] <= NOW)  # fmt: skip
        return over and not any(runs(each) for each in person.memberships)

    def expires(row: Mapping[str, Any]) -> bool:
        if "expires_within" not in arguments:
            return True
        end: datetime | None = row["expires_at"]
        return end is not None and NOW < end <= NOW + arguments["expires_within"].delta

    return any(
        any(is_in(row, state) for state in arguments.get("state", ("active",)))
        and row["level"] in arguments.get("level", ("silver", "gold"))
        and expires(row)
        for row in person.memberships
    )


def usual_hour(arguments: Mapping[str, Any], person: Person) -> bool:
    hour, sure = person.habits["usual_hour"], person.habits["usual_hour_confidence"]
    answers: dict[str, Callable[[Any], bool]] = {
        "known": lambda wanted: (hour is not None) is wanted,
        "hours": lambda wanted: hour is not None and wanted.holds(NOW.replace(hour=hour).time()),
        "confidence": lambda wanted: hour is not None and sure >= wanted,
    }
    return all(answers[name](wanted) for name, wanted in arguments.items())


def affinity(arguments: Mapping[str, Any], person: Person) -> bool:
    score = liking(arguments, person, "score") or 0
    bounds = {name: arguments[name] for name in ("gte", "lte") if name in arguments} or {"gte": 1}
    return all(compare(score, *bound) for bound in bounds.items())
