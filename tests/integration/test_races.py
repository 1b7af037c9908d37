"""Figure 5: four schedulers at once make each delivery once and send it once; one that slept through its lease admits
nothing. Real processes, let go at one moment; the oracle is what the SMTP server received. `make soak FIGURE=5` takes
1,000 runs in each of 100 rounds, in some of them of 1,000 definitions, and stops that outlast the lease by the clock.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from random import Random

import pytest
from sqlalchemy import Connection, func, select, update
from sqlalchemy.exc import OperationalError

from engine.delivery.leases import DISPATCHER_SECONDS
from engine.store.session import Store
from engine.store.tables import State, decisions, deliveries, runs
from tests.integration.fault_smtp import FaultServer
from tests.line import DUE, Line, settings_for
from tests.racing import Crew, racers
from tests.schedulers import Scheduler, Watcher, dispatcher_of, run_out
from tests.shop import add_customer, add_order, put_in_force

SEED = int(os.environ.get("YANSHU_TEST_SEED", "1"))
ROUNDS = int(os.environ.get("YANSHU_RACE_ROUNDS", "1"))
WIDE = int(os.environ.get("YANSHU_RACE_WIDE", "0"))
"""So many of the rounds with a definition for each run; in the others a run of each for many days."""
RUNS = int(os.environ.get("YANSHU_RACE_RUNS", "20"))
STOPS = int(os.environ.get("YANSHU_STOPS", "1"))
WAITS = "YANSHU_STOPS" in os.environ
"""Whether a stopped dispatcher's lease runs out by the clock; else it is ended by hand."""
SCHEDULERS = 4
PEOPLE = 2
START = datetime.fromisoformat("2020-03-02T12:00+08:00")
A_DAY = timedelta(days=1)
LOT = 1_500
"""Deliveries of which a dispatcher admits a thousand in one look."""
MAIL = 'steps: [{id: mail, email: {subject: "你好，{{ customer.name }}", template: hello}}]'


@dataclass(frozen=True)
class Shape:
    """What is due in one round: a run of each definition on each of so many days."""

    campaigns: int
    rules: int
    days: int
    rounds: int

    @property
    def runs(self) -> int:
        return (self.campaigns + self.rules) * self.days

    def files(self) -> Mapping[str, str]:
        """Campaigns every day and rules about orders: each has one run for each day."""
        daily = f"""
kind: campaign
class: transactional
schedule: {{cron: "30 10 * * *", expires: {self.days}d}}
audience: {{all: []}}
{MAIL}
"""
        rule = f"""
kind: care
class: care
trigger: {{event: order.received, delay: 1h, grace: {self.days}d}}
{MAIL}
"""
        campaigns = {f"campaigns/c{number:04}.yaml": daily for number in range(self.campaigns)}
        return campaigns | {f"care/r{number:04}.yaml": rule for number in range(self.rules)}

    def made(self, rounds: int) -> Mapping[str, int]:
        """How many deliveries of each definition there are after so many rounds: a campaign goes to everybody, a rule
        to who ordered on the day."""
        days = self.days * rounds
        rules = {f"r{number:04}": days for number in range(self.rules)}
        return rules | {f"c{number:04}": days * PEOPLE for number in range(self.campaigns)}


SHAPES = (
    Shape(campaigns=1, rules=19, days=RUNS // 20, rounds=ROUNDS - WIDE),
    Shape(campaigns=RUNS // 2, rules=RUNS // 2, days=1, rounds=WIDE),
)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.rounds], ids=repr)
def test_four_schedulers_at_once_make_and_send_each_delivery_once(
    store: Store, shape: Shape
) -> None:
    print("seed", SEED)
    with store.write() as connection:
        put_in_force(connection, shape.files(), now=START)
        people = [add_customer(connection, f"{number}") for number in range(PEOPLE)]
    url, began, now = store.url.render_as_string(hide_password=False), time.monotonic(), START
    received = Counter[str | None]()
    with (
        FaultServer() as server,
        racers(SCHEDULERS, Scheduler, url, settings_for(server.port), SEED) as crew,
    ):
        for number in range(1, shape.rounds + 1):
            last = newest(store)
            with store.write() as connection:
                for day in range(shape.days):
                    at = now + day * A_DAY + timedelta(hours=2)
                    add_order(connection, people[day % PEOPLE], f"{number}-{day}", at)
            now += shape.days * A_DAY
            did = crew.race(now)
            letters = Counter(letter.delivery for letter in server.letters)
            server.letters.clear()
            each_is_there_once(store, shape, number)
            each_was_received_once(store, letters, since=last)
            received += letters
            print(f"round {number}: {did} {time.monotonic() - began:.0f} s", flush=True)
    each_was_received_once(store, received)


def newest(store: Store) -> int:
    with store.read() as connection:
        return connection.execute(select(func.max(deliveries.c.id))).scalar() or 0


def each_is_there_once(store: Store, shape: Shape, rounds: int) -> None:
    """And all that was due has gone."""
    counted = select(deliveries.c.definition, deliveries.c.state, func.count())
    with store.read() as connection:
        rows = connection.execute(counted.group_by(deliveries.c.definition, deliveries.c.state))
        by_kind = {(row.definition, row.state): row[2] for row in rows}
        done = connection.execute(select(runs.c.state, func.count()).group_by(runs.c.state)).all()
        assert connection.execute(select(func.count()).select_from(decisions)).scalar_one() == 0
    assert by_kind == {(name, "sent"): count for name, count in shape.made(rounds).items()}
    assert [tuple(row) for row in done] == [("done", shape.runs * rounds)]


def each_was_received_once(store: Store, received: Counter[str | None], since: int = 0) -> None:
    """What the server got, against the deliveries that are newer than this one."""
    with store.read() as connection:
        ids = connection.execute(select(deliveries.c.public_id).where(deliveries.c.id > since))
        assert received == dict.fromkeys(ids.scalars(), 1)


def test_a_dispatcher_that_was_stopped_past_its_lease_admits_nothing_when_it_wakes(
    store: Store,
) -> None:
    """It is stopped anywhere in its look. Where that is amid its write, which holds the lease's row, nobody else can
    lead before it wakes, and what it then commits was its own to admit."""
    print("seed", SEED)
    random, settings = Random(SEED), settings_for(25)
    line = Line(store, settings, name="nobody")
    line.prepare(LOT)
    url, slept = store.url.render_as_string(hide_password=False), 0
    with racers(2, Watcher, url, settings) as crew:
        for number in count(1):
            if slept == STOPS:
                break
            assert number < 50 * STOPS, "it is hardly ever stopped amid its look"
            with store.write() as connection:
                everything_is_due_again(connection)
            slept += one_was_stopped(crew, store, random)
            print(f"{number} stops, {slept} of them past the lease", flush=True)
            assert line.states() == {"queued": LOT}


def everything_is_due_again(connection: Connection) -> None:
    again = {"state": State.PLANNED.value, "batch": None, "admitted_at": None, "send_at": None}
    connection.execute(update(deliveries).values(**again, next_at=DUE))


def one_was_stopped(crew: Crew, store: Store, random: Random) -> bool:
    """Both look; the one that leads is stopped at any moment, and woken when the other has admitted everything. Whether
    the other could."""
    for place in range(2):
        crew.send(place, DUE)
    time.sleep(random.uniform(0, 0.3))
    with store.read() as connection:
        leader, epoch = dispatcher_of(connection)
    stopped = int(leader.removeprefix("s") or 0)
    os.kill(crew.pids[stopped], signal.SIGSTOP)
    took_over = False
    try:
        if None in batches_of(store).values():  # else it was stopped too late
            let_its_lease_end(store)
            took_over = crew.has_answered(1 - stopped, 15 if WAITS else 3)
        with store.read() as connection:
            took_over = took_over and dispatcher_of(connection)[1] > epoch
        before = batches_of(store)
    finally:
        os.kill(crew.pids[stopped], signal.SIGCONT)
    mine, others = crew.answer(stopped), crew.answer(1 - stopped)
    # What it had committed when it was stopped it may announce later; it commits nothing more.
    assert not took_over or batches_of(store) == before
    assert set(batches_of(store).values()) == {*mine, *others}
    return took_over and bool(others)


def batches_of(store: Store) -> Mapping[int, str | None]:
    """The batch in which each delivery was admitted."""
    with store.read() as connection:
        rows = connection.execute(select(deliveries.c.id, deliveries.c.batch))
        return {row.id: row.batch for row in rows}


def let_its_lease_end(store: Store) -> None:
    """By the clock, or by hand where the one that sleeps does not hold the row."""
    if WAITS:
        time.sleep(DISPATCHER_SECONDS + 1)
        return
    patience = "PRAGMA busy_timeout = 1000" if store.is_sqlite else "SET LOCAL lock_timeout = '1s'"
    with suppress(OperationalError), store.engine.connect() as connection, connection.begin():
        connection.detach()
        connection.exec_driver_sql(patience)
        run_out(connection)
