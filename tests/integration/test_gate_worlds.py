"""Random small worlds: the gate, in sets, against an evaluator that knows nothing but the rules' wording.

Both must decide alike; and at the end no cap may be broken, which is counted without either.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete, update

from engine.definitions.campaign import Budget, Channel, MessageClass
from engine.definitions.policy import (
    BudgetRule,
    FrequencyRule,
    Override,
    Policy,
    QuietDays,
    VolumeRule,
    WarmUp,
)
from engine.gate.candidates import load_candidates
from engine.gate.decision import Decision, Defer, Send
from engine.gate.gate import decide
from engine.gate.traffic import Traffic
from engine.store.session import Store
from engine.store.tables import contacts, customers, deliveries, rate_states, runs
from tests.gate_reference import (
    COMMITTED,
    DAY,
    MINUTE,
    Person,
    Row,
    World,
    bound,
    counted_in,
    maximum_at,
    most_at,
    reference,
    stamps,
    zone_of,
)
from tests.gate_world import (
    FakeCatalog,
    add_contact,
    add_customer,
    add_delivery,
    add_run,
    budget,
    campaign,
    cap,
    monthly,
    override,
    policy,
    quiet,
    quiet_days,
    volume,
)

WORLDS = int(os.environ.get("YANSHU_TEST_WORLDS", "120"))
STARTS = (
    datetime(2026, 10, 24, 12, 0, tzinfo=UTC),  # Berlin leaves summer time that night
    datetime(2026, 10, 31, 6, 0, tzinfo=UTC),  # the month ends, and New York follows
)
ZONES = (None, "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Mars/Olympus")
CLASSES: tuple[MessageClass, ...] = ("marketing", "care", "transactional")
CHANNELS: tuple[Channel, ...] = ("email", "sms")
HOUR = timedelta(hours=1)
CHOICES: tuple[tuple[Channel, ...], ...] = (("email",), ("sms",), ("sms", "email"))
Word = TypeVar("Word", bound=str)


def random_policy(random: Random, start: datetime) -> Policy:
    def some(values: tuple[Word, ...]) -> tuple[Word, ...]:
        return tuple(random.sample(values, random.randint(0, 2)))

    return policy(
        frequency=tuple(
            cap(
                random.randint(1, 3),
                random.choice(("90m", "5h", "24h", "1d", "2d", "4d")),
                classes=some(CLASSES),
                channels=some(CHANNELS)[:1],
                overflow=random.choice((None, None, None, "defer", "skip")),
            )
            for _ in range(random.randint(0, 3))
        ),
        volume=tuple(
            volume(
                random.randint(1, 12),
                random.choice(("1s", "5s", "1m", "2h", "1d", "2d")),
                classes=some(CLASSES),
                domain=random.choice((None, None, "qq.com")),
                overflow=random.choice((None, None, None, "defer", "skip")),
            )
            for _ in range(random.choice((0, 0, 1, 2)))
        )
        + tuple(_warm_ups(random)),
        quiet_hours=tuple(
            quiet(channel, random.choice(("20:00-08:00", "22:30-02:30", "12:00-14:00")))
            for channel in CHANNELS
            if random.random() < 0.4
        ),
        overflow=random.choice(("defer", "defer", "defer", "skip")),
        quiet_days=tuple(_quiet_days(random) for _ in range(random.choice((0, 0, 1, 2)))),
        calendar=tuple(_calendar(random, start)),
        budget=tuple(_budgets(random)),
        never_capped=frozenset({"spared@qq.com"}),
        timezone=random.choice(("Asia/Shanghai", "Europe/Berlin")),
    )


def _warm_ups(random: Random) -> Iterator[VolumeRule]:
    if random.random() < 0.3:
        ramp = WarmUp(random.randint(1, 3), random.randint(1, 2))
        yield volume(random.randint(4, 9), "1d", warm_up=ramp, classes=("marketing", "care"))


def _budgets(random: Random) -> Iterator[BudgetRule]:
    if random.random() < 0.3:
        yield monthly(
            random.choice((60_000, 500_000, 1_000_000)),
            classes=random.choice((("marketing",), ("marketing", "care"), CLASSES)),
            channels=random.choice(((), ("email",), ("sms",))),
            overflow=random.choice((None, None, "defer", "skip")),
        )


def _quiet_days(random: Random) -> QuietDays:
    return quiet_days(
        *random.sample(range(7), random.randint(1, 3)),
        classes=random.choice((("marketing",), ("care",), ("marketing", "care"))),
        channels=random.choice(((), ("email",), ("sms",))),
    )


def _calendar(random: Random, start: datetime) -> Iterator[Override]:
    """Exceptions that follow one another, at times without a day between."""
    day = start.date() - timedelta(days=random.randint(0, 2))
    for number in range(random.choice((0, 0, 1, 2))):
        last = day + timedelta(days=random.randint(0, 2))
        windows = random.choice(("23:00-08:00", "18:00-06:00", "00:00-01:00"))
        yield override(
            f"exception {number}",
            day,
            last,
            quiet_hours=tuple(quiet(c, windows) for c in CHANNELS if random.random() < 0.5),
            quiet_days=random.choice((None, None, (), (_quiet_days(random),))),
            frequency_factor=random.choice((Decimal(1), Decimal(2), Decimal("1.5"), Decimal(1))),
            volume_factor=random.choice((Decimal(1), Decimal(2), Decimal(1))),
        )
        day = last + timedelta(days=random.randint(1, 2))


def _own_budget(random: Random) -> Budget | None:
    if random.random() < 0.8:
        return None
    return budget(random.choice((60_000, 1_000_000)), monthly=random.random() < 0.5)


def random_world(
    random: Random, connection: Connection, start: datetime
) -> tuple[World, FakeCatalog]:
    for table in (deliveries, contacts, customers, runs, rate_states):
        connection.execute(delete(table))
    rules = random_policy(random, start)
    world = World(rules, list(_people(random, connection)))
    catalog = FakeCatalog(rules)
    for number in range(4):
        made = campaign(
            f"c{number}",
            message_class=random.choice(CLASSES),
            priority=random.choice((10, 10, 50, 90)),
            channels=random.choice(CHOICES),
            budget=_own_budget(random),
        )
        world.definitions[made.id] = made
        catalog.add(made)
    run = add_run(connection)
    for _ in range(random.randint(0, 12)):
        _add_history(random, world, connection, run, start)
    for _ in range(random.randint(1, 25)):
        _add_open(random, world, connection, run, start)
    return world, catalog


def _people(random: Random, connection: Connection) -> Iterator[Person]:
    for number in range(random.randint(1, 4)):
        family = random.choice(("a", "b", str(number)))
        spared = random.random() < 0.1
        email, phone = ("spared" if spared else f"mail-{family}"), f"phone-{family}"
        domain = random.choice(("qq.com", "163.com"))
        addresses: dict[Channel, str] = {
            "email": f"e-{email}",
            "sms": f"p-{phone}{'-spared' if spared else ''}",
        }
        if random.random() < 0.15:
            del addresses[random.choice(CHANNELS)]
        if spared:
            addresses.pop("sms", None)
            addresses["email"] = f"e-spared-{number}"
        zone = random.choice(ZONES)
        values = {
            "email": ("spared@qq.com" if spared else email) if "email" in addresses else None,
            "email_hash": addresses.get("email"),
            "email_domain": domain if "email" in addresses else None,
            "phone": phone if "sms" in addresses else None,
            "phone_hash": addresses.get("sms"),
            "timezone": zone,
        }
        yield Person(add_customer(connection, **values), zone, addresses, domain, spared)


def _grid(random: Random, start: datetime, low: int, high: int) -> datetime:
    """A moment so many half-hours from the start: a coarse grid, so that edges are met exactly."""
    return start + random.randint(low, high) * 30 * MINUTE


def _add_history(
    random: Random, world: World, connection: Connection, run: int, start: datetime
) -> None:
    person = random.choice(world.people)
    at = _grid(random, start, -240, -1)
    if random.random() < 0.3:
        channel, name = random.choice(CHANNELS), random.choice(CLASSES)
        if any(o.first == at and o.person is person for o in world.others):
            return
        add_contact(connection, person.number, at, channel=channel, **{"class": name})
        world.others.append(Row(0, person, name, (channel,), "sent", 0, at, at))
        return
    made = random.choice(list(world.definitions.values()))
    channel = random.choice(made.steps[0].channels)
    owner = person if random.random() < 0.8 else random.choice(world.people)  # it has moved since
    address = owner.addresses.get(channel, "e-formerly")
    state = random.choice((*COMMITTED, "failed"))
    number = add_delivery(
        connection, run, person.number, made, state=state, admitted_at=at, send_at=at,
        channel=channel, address_hash=address,
        email_domain=person.domain if channel == "email" else None,
    )  # fmt: skip
    world.rows[number] = Row(
        number, person, made.message_class, (channel,), state, made.priority, at, at, made.id, at, at,
        address,
    )  # fmt: skip


def _add_open(
    random: Random, world: World, connection: Connection, run: int, start: datetime
) -> None:
    person = random.choice(world.people)
    made = random.choice(list(world.definitions.values()))
    state = random.choice(("planned", "planned", "planned", "planned", "waiting"))
    first = _grid(random, start, -6, 60)
    last = first + random.choice((30 * MINUTE, 3 * HOUR, DAY, 3 * DAY))
    index = random.choice((0, 0, 0, 1)) if len(made.steps[0].channels) > 1 else 0
    number = add_delivery(
        connection, run, person.number, made, state=state, due_at=first, next_at=first,
        not_after=last, channel_index=index,
    )  # fmt: skip
    channels = made.steps[0].channels[index:]
    world.rows[number] = Row(
        number, person, made.message_class, channels, state, made.priority, first, last, made.id
    )


def agree(expected: tuple[str, Any], decision: Decision, row: Row, now: datetime) -> None:
    kind, detail = expected
    if isinstance(decision, Send):
        assert kind == "send", (expected, decision)
        assert (decision.channel, decision.send_at) == detail
        return
    if isinstance(decision, Defer):
        assert decision.until > now, (expected, decision)
    reason = decision.because.reason
    if kind == "wait":
        assert reason in ("rate", "volume"), (expected, decision)
        return
    if kind == "quiet ahead":
        assert reason.startswith("quiet"), (expected, decision)
        return
    verdict = "defer" if isinstance(decision, Defer) else "skip"
    assert f"{verdict} {reason}" == kind, (expected, decision)
    if detail is not None:
        assert isinstance(decision, Defer)
        assert decision.until == detail, (expected, decision)


def apply(world: World, row: Row, decision: Decision, now: datetime) -> dict[str, Any]:
    """Enter a decision into the world; what is to be written to the row."""
    if isinstance(decision, Send):
        row.state, row.admitted_at, row.send_at = "queued", now, decision.send_at
        row.first = row.last = now
        row.channels, row.address, row.by_gate = (decision.channel,), decision.address_hash, True
        shop = ZoneInfo(world.policy.timezone)
        for rule in world.policy.volume:
            if bound(rule, row.message_class, decision.channel, row.person.domain):
                world.begun.setdefault(rule, decision.send_at.astimezone(shop).date())
        return {
            "state": "queued", "admitted_at": now, "send_at": decision.send_at,
            "channel": decision.channel, "address_hash": decision.address_hash,
            "email_domain": decision.email_domain,
        }  # fmt: skip
    if isinstance(decision, Defer):
        row.first = decision.until
        return {"next_at": decision.until}
    row.state = "skipped"
    return {"state": "skipped"}


def step(world: World, catalog: FakeCatalog, connection: Connection, now: datetime) -> int:
    """One look at what is due: the gate decides the batch, the reference each of it in turn."""
    due = [row.number for row in world.rows.values() if row.state == "planned" and row.first <= now]
    candidates = load_candidates(connection, due)
    traffic = Traffic()
    decided = decide(connection, catalog, candidates, now, traffic=traffic)
    traffic.remember(connection, now)
    for candidate, decision in decided:
        row = world.rows[candidate.id]
        agree(reference(world, row, now), decision, row, now)
        values = apply(world, row, decision, now)
        connection.execute(update(deliveries).where(deliveries.c.id == row.number).values(**values))
    return len(decided)


def no_cap_is_broken(world: World) -> None:
    """Count each window that begins or ends with something that the gate let through."""
    for rule in world.policy.frequency:
        counted = [row for row in world.all if row.committed and counted_in(rule, row)]
        for row in counted:
            if row.by_gate and not row.person.spared:
                assert row.address is not None
                mine = [other for other in counted if other.person is row.person]
                there = [other for other in counted if other.goes_to(row.address)]
                for group in (mine, there):
                    _holds(world, rule, row, group)
    for limit in world.policy.volume:
        found = stamps(world, limit, spared=False)
        if any(row.by_gate for row in world.rows.values()):
            _volume_holds(world, limit, found)


def _holds(world: World, rule: FrequencyRule, row: Row, group: list[Row]) -> None:
    zone = zone_of(world, row.person.zone)
    if world.policy.calendar:  # what came later may have come under a wider maximum
        group = [other for other in group if other.first <= row.first]
    if rule.per.is_days:
        day = row.first.astimezone(zone).date()
        days = [other.first.astimezone(zone).date() for other in group]
        firsts = [day - timedelta(days=back) for back in range(rule.per.amount)]
        fullest = max(
            sum(first <= one < first + timedelta(days=rule.per.amount) for one in days)
            for first in firsts
        )
    else:
        starts = [
            other.first
            for other in group
            if timedelta() <= row.first - other.first < rule.per.delta
        ]
        fullest = max(
            sum(start <= other.first < start + rule.per.delta for other in group)
            for start in starts
        )
    assert fullest <= maximum_at(world, rule, row.first), (rule, row)


def _volume_holds(world: World, rule: VolumeRule, found: list[datetime]) -> None:
    gated = {row.send_at for row in world.rows.values() if row.by_gate and row.send_at is not None}
    zone = ZoneInfo(world.policy.timezone)
    for stamp in gated & set(found):
        if rule.per.is_days:
            today = stamp.astimezone(zone).date()
            days = [one.astimezone(zone).date() for one in found]
            span = timedelta(days=rule.per.amount)
            counts = [sum(today - span < one <= today for one in days)]
        else:
            counts = [sum(stamp - rule.per.delta < one <= stamp for one in found)]
        assert max(counts) <= most_at(world, rule, stamp), (rule, stamp)


def test_in_random_worlds_the_gate_decides_as_the_rules_are_worded(store: Store) -> None:
    decisions = 0
    first = int(os.environ.get("YANSHU_TEST_SEED", "1"))
    for seed in range(first, first + WORLDS):
        print("seed", seed)
        with store.write() as connection:
            random = Random(seed)
            now = random.choice(STARTS)
            world, catalog = random_world(random, connection, now)
            for _ in range(random.randint(3, 9)):
                decisions += step(world, catalog, connection, now)
                now += random.choice((timedelta(seconds=1), 30 * MINUTE, 4 * HOUR, 9 * HOUR))
            no_cap_is_broken(world)
    print("decisions", decisions)
    assert decisions > WORLDS
