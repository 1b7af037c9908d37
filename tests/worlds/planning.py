"""Who is due when, and for what reason: the triggers of docs/definitions.md, one customer at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from tests.worlds import calendars
from tests.worlds.calendars import (  # fmt: skip
    DAY,
    WEEKDAYS,
    clock,
    festival_date,
    hours,
    in_days,
    instant,
    kept_on,
    lasting,
    local,
    midnight,
)
from tests.worlds.people import GRADES, Order, Person, Spec, World, words

HELD = ("active", "renewed", "lapsed", "replaced")


@dataclass(frozen=True)
class Due:
    """A message that somebody is due. `width`: it may be so much later, each customer at a place of their own; `until`:
    and must go before this."""

    anchor: str
    at: datetime
    order: Order | None = None
    width: timedelta = timedelta()
    until: datetime | None = None


@dataclass(frozen=True)
class Occurrence:
    """A date that goes to everybody: its text, its wall clock, zone → when."""

    anchor: str
    day: date
    due: dict[str, datetime]
    starts_at: datetime
    ends_at: datetime


def named(trigger: Spec | str) -> tuple[str, Spec]:
    """A trigger's name and its options."""
    if isinstance(trigger, str):
        return trigger, {}
    beside = ("delay", "time", "grace", "offset")
    name = next(key for key in trigger if key not in beside)
    options = trigger[name]
    if name == "event" and isinstance(options, str):
        return options, {}
    return ("event" if name == "event" else name), dict(options)


class Triggers:
    """Those of one rule. `cycles`: the categories' measured cycles."""

    def __init__(self, world: World, spec: Spec, cycles: dict[str, int]) -> None:
        self.world, self.cycles = world, cycles
        self.trigger = spec["trigger"] if isinstance(spec["trigger"], dict) else {}
        self.name, self.options = named(spec["trigger"])

    def due(self, person: Person, around: datetime) -> Iterator[Due]:
        """All that is due about then: whoever asks keeps what lies in their span."""
        if self.name.startswith("order."):
            yield from self._orders(person)
            return
        kinds: dict[str, Callable[[Person, datetime], Iterator[Due]]] = {
            "birthday": self._birthday, "anniversary": self._anniversary, "dormant": self._dormant,
            "replenishment": self._replenishment, "membership.expires": self._expires,
            "membership.changed": self._level, "grade.changed": self._grade, "tag.added": self._tag,
        }  # fmt: skip
        yield from kinds.get(self.name, self._event)(person, around)

    def _after(self, person: Person, moment: datetime) -> datetime:
        """`delay` after what happened; in days it counts local dates."""
        delay, at = self.trigger.get("delay"), self.trigger.get("time")
        if at is None and not in_days(delay):
            return moment + (lasting(delay) if delay else timedelta())
        zone = self.world.home(person)
        wall = local(moment, zone)
        day = wall.date() + (lasting(delay) if delay else timedelta())
        return instant(datetime.combine(day, clock(at) if at else wall.time()), zone)

    def _on(self, person: Person, day: date, offset: int = 0) -> datetime:
        """On a day, so many days before or after it, at `time`."""
        if "offset" in self.trigger or "offset" in self.options:
            offset = int(str(self.trigger.get("offset", self.options.get("offset"))).rstrip("d"))
        at = clock(self.trigger.get("time", "10:00"))
        return instant(datetime.combine(day + offset * DAY, at), self.world.home(person))

    def _orders(self, person: Person) -> Iterator[Due]:
        status = self.name.partition(".")[2]
        for order in person.orders:
            if status == "unpaid":
                if order.status == "placed" and "paid" not in order.times:
                    yield Due(f"order:{order.ref}:unpaid", self._after(person, order.placed_at), order)  # fmt: skip
            elif status == "placed" or status in order.times:
                happened = order.placed_at if status == "placed" else order.times[status]
                yield Due(f"order:{order.ref}:{status}", self._after(person, happened), order)

    def _birthday(self, person: Person, around: datetime) -> Iterator[Due]:
        if person.birthday is None:
            return
        month, day, calendar = person.birthday
        if self.options.get("calendar", calendar) != calendar:
            return
        for year in range(around.year - 1, around.year + 2):
            if calendar == "solar":
                real = kept_on(month, day, year)
            elif year in calendars.LUNAR_YEARS:
                real = calendars.lunar_date(year, month, day)
            else:
                continue
            yield Due(f"birthday:{year}", self._on(person, real))

    def _anniversary(self, person: Person, around: datetime) -> Iterator[Due]:
        of, done = self.options.get("of", "first_order"), person.completed()
        began = person.joined_at if of == "joining" else done[0].placed_at if done else None
        if began is None:
            return
        day = local(began, self.world.home(person)).date()
        for year in range(max(day.year + 1, around.year - 1), around.year + 2):
            yield Due(f"anniversary:{of}:{year}", self._on(person, kept_on(day.month, day.day, year)))  # fmt: skip

    def _dormant(self, person: Person, _around: datetime) -> Iterator[Due]:
        done = person.completed()
        if done:
            after = self.options.get("after") or self.world.policy.get("dormant_after", "180d")
            asleep = local(done[-1].placed_at + lasting(after), self.world.home(person))
            late = asleep.time() > clock(self.trigger.get("time", "10:00"))
            yield Due(f"dormant:{done[-1].ref}", self._on(person, asleep.date() + late * DAY), done[-1])  # fmt: skip

    def _replenishment(self, person: Person, _around: datetime) -> Iterator[Due]:
        wanted = words(self.options.get("category"), tuple(self.cycles))
        factor = Decimal(str(self.options.get("factor", 1)))
        for name in wanted:
            mine = [one for one in person.completed() if name in one.categories]
            if mine and name in self.cycles:
                empty = mine[-1].placed_at + int(self.cycles[name] * factor) * timedelta(seconds=1)
                day = local(empty, self.world.home(person)).date()
                yield Due(f"replenishment:{mine[-1].ref}:{name}", self._on(person, day), mine[-1])

    def _expires(self, person: Person, _around: datetime) -> Iterator[Due]:
        renewed = {card.renews for card in person.cards}
        for card in person.cards:
            fits = card.level in words(self.options.get("level"), (card.level,))
            if fits and card.state in ("active", "lapsed") and card.key not in renewed:
                day = self.world.day(card.expires_at)
                yield Due(f"expiry:{card.key}:{day}", self._on(person, day, -30))

    def _level(self, person: Person, _around: datetime) -> Iterator[Due]:
        held = sorted((one for one in person.cards if one.state in HELD), key=lambda one: (one.starts_at, one.key))  # fmt: skip
        for number, card in enumerate(held):
            before = held[number - 1].level if number else None
            ranks = [self.world.levels.index(name) + 1 if name in self.world.levels else 0 for name in (before, card.level)]  # fmt: skip
            if before != card.level and self._moved(before, card.level, *ranks):
                yield Due(f"level:{card.key}:{card.level}", self._after(person, card.starts_at))

    def _grade(self, person: Person, _around: datetime) -> Iterator[Due]:
        for at, before, after in person.changes:
            ranks = [GRADES.index(name) + 1 if name else 0 for name in (before, after)]
            if self._moved(before, after, *ranks):
                anchor = f"grade:{before or 'none'}>{after or 'none'}:{self.world.day(at)}"
                yield Due(anchor, self._after(person, at))

    def _moved(self, before: str | None, after: str | None, low: int, high: int) -> bool:
        if "from" in self.options and before not in words(self.options["from"]):
            return False
        if "to" in self.options and after not in words(self.options["to"]):
            return False
        direction = self.options.get("direction")
        return direction is None or (high > low if direction == "rose" else high < low)

    def _tag(self, person: Person, _around: datetime) -> Iterator[Due]:
        for (dimension, value), at in person.tags.items():
            if dimension == self.options["dimension"] and value == self.options.get("value", value):
                yield Due(f"tag:{dimension}={value}:{self.world.day(at)}", self._after(person, at))

    def _event(self, person: Person, _around: datetime) -> Iterator[Due]:
        kind = self.options.get("kind", self.name)
        region = self.options.get("region")
        if region and person.province not in words(region["province"]):
            return
        for event in person.events:
            asked = self.options.get("data", {})
            if event.kind == kind and all(_fits(event.data.get(key), how) for key, how in asked.items()):  # fmt: skip
                yield Due(f"event:{event.ref}", self._after(person, event.at))


def _fits(value: object, asked: Spec) -> bool:
    number = value if isinstance(value, int) else None
    return all(
        value == wanted if how == "eq" else number is not None and (number >= wanted if how == "gte" else number <= wanted)
        for how, wanted in asked.items()
    )  # fmt: skip


def reason_stands(
    world: World, name: str, person: Person, anchor: str, order: Order | None
) -> bool:
    """Whether what started a care message has not passed away."""
    done = person.completed()
    if name == "order.unpaid":
        return order is not None and order.status == "placed" and "paid" not in order.times
    if name == "dormant":
        return bool(done) and done[-1] is order
    if name == "replenishment":
        category = anchor.split(":", 2)[2]
        assert order is not None
        return not any(category in one.categories and one.placed_at > order.placed_at for one in done)  # fmt: skip
    if name == "membership.expires":
        key = int(anchor.split(":")[1])
        renewed = {card.renews for card in person.cards}
        return any(card.key == key and card.state in ("active", "lapsed") for card in person.cards) and key not in renewed  # fmt: skip
    if name == "tag.added":
        dimension, _, value = anchor.split(":")[1].partition("=")
        return (dimension, value) in person.tags
    return True


def schedule_of(spec: Spec) -> Spec | None:
    """A campaign's, or that of a care rule about festivals, which goes by each customer's clock."""
    if spec["kind"] == "campaign":
        return dict(spec["schedule"])
    name, options = named(spec["trigger"])
    if name not in ("festival", "solar_term"):
        return None
    given = spec["trigger"] if isinstance(spec["trigger"], dict) else {}
    beside = {key: given[key] for key in ("offset", "time") if key in given}
    return {name: {**options, **beside}, "timezone": "customer", "expires": given.get("grace", "2d")}  # fmt: skip


def occurrences(world: World, schedule: Spec, first: date, last: date) -> Iterator[Occurrence]:
    """In the order of time. Two that fall onto one moment in a zone are one there."""
    before: dict[str, datetime] = {}
    for wall, label in sorted(_walls(schedule, first, last)):
        due = {zone: _moment(world, schedule, wall, zone) for zone in world.zones()}
        once = {zone: at for zone, at in due.items() if before.get(zone) != at}
        before = due
        if once:
            anchor = label.replace("@", _text(world, schedule, wall))
            starts, ends = _edges(schedule, wall.date(), once)
            yield Occurrence(anchor, wall.date(), once, starts, ends)


def _walls(schedule: Spec, first: date, last: date) -> Iterator[tuple[datetime, str]]:
    if "at" in schedule:
        yield datetime.fromisoformat(schedule["at"]).replace(tzinfo=None), "at:@"
    elif "cron" in schedule:
        minute, its_hours, day_of_month, month, weekday = schedule["cron"].split()
        day = first
        while day <= last:
            if month in ("*", str(day.month)) and day_of_month in ("*", str(day.day)) and weekday in ("*", WEEKDAYS[day.weekday()]):  # fmt: skip
                for hour in its_hours.split(","):
                    yield datetime(day.year, day.month, day.day, int(hour), int(minute)), "cron:@"
            day += DAY
    else:
        kind = "festival" if "festival" in schedule else "solar_term"
        options = schedule[kind]
        shift = int(options.get("offset", "0d")[:-1]) * DAY
        for year in range(first.year - 1, last.year + 1):
            day_of = festival_date(options["name"], year)
            if day_of is not None and first <= day_of + shift <= last:
                at = clock(options.get("time", "10:00"))
                yield datetime.combine(day_of + shift, at), f"{kind}:{year}-{options['name']}"


def _moment(world: World, schedule: Spec, wall: datetime, zone: str) -> datetime:
    if "at" in schedule and schedule["at"][-6] in "+-":
        return datetime.fromisoformat(schedule["at"])
    given = schedule.get("timezone")
    return instant(wall, zone if given == "customer" else given or world.zone)


def _text(world: World, schedule: Spec, wall: datetime) -> str:
    """With its offset, except where each customer's own clock is meant."""
    if "at" in schedule and schedule["at"][-6] in "+-":
        return str(schedule["at"])
    if schedule.get("timezone") == "customer":
        return wall.isoformat(timespec="minutes")
    zone = schedule.get("timezone") or world.zone
    offset = instant(wall, zone).astimezone(ZoneInfo(zone)).isoformat()[-6:]
    return wall.isoformat(timespec="minutes") + offset


def _edges(schedule: Spec, day: date, due: dict[str, datetime]) -> tuple[datetime, datetime]:
    """When the first customer is due, and the last, `spread` aside."""
    send_time = schedule.get("send_time", "fixed")
    moments = [*due.values()]
    if send_time == "usual_hour":
        for hour in (0, 23):
            moments += [instant(datetime(day.year, day.month, day.day, hour), zone) for zone in due]
    elif send_time != "fixed":
        start, width = _window(send_time["window"])
        begin = datetime.combine(day, start)
        moments = [instant(begin + gap, zone) for zone in due for gap in (timedelta(), width)]
    return min(moments), max(moments)


def _window(text: str) -> tuple[time, timedelta]:
    start, end = hours(text)
    width = datetime.combine(date.min, end) - datetime.combine(date.min, start)
    return start, width if width > timedelta() else width + DAY


def due_of(world: World, schedule: Spec, when: Occurrence, person: Person) -> Due | None:
    """When one customer is due of an occurrence."""
    zone = world.home(person)
    if zone not in when.due:
        return None
    at, width = when.due[zone], lasting(schedule["spread"]) if "spread" in schedule else timedelta()
    send_time, hour = schedule.get("send_time", "fixed"), world.usual_hour(person)
    if send_time == "usual_hour" and hour is not None:
        at = instant(datetime(when.day.year, when.day.month, when.day.day, hour), zone)
    elif isinstance(send_time, dict):
        start, window = _window(send_time["window"])
        at = instant(datetime.combine(when.day, start), zone)
        width = instant(datetime.combine(when.day, start) + window, zone) - at
    if "finish_by" not in schedule:
        return Due(when.anchor, at, width=width)
    finish = datetime.fromisoformat(schedule["finish_by"])
    if finish.tzinfo is None:
        given = schedule.get("timezone")
        finish = instant(finish, zone if given == "customer" else given or world.zone)
    begin = min(at, when.due[zone])
    return Due(when.anchor, begin, width=finish - begin, until=finish)


def start_of_next_month(moment: datetime, zone: str) -> datetime:
    day = local(moment, zone).date()
    return midnight((day.replace(day=1) + 32 * DAY).replace(day=1), zone)
