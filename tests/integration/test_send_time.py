"""When each customer is due: usual hours, windows and `finish_by`, by exact dates, and on every clock over both changes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, insert, select

from engine.clock import zone_names
from engine.definitions.loader import load_policy
from engine.planning.expansion import expand
from engine.store.session import Store
from engine.store.tables import customers, definitions, deliveries, profiles, rate_states, runs
from engine.store.warm_ups import warm_up_key
from tests.shop import LONG_AGO, add_customer, put_in_force

NOW = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
ZONES = int(os.environ.get("YANSHU_TEST_ZONES", "12"))
SHANGHAI = ZoneInfo("Asia/Shanghai")


def files(schedule: str) -> dict[str, str]:
    return {
        "campaigns/sale.yaml": f"""
kind: campaign
class: marketing
schedule: {schedule}
audience: {{all: []}}
steps: [{{id: mail, email: {{subject: 你好, template: hello}}}}]
"""
    }


def add(store: Store, usual: Mapping[str, int | None], zones: dict[str, str] | None = None) -> None:
    """Customers with their usual hours, who have none where it is None."""
    with store.write() as connection:
        for ref, hour in usual.items():
            zone = (zones or {}).get(ref)
            number = add_customer(connection, ref, timezone=zone)
            values = {"customer_id": number, "orders": 1, "amount": 0, "period_orders": 1,
                      "period_amount": 0, "class": "active", "evaluated_at": LONG_AGO}  # fmt: skip
            connection.execute(insert(profiles).values(**values, usual_hour=hour))


def expanded(
    store: Store, schedule: str, now: datetime = NOW, policy: str = ""
) -> dict[str, tuple[datetime, datetime]]:
    """When each is due, and until when it may go."""
    with store.write() as connection:
        connection.execute(delete(deliveries))
        connection.execute(delete(runs))
        connection.execute(delete(definitions))
        catalog = put_in_force(
            connection, files(schedule) | ({"policy.yaml": policy} if policy else {})
        )
    expand(store, catalog, now)
    with store.read() as connection:
        query = select(customers.c.ref, deliveries.c.due_at, deliveries.c.not_after).join(
            deliveries, deliveries.c.customer_id == customers.c.id
        )
        return {row.ref: (row.due_at, row.not_after) for row in connection.execute(query)}


def test_each_is_due_at_the_usual_hour_of_their_clock_and_without_one_at_the_schedules_time(
    store: Store,
) -> None:
    usual = {"night": 23, "early": 0, "new": None, "ny": 20}
    add(store, usual, {"ny": "America/New_York"})
    found = expanded(store, '{at: "2026-11-02T10:00", send_time: usual_hour, expires: 1d}')
    assert {ref: due for ref, (due, _) in found.items()} == {
        "night": datetime(2026, 11, 2, 15, tzinfo=UTC),
        "early": datetime(2026, 11, 1, 16, tzinfo=UTC),
        "new": datetime(2026, 11, 2, 2, tzinfo=UTC),
        "ny": datetime(2026, 11, 3, 1, tzinfo=UTC),
    }
    assert found["early"][1] == datetime(2026, 11, 2, 16, tzinfo=UTC)
    with store.read() as connection:
        assert connection.execute(select(runs.c.starts_at)).scalar_one() == datetime(2026, 11, 1, 16, tzinfo=UTC)  # fmt: skip


def test_a_window_spreads_people_over_it_on_their_own_clock_over_midnight_if_it_must(
    store: Store,
) -> None:
    add(store, {f"{number:02}": 9 for number in range(40)} | {"ny": 9}, {"ny": "America/New_York"})
    schedule = '{at: "2026-11-02T10:00", send_time: {window: "23:30-01:30"}}'
    found = expanded(store, schedule, NOW + timedelta(days=1))
    ny = found.pop("ny")[0].astimezone(ZoneInfo("America/New_York")).replace(tzinfo=None)
    assert datetime(2026, 11, 2, 23, 30) <= ny < datetime(2026, 11, 3, 1, 30)
    walls = sorted(due.astimezone(SHANGHAI).replace(tzinfo=None) for due, _ in found.values())
    assert datetime(2026, 11, 2, 23, 30) <= walls[0] < datetime(2026, 11, 2, 23, 45)
    assert datetime(2026, 11, 3, 1, 15) < walls[-1] < datetime(2026, 11, 3, 1, 30)
    assert max(later - earlier for earlier, later in pairwise(walls)) < timedelta(minutes=6)
    again = expanded(store, schedule, NOW + timedelta(hours=25))
    assert found.items() < again.items()  # a place in it stays the same


def test_a_run_that_must_be_finished_is_spread_evenly_and_nothing_may_go_afterwards(
    store: Store,
) -> None:
    add(store, {f"{number:02}": 23 if number % 2 else None for number in range(40)})
    finish = datetime(2026, 11, 2, 14, tzinfo=UTC)  # 22:00
    evenly = expanded(store, '{at: "2026-11-02T10:00", finish_by: "2026-11-02T22:00", expires: 2h}')
    dues = sorted(due for due, _ in evenly.values())
    assert datetime(2026, 11, 2, 2, tzinfo=UTC) <= dues[0]
    assert dues[-1] < finish
    assert max(later - earlier for earlier, later in pairwise(dues)) < timedelta(minutes=36)
    assert all(last == min(due + timedelta(hours=2), finish) for due, last in evenly.values())
    usual = expanded(
        store,
        '{at: "2026-11-02T10:00", send_time: usual_hour, spread: 1h, finish_by: "2026-11-02T22:00"}',
    )
    # Eleven at night would be too late: they have a place between the others.
    assert {ref: due for ref, (due, _) in usual.items() if int(ref) % 2} == {
        ref: due for ref, (due, _) in evenly.items() if int(ref) % 2
    }
    assert all(last == finish for _, last in usual.values())


def test_a_run_that_must_be_finished_leaves_out_the_night_and_what_no_day_can_take(
    store: Store,
) -> None:
    add(store, {f"{number:02}": None for number in range(40)})
    schedule = '{at: "2026-11-02T16:00", finish_by: "2026-11-04T10:00"}'
    policy = 'quiet_hours: {email: "20:00-08:00"}\n'

    def days(policy: str) -> list[int]:
        dues = [
            due.astimezone(SHANGHAI)
            for due, _ in expanded(store, schedule, NOW + timedelta(hours=12), policy).values()
        ]
        assert all(8 <= due.hour < 20 for due in dues)
        return [sum(due.day == day for due in dues) for day in (2, 3, 4)]

    assert days(policy) == pytest.approx([9, 27, 4], abs=1)  # 4, 12 and 2 hours are open
    assert days(policy + "volume: [{max: 20, per: 1d}]\n") == pytest.approx([13, 20, 7], abs=1)
    ramp = "volume: [{max: 30, per: 1d, warm_up: {start: 8, double_every: 1d}}]\n"
    with store.write() as connection:
        key = warm_up_key(load_policy({"policy.yaml": ramp}).volume[0])
        begun = {"key": key, "data": {"start": "2026-11-02"}, "updated_at": NOW}
        connection.execute(insert(rate_states).values(**begun))
    assert days(policy + ramp) == pytest.approx([8, 16, 16], abs=1)


def first_valid(wall: datetime, zone: ZoneInfo) -> datetime:
    """Minute by minute: the first moment whose wall clock reads this, or more on that side of a gap."""
    moment = wall.replace(tzinfo=UTC) - timedelta(hours=16)
    last = moment + timedelta(hours=34)
    after_gap = None
    while moment < last:
        reads = moment.astimezone(zone).replace(tzinfo=None)
        before = (moment - timedelta(minutes=1)).astimezone(zone).replace(tzinfo=None)
        if reads == wall:
            return moment
        if before < wall < reads and after_gap is None:
            after_gap = moment
        moment += timedelta(minutes=1)
    assert after_gap is not None, (wall, zone)
    return after_gap


def changes(zone: ZoneInfo) -> list[date]:
    """The local days of 2026 on which its clocks are set; a plain day where there are none."""
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=count) for count in range(366)]
    found = [
        day.astimezone(zone).date()
        for day, following in pairwise(days)
        if day.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset()
    ]
    return [one + timedelta(days=extra) for one in found for extra in (0, 1)] or [date(2026, 6, 1)]


def by_day(names: list[str]) -> Iterator[tuple[date, list[str]]]:
    wanted: dict[date, list[str]] = {}
    for name in names:
        for day in changes(ZoneInfo(name)):
            wanted.setdefault(day, []).append(name)
    yield from sorted(wanted.items())


def test_on_every_clock_each_is_due_once_at_the_first_moment_that_their_hour_is_read(
    store: Store,
) -> None:
    """Every zone whose clocks are set in 2026, on those days, at each hour of the night. `make soak FIGURE=11` takes all."""
    changing = [name for name in sorted(zone_names()) if len(changes(ZoneInfo(name))) > 1]
    step = max(1, len(changing) // ZONES)
    names = changing[::step]
    hours = (0, 1, 2, 3, 23)
    add(store, {f"{name} {hour}": hour for name in names for hour in hours},
        {f"{name} {hour}": name for name in names for hour in hours})  # fmt: skip
    checked = 0
    for day, zones in by_day(names):
        at = datetime(day.year, day.month, day.day, 10)
        found = expanded(
            store,
            f'{{at: "{at:%Y-%m-%dT%H:%M}", timezone: customer, send_time: usual_hour}}',
            at.replace(tzinfo=UTC) - timedelta(days=1),
        )
        for name in zones:
            for hour in hours:
                wall = datetime(day.year, day.month, day.day, hour)
                assert found[f"{name} {hour}"][0] == first_valid(wall, ZoneInfo(name)), (name, wall)
                checked += 1
    print("checked", checked, "zones", len(names))
    assert checked >= len(names) * len(hours) * 2
