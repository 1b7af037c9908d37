"""A shop where everything is scarce: people of every clock, families, quiet hours, caps per person and per shop; and
what broke them, counted from the rows that were let through, by nothing but the rules' wording.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from random import Random
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, insert, select

from engine.clock import zone_names
from engine.settings import Settings, SmsSettings, SmtpSettings
from engine.store.tables import customers, deliveries
from tests.shop import ADDRESS_KEY, LONG_AGO

START = datetime(2026, 10, 23, 16, tzinfo=UTC)
"""Midnight in Shanghai. Europe leaves summer time two nights later, America in the night after eight days."""
SHOP = "Asia/Shanghai"
MANY = 1_000
FEW_ZONES = ("America/New_York", "Europe/Berlin")
SETTINGS = Settings(
    secret_key="test-secret",
    address_key=ADDRESS_KEY,
    smtp=SmtpSettings(host="127.0.0.1", port=25, sender="店铺 <hi@shop.example>"),
    sms=SmsSettings(gateway="development", url="http://127.0.0.1:9/sms"),
)
MARKETING, CARE = frozenset({"marketing"}), frozenset({"marketing", "care"})
QUIET = {"email": (time(22), time(7)), "sms": (time(20), time(8))}


@dataclass(frozen=True)
class Cap:
    """At most so many `per` so much: in days on a calendar where `days`, else in a window that rolls."""

    classes: frozenset[str]
    maximum: int
    per: timedelta
    days: bool
    channel: str | None = None

    def counts(self, row: Gone) -> bool:
        return row.message_class in self.classes and self.channel in (None, row.channel)


FREQUENCY = (
    Cap(MARKETING, 3, timedelta(days=4), days=True),
    Cap(CARE, 2, timedelta(hours=20), days=False),
    Cap(CARE, 1, timedelta(days=1), days=True, channel="sms"),
)


def volumes(people: int) -> Sequence[Cap]:
    return (
        Cap(CARE, people * 3 // 10, timedelta(days=1), days=True, channel="email"),
        Cap(CARE, people // 12, timedelta(hours=6), days=False, channel="sms"),
    )


def files(people: int) -> Mapping[str, str]:
    """Four campaigns a day, each at everybody's own hour, two of them in the night, with a fourth that may also be a
    text message."""
    daily, six_hourly = volumes(people)
    policy = f"""
timezone: {SHOP}
consent: {{unknown: {{email: {{marketing: true}}, sms: {{marketing: true, care: true}}}}}}
quiet_hours: {{email: "22:00-07:00", sms: "20:00-08:00"}}
frequency:
  - {{class: marketing, max: 3, per: 4d}}
  - {{class: [marketing, care], max: 2, per: 20h}}
  - {{class: [marketing, care], channel: sms, max: 1, per: 1d}}
volume:
  - {{channel: email, max: {daily.maximum}, per: 1d}}
  - {{channel: sms, max: {six_hourly.maximum}, per: 6h}}
"""
    mail, text = "email: {subject: 你好, template: hello}", "sms: {template: hello, max_parts: 1}"
    kinds = (
        ("dawn", "marketing", 20, "30 2", mail),
        ("morning", "care", 60, "15 9", mail),
        ("evening", "marketing", 80, "45 19", f"channel: [sms, email], {mail}, {text}"),
        ("night", "marketing", 20, "0 23", text),
    )
    return {"policy.yaml": policy} | {
        f"campaigns/{name}.yaml": f"""
kind: campaign
class: {message_class}
priority: {priority}
schedule: {{cron: "{hour} * * *", timezone: customer, expires: 30h}}
audience: {{all: []}}
steps: [{{id: main, {content}}}]
"""
        for name, message_class, priority, hour, content in kinds
    }


def add_people(connection: Connection, count: int, random: Random) -> None:
    """People of every zone and of none, of a few where there are few people; one of four shares both addresses with
    another."""
    zones = sorted(zone_names()) if count >= MANY else FEW_ZONES
    rows = []
    for number in range(count):
        home = number - 1 if number % 4 == 3 else number
        rows.append(
            {
                "ref": f"{number:06}", "name": f"客人{number}", "attributes": {},
                "email": f"c{home}@example.com", "email_hash": f"e-{home}",
                "email_domain": "example.com", "phone": f"+861{home:010}",
                "phone_hash": f"p-{home}", "created_at": LONG_AGO, "updated_at": LONG_AGO,
                "timezone": random.choice((None, SHOP, *random.sample(zones, 2))),
            }
        )  # fmt: skip
    connection.execute(insert(customers), rows)


@dataclass(frozen=True, slots=True)
class Gone:
    """A message that was let through."""

    customer: int
    zone: str
    address: str
    message_class: str
    channel: str
    admitted_at: datetime
    send_at: datetime


def gone(connection: Connection) -> list[Gone]:
    rows = connection.execute(
        select(
            deliveries.c.customer_id, customers.c.timezone, deliveries.c.address_hash,
            deliveries.c["class"], deliveries.c.channel, deliveries.c.admitted_at,
            deliveries.c.send_at,
        )
        .join(customers, customers.c.id == deliveries.c.customer_id)
        .where(deliveries.c.admitted_at.is_not(None))
        .order_by(deliveries.c.admitted_at)
    )  # fmt: skip
    return [Gone(number, zone or SHOP, *rest) for number, zone, *rest in rows.all()]


def violations(rows: Sequence[Gone], people: int) -> list[str]:
    """A sentence for each message that should not have gone when it did."""
    found = [f"quiet: {row}" for row in rows if _is_quiet(row, row.send_at)]
    found += [f"quiet when admitted: {row}" for row in rows if _is_quiet(row, row.admitted_at)]
    for cap in FREQUENCY:
        counted = [row for row in rows if cap.counts(row)]
        for group in (*_groups(counted, _customer), *_groups(counted, _address)):
            found += _over(cap, group)
    for cap in volumes(people):
        counted = [row for row in rows if cap.counts(row)]
        if cap.days:
            found += _over_days(cap, counted, SHOP, _sent)
        else:
            found += _over_rolling(cap, sorted(row.send_at for row in counted))
    return found


def _is_quiet(row: Gone, moment: datetime) -> bool:
    start, end = QUIET[row.channel]
    reads = moment.astimezone(ZoneInfo(row.zone)).time()
    return reads >= start or reads < end


def _groups(rows: Sequence[Gone], key: Callable[[Gone], object]) -> Iterator[list[Gone]]:
    groups = defaultdict[object, list[Gone]](list)
    for row in rows:
        groups[key(row)].append(row)
    yield from groups.values()


def _over(cap: Cap, group: list[Gone]) -> Iterator[str]:
    if len(group) <= cap.maximum:
        return
    if not cap.days:
        yield from _over_rolling(cap, [row.admitted_at for row in group])
        return
    for zone in {row.zone for row in group}:
        yield from _over_days(cap, group, zone, _admitted)


def _over_rolling(cap: Cap, moments: Sequence[datetime]) -> Iterator[str]:
    for place, moment in enumerate(moments):
        count = place + 1 - bisect_right(moments, moment - cap.per)
        if count > cap.maximum:
            yield f"{count} within {cap} until {moment}"


def _over_days(
    cap: Cap, group: Sequence[Gone], zone: str, when: Callable[[Gone], datetime]
) -> Iterator[str]:
    """On the calendar of this zone, of those windows that hold a message to somebody who lives by it."""
    days = sorted(_ordinal(when(row), zone) for row in group)
    for own in {_ordinal(when(row), zone) for row in group if zone in (row.zone, SHOP)}:
        for first in range(own - cap.per.days + 1, own + 1):
            count = bisect_right(days, first + cap.per.days - 1) - bisect_right(days, first - 1)
            if count > cap.maximum:
                yield f"{count} within {cap} from day {first} in {zone}"


@lru_cache(maxsize=1_000_000)
def _ordinal(moment: datetime, zone: str) -> int:
    return moment.astimezone(ZoneInfo(zone)).toordinal()


def _customer(row: Gone) -> object:
    return row.customer


def _address(row: Gone) -> object:
    return row.address


def _admitted(row: Gone) -> datetime:
    return row.admitted_at


def _sent(row: Gone) -> datetime:
    return row.send_at
