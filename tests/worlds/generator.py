"""A seeded random shop: people, a policy, definitions over every trigger. Plain dicts, which are written as YAML."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.worlds.calendars import (  # fmt: skip
    DAY,
    FIXED_FESTIVALS,
    HOUR,
    LUNAR_FESTIVALS,
    LUNAR_YEARS,
    MINUTE,
    SOLAR_TERMS,
    WEEKDAYS,
    festival_date,
    lunar_days,
)
from tests.worlds.chances import (
    CATEGORIES,
    CLASSES,
    KINDS,
    LEVELS,
    LOCAL_TIMES,
    STATUSES,
    TAGS,
    ZONES,
)
from tests.worlds.people import Card, Event, Order, Person, Spec, World
from tests.worlds.policies import Policies


class Generator(Policies):
    """People and definitions."""

    def world(self) -> World:
        levels = LEVELS if self.often(0.5) else ()
        world = World(self.seed, self.start, self.policy(), {}, levels, {})
        for number in range(self.random.randint(5, 15)):
            person = self.person(number)
            world.people[person.ref] = person
        kinds = {"everything": ("campaign", "care", "care"), "caps": ("campaign",), "series": ("campaign", "campaign", "care")}  # fmt: skip
        for number in range(
            self.random.randint(4, 8) if self.theme == "caps" else self.random.randint(3, 6)
        ):
            kind = self.one(*kinds[self.theme])
            world.definitions[f"{kind}-{number}"] = self.definition(kind, levels)
        return world

    # --- people ---------------------------------------------------------------------------------------------------

    def person(self, number: int) -> Person:
        family = self.one("a", "b", number, number, number)
        spared = self.often(0.06)
        name = f"spared{number}" if spared else f"mail-{family}"
        addresses = {"email": f"{name}@{self.one('qq.com', '163.com') if family == number else 'qq.com'}", "sms": f"+861380013{1000 + number}"}  # fmt: skip
        if spared:
            addresses = {"email": f"own{number % 3}@qq.com"}
        elif self.often(0.1):
            del addresses[self.one("email", "sms")]
        said = {"email": True, "sms": True} if family != number or self.often(0.8) else {one: self.often(0.5) for one in ("email", "sms") if self.often(0.5)}  # fmt: skip
        person = Person(
            f"c{number:02}", self.one(*ZONES), self.one(None, None, "广东", "上海", "香港"), addresses,
            self.near(-10, 100) if self.often(0.1) else None,
            self.birthday() if self.often(0.7) else None, self.one(None, self.long_ago()),
            self.often(0.03), said, self.one(None, 1984, 1992),
        )  # fmt: skip
        person.orders = [self.old_order(f"{person.ref}-{n}", n) for n in range(self.one(0, 1, 1, 2, 3, 6))]  # fmt: skip
        person.tags = {tag: self.near(-100, -1) for tag in self.some(TAGS) if self.often(0.5)}
        person.events = [self.event(f"{person.ref}-e{n}", self.near(-60, -1)) for n in range(self.one(0, 0, 1))]  # fmt: skip
        person.cards = self.cards(number)
        if self.often(0.2):
            before, after = self.random.sample((None, "B", "S", "G", "P"), 2)
            person.changes.append((self.near(-100, -1), before, after))
        return person

    def long_ago(self) -> datetime:
        """Some years ago to the day, nearly; also on 29 February."""
        if self.start.month == 2 and self.often(0.4):
            return datetime(2024, 2, 29, self.random.randint(0, 23), 30, tzinfo=UTC)
        return _years_before(self.near(-48, 240), self.one(1, 2, 3))

    def birthday(self) -> tuple[int, int, str]:
        day = (self.start + self.random.randint(-3, 8) * DAY).date()
        if self.often(0.5):
            return (2, 29, "solar") if day.month == 2 and self.often(0.4) else (day.month, day.day, "solar")  # fmt: skip
        for year in LUNAR_YEARS:
            for real, month, number, _, last in lunar_days(year):
                if real == day:
                    return month, 30 if last and self.often(0.5) else number, "lunar"
        raise AssertionError(day)

    def old_order(self, ref: str, number: int) -> Order:
        age = (
            self.one(30, 30, 90, 7, 20, 365, 60) * DAY + self.random.randint(-96, 96) * 30 * MINUTE
        )
        at = self.start - max(age, 2 * HOUR) - number * timedelta(seconds=1)
        if self.often(0.1):  # on some anniversary
            at = _years_before(self.near(-48, 240), self.one(1, 2)) - number * timedelta(seconds=1)
        if self.often(0.3):  # not long ago
            at = self.near(-200, -1) - number * timedelta(seconds=1)
        return self.order(ref, at, self.one(*STATUSES, "received", "received", "paid"), self.start)

    def order(self, ref: str, at: datetime, status: str, until: datetime) -> Order:
        """`times` as far as they are told; later than the placing, up to `until`."""
        order = Order(ref, at, "placed", self.one(99, 300, 999, 2500), tuple(self.some(CATEGORIES)) if self.often(0.8) else ())  # fmt: skip
        self.move(order, status, until)
        return order

    def move(self, order: Order, status: str, until: datetime) -> None:
        """A status whose own moment is not told happened when it was placed, unless it is known already."""
        order.status = status
        if status in ("placed", "closed"):
            return
        steps = int((until - order.placed_at) / (30 * MINUTE))
        if self.often(0.8) and steps > 0:
            order.times[status] = (
                order.placed_at + self.random.randint(0, min(steps, 300)) * 30 * MINUTE
            )
            if self.often(0.5):
                order.times[status] = until - self.random.randint(0, min(steps, 60)) * 30 * MINUTE
        else:
            order.times.setdefault(status, order.placed_at)

    def event(self, ref: str, at: datetime) -> Event:
        return Event(ref, self.one(*KINDS), at, {"state": self.one("damp", "dry"), "score": self.random.randint(1, 5)})  # fmt: skip

    def cards(self, number: int) -> list[Card]:
        """`key` is the database's: it is set when they are laid down."""
        if self.often(0.5):
            return []
        zone_midnight = datetime(self.start.year, self.start.month, self.start.day, 16, tzinfo=UTC)
        ends = zone_midnight + self.one(-4, -1, 0, 1, 2, 28, 29, 30, 31, 33, 200) * DAY
        first = Card(-number, self.one(*LEVELS), "active", ends - 365 * DAY, ends)
        if ends > self.start and self.often(0.3):  # a card of another level took its place
            first.state, first.expires_at = "replaced", self.near(-100, -1)
            return [first, Card(-number - 100, self.one(*LEVELS), "active", first.expires_at, first.expires_at + 365 * DAY)]  # fmt: skip
        if ends < self.start:
            first.state = "lapsed"
        return [first]

    # --- definitions ----------------------------------------------------------------------------------------------

    def definition(self, kind: str, levels: tuple[str, ...]) -> Spec:
        spec: Spec = {"kind": kind, "class": self.one(*CLASSES, "marketing"), "priority": self.one(10, 50, 50, 90)}  # fmt: skip
        if kind == "campaign":
            spec["schedule"] = self.schedule()
            spec["audience"] = self.audience()
            if self.often(0.15):
                spec["audience"]["holdout"] = "30%"
        else:
            spec["trigger"] = self.trigger(levels)
            if self.often(0.3):
                spec["audience"] = self.audience()
            if self.often(0.35):
                spec["again"] = self.one("1d", "3d", "12h", "30d")
            if self.often(0.3):
                spec["still"] = self.still(spec["trigger"])
        if self.often(0.15):
            spec["budget"] = {"amount": self.one(0.05, 0.2, 1), "currency": "CNY", **({"per": "month"} if self.often(0.5) else {})}  # fmt: skip
        if self.often(0.15):
            spec["on_uncertain"] = "resend"
        spec["steps"] = self.steps()
        if len(spec["steps"]) > 1 and self.often(0.6):
            spec["stop_on"] = self.some(("ordered", "unsubscribed", "bounced", "clicked", "complained"))  # fmt: skip
        return spec

    def steps(self) -> list[Spec]:
        first = {"id": "s0", **self.content()}
        if self.often(0.2) and set(first) == {"id", "email"}:
            first["variants"] = [{"id": "a", "share": "50%"}, {"id": "b", "share": "50%", "email": {"subject": "ho"}}]  # fmt: skip
        steps = [first]
        for place in range(
            1, self.one(2, 3, 4) if self.theme == "series" else self.one(1, 1, 1, 2, 3)
        ):
            after = {"step": self.one(*steps)["id"], "wait": self.one("1h", "6h", "1d", "2d"), **self.with_some(0.3, on=lambda: "any")}  # fmt: skip
            after |= self.with_some(0.3, unless=lambda: self.some(("clicked", "ordered", "opened", "bounced")))  # fmt: skip
            after |= self.with_some(0.15, if_=lambda: self.some(("clicked", "ordered")))
            steps.append({"id": f"s{place}", "after": after, **self.content()})
        return steps

    def content(self) -> Spec:
        email: Spec = {"email": {"subject": "hi", "template": "hello"}}
        if self.often(0.2):
            email["email"]["from"] = "店铺 <news@shop.example>"
        sms: Spec = {"sms": {"template": "hello", "max_parts": self.one(1, 2)}}
        both = {"channel": self.one(["email", "sms"], ["sms", "email"]), **email, **sms}
        return dict(self.one(email, email, sms, both))

    def schedule(self) -> Spec:
        found: Spec = {"expires": self.one("6h", "24h", "3d", "3d")}
        kind = self.one("at", "at", "at", "cron", "festival", "solar_term")
        at = self.near(-12, 100)
        if self.theme != "everything":  # soon, and close to one another
            kind, at = self.one("at", "at", "at", "cron"), self.near(-12, 40)
        if kind == "at":
            found["at"] = at.strftime("%Y-%m-%dT%H:%M") + self.one("", "", "+08:00")
        elif kind == "cron":
            day, weekday = self.one(
                ("*", "*"), ("*", "*"), ("*", WEEKDAYS[at.weekday()]), (str(at.day), "*")
            )
            found["cron"] = f"{self.one(0, 30)} {self.one('2', '2,3', '10', '8,18')} {day} * {weekday}"  # fmt: skip
        else:
            found[kind] = {"name": self.festival(kind), **self.with_some(0.4, offset=lambda: self.one("-2d", "-1d", "1d"), time=lambda: self.one(*LOCAL_TIMES))}  # fmt: skip
        if "+" not in found.get("at", ""):
            found |= self.with_some(0.6, timezone=lambda: self.one("customer", "customer", "Europe/Berlin"))  # fmt: skip
            if self.often(0.4):
                found["send_time"] = self.one("usual_hour", {"window": "04:00-06:00"}, {"window": "23:00-01:00"})  # fmt: skip
        if not isinstance(found.get("send_time"), dict) and self.often(0.3):
            found["spread"] = self.one("30m", "4h")
        if kind == "at" and self.often(0.2):
            found["finish_by"] = (at + self.one(6, 24, 40) * HOUR).strftime("%Y-%m-%dT%H:%M") + found["at"][16:]  # fmt: skip
        return found

    def festival(self, kind: str) -> str:
        """One that comes soon, mostly."""
        names = tuple(SOLAR_TERMS) if kind == "solar_term" else (*LUNAR_FESTIVALS, *FIXED_FESTIVALS)
        year = self.start.year
        soon = [n for n in names if any(d and abs((d - self.start.date()).days) < 9 for d in (festival_date(n, year), festival_date(n, year - 1) if year > 2025 else None))]  # fmt: skip
        return str(self.one(*(soon or names)))

    def trigger(self, levels: tuple[str, ...]) -> Spec:
        kind = self.one(
            "order", "order", "order.unpaid", "birthday", "anniversary", "festival", "solar_term",
            "membership.expires", "membership.changed", "grade.changed", "dormant", "replenishment", "tag.added",
            "event",
        )  # fmt: skip
        found: Spec = {"grace": self.one("6h", "2d", "5d")}
        if kind in ("order", "order.unpaid"):
            found["event"] = kind if kind == "order.unpaid" else f"order.{self.one(*STATUSES[:6])}"
        elif kind == "event":
            found["event"] = self.pushed()
        else:
            found[kind] = self.options(kind, levels)
        if kind in ("dormant", "replenishment"):
            return found | self.with_some(0.6, time=lambda: self.one(*LOCAL_TIMES))
        if kind in ("birthday", "anniversary", "festival", "solar_term", "membership.expires"):
            beside = self.with_some(0.5, time=lambda: self.one(*LOCAL_TIMES), offset=lambda: self.one("-3d", "-1d", "2d"))  # fmt: skip
            return found | beside
        delay = self.one(None, "30m", "5h", "1d", "2d", "7d")
        if delay:
            found["delay"] = delay
        if (delay is None or delay.endswith("d")) and self.often(0.6):
            found["time"] = self.one(*LOCAL_TIMES)
        return found

    def pushed(self) -> Any:
        kind = self.one(*KINDS)
        more = self.with_some(0.4, data=lambda: self.one({"state": {"eq": "damp"}}, {"score": {"gte": 3}}), region=lambda: {"province": "广东"})  # fmt: skip
        return {"kind": kind, **more} if more else kind

    def options(self, kind: str, levels: tuple[str, ...]) -> Spec:
        names: tuple[Any, ...] = LEVELS if kind.startswith("m") else ("P", "G", "S", "B")
        has_order = kind.startswith("g") or bool(levels)  # of what rises and falls

        def change() -> Spec:
            found = self.with_some(0.3, from_=lambda: self.some(names), to=lambda: self.some(names))
            return found | self.with_some(
                0.4 * has_order, direction=lambda: self.one("rose", "fell")
            )

        made: dict[str, Callable[[], Spec]] = {
            "birthday": lambda: self.with_some(0.4, calendar=lambda: self.one("solar", "lunar")),
            "anniversary": lambda: self.with_some(0.6, of=lambda: self.one("joining", "first_order")),
            "festival": lambda: {"name": self.festival(kind)},
            "solar_term": lambda: {"name": self.festival(kind)},
            "membership.expires": lambda: self.with_some(0.3, level=lambda: self.one(*LEVELS)),
            "membership.changed": change,
            "grade.changed": change,
            "dormant": lambda: self.with_some(0.8, after=lambda: self.one("7d", "30d", "90d", "20d")),
            "replenishment": lambda: self.with_some(0.5, category=lambda: self.one(*CATEGORIES), factor=lambda: self.one(0.9, 0.5, 2)),
            "tag.added": lambda: {"dimension": "temper", **self.with_some(0.5, value=lambda: "picky")},
        }  # fmt: skip
        return made[kind]()

    def audience(self) -> Spec:
        """A tree of conditions, two deep."""
        if self.often({"everything": 0.55, "caps": 0.9, "series": 0.8}[self.theme]):
            return {"all": []}
        kind = self.one("all", "all", "any", "not")
        leaves = [self.condition() for _ in range(self.one(1, 1, 2))]
        return {kind: leaves[0] if kind == "not" else leaves}

    def condition(self) -> Spec:
        tag = self.one(*TAGS)
        return dict(
            self.one(
                {"orders": {"gte": self.one(1, 2)}},
                {"orders": {"lte": 2, "within": self.one("30d", "90d")}},
                {"last_order_at": {self.one("older_than", "within"): self.one("7d", "30d", "90d")}},
                {"joined_at": {"older_than": "365d"}},
                {"dormant": {"after": self.one("30d", "90d")}},
                {"grade": {self.one("in", "not_in"): self.some(("P", "G", "S", "B"))}},
                {"tag": {"dimension": tag[0], "value": tag[1]}},
                {"membership": {"level": self.one(*LEVELS)}},
                {"province": {"in": ["广东", "香港"]}},
                {"event": {"kind": self.one(*KINDS), "within": self.one("2d", "30d")}},
            )
        )

    def still(self, trigger: Spec) -> Spec:
        of_order = str(trigger.get("event", "")).startswith("order.") or "dormant" in trigger or "replenishment" in trigger  # fmt: skip
        if of_order and self.often(0.7):
            asked = {"anchor": {"status": self.some(STATUSES, 3)}}
            return {"not": asked} if self.often(0.6) else asked
        return self.audience()


def _years_before(moment: datetime, years: int) -> datetime:
    day = 28 if (moment.month, moment.day) == (2, 29) else moment.day
    return moment.replace(year=moment.year - years, day=day)
