"""A shop in plain Python: its people, what is known of them row by row, its definitions and policy as dicts of YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.worlds.calendars import DAY, PROVINCE_ZONES, lasting, local, median, months_before

COMPLETED = ("paid", "shipped", "arrived", "received")
GRADES = ("B", "S", "G", "P")  # from below
Spec = dict[str, Any]


@dataclass
class Order:
    """`times`: when it got each status, as far as that was told. `amount` in units."""

    ref: str
    placed_at: datetime
    status: str
    amount: int
    categories: tuple[str, ...]
    times: dict[str, datetime] = field(default_factory=dict)

    @property
    def is_completed(self) -> bool:
        return self.status in COMPLETED


@dataclass
class Card:
    key: int
    level: str
    state: str
    starts_at: datetime
    expires_at: datetime
    renews: int | None = None


@dataclass
class Event:
    ref: str
    kind: str
    at: datetime
    data: dict[str, Any]


@dataclass
class Person:
    """`zone` and `province` as given; `birthday`: month, day, calendar."""

    ref: str
    zone: str | None
    province: str | None
    addresses: dict[str, str]
    phone_until: datetime | None
    birthday: tuple[int, int, str] | None
    joined_at: datetime | None
    malicious: bool
    consents: dict[str, bool]
    birth_year: int | None = None
    orders: list[Order] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    tags: dict[tuple[str, str], datetime] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    changes: list[tuple[datetime, str | None, str | None]] = field(default_factory=list)

    @property
    def domain(self) -> str:
        return self.addresses.get("email", "@").partition("@")[2]

    def completed(self) -> list[Order]:
        return sorted((one for one in self.orders if one.is_completed), key=lambda o: o.placed_at)


@dataclass
class World:
    """One random shop: `seed` makes it again."""

    seed: int
    start: datetime
    policy: Spec
    definitions: dict[str, Spec]
    levels: tuple[str, ...]  # of membership.yaml, lowest first; () without the file
    people: dict[str, Person]

    @property
    def zone(self) -> str:
        return str(self.policy["timezone"])

    def home(self, person: Person) -> str:
        """The customer's zone, else that of their province, else the shop's."""
        if person.zone and person.zone != "Mars/Olympus":
            return person.zone
        return PROVINCE_ZONES.get(person.province or "", self.zone)

    def zones(self) -> set[str]:
        """Every clock that somebody may live by."""
        return {self.zone, *PROVINCE_ZONES.values(), *map(self.home, self.people.values())}

    def day(self, moment: datetime) -> date:
        """The shop's day."""
        return local(moment, self.zone).date()

    def grade(self, person: Person, now: datetime) -> str | None:
        """R, F and M of the orders completed within a year, as policy.md has them by default."""
        today = self.day(now)
        mine = [o for o in person.completed() if months_before(today, 12) <= self.day(o.placed_at)]
        if not mine:
            return None
        last, average = self.day(mine[-1].placed_at), sum(o.amount for o in mine) / len(mine)
        recency = next((5 - n for n, m in enumerate((1, 3, 4, 7)) if last >= months_before(today, m)), 1)  # fmt: skip
        frequency = next((5 - n for n, m in enumerate((6, 4, 3, 2)) if len(mine) >= m), 1)
        monetary = next((5 - n for n, m in enumerate((2000, 1000, 500, 300)) if average >= m), 1)
        value = recency + 3 * frequency + 4 * monetary
        return next(name for name, least in (("P", 36), ("G", 26), ("S", 17), ("B", 1)) if value >= least)  # fmt: skip

    def usual_hour(self, person: Person) -> int | None:
        """Of five neighbouring hours around one with an order, those with most orders; then most in the middle, then the
        earliest; and the mean time of their orders. Nothing where all stand at midnight."""
        whens = [o.placed_at for o in person.completed()]
        if not whens or all(local(at, self.zone).time().isoformat() == "00:00:00" for at in whens):
            return None
        walls = [local(at, self.home(person)) for at in whens]
        counts = [sum(wall.hour == hour for wall in walls) for hour in range(24)]
        middle = max(
            (hour for hour in range(24) if counts[hour]),
            key=lambda hour: (
                sum(counts[(hour + n) % 24] for n in range(-2, 3)),
                counts[hour],
                -hour,
            ),
        )
        start = middle - 2
        seconds = [
            (wall.hour - start) % 24 * 3600 + wall.minute * 60 + wall.second
            for wall in walls
            if (wall.hour - start) % 24 < 5
        ]
        return (start + sum(seconds) // len(seconds) // 3600) % 24

    def cycles(self) -> dict[str, int]:
        """Per category the median of all times between two orders of it by one customer, in seconds."""
        gaps: dict[str, list[int]] = {}
        for person in self.people.values():
            for name in {name for order in person.orders for name in order.categories}:
                whens = [o.placed_at for o in person.completed() if name in o.categories]
                gaps.setdefault(name, []).extend(
                    int((later - earlier).total_seconds()) for earlier, later in pairwise(whens)
                )
        return {name: found for name, each in gaps.items() if (found := median(each)) is not None}


def words(value: Any, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A word or a list of them."""
    return (
        default if value is None else tuple(value) if isinstance(value, (list, tuple)) else (value,)
    )


def channels_of(step: Spec) -> tuple[str, ...]:
    return words(step.get("channel"), tuple(name for name in ("email", "sms") if name in step))


def lifetime(spec: Spec) -> timedelta:
    """`expires` of a campaign, `grace` of a care rule."""
    if spec["kind"] == "campaign":
        return lasting(spec["schedule"].get("expires", "3d"))
    return lasting(spec["trigger"].get("grace", "2d"))


def step_id(step: Spec) -> str:
    return str(step.get("id", "main"))


def horizon(policy: Spec) -> timedelta:
    """How far ahead runs are expanded: the longest frequency window, a day at least."""
    return max([lasting(rule["per"]) for rule in policy.get("frequency", [])] + [DAY])
