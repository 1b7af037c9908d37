"""Figure 5: four schedulers at once make each delivery once and send it once; one that slept through its lease admits
nothing. Real processes, let go at one moment; the oracle is what the SMTP server received. `make soak FIGURE=5` takes
1,000 runs in each of 100 rounds, and stops that outlast the lease by the clock.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from random import Random

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
RUNS = int(os.environ.get("YANSHU_RACE_RUNS", "20"))
STOPS = int(os.environ.get("YANSHU_STOPS", "1"))
WAITS = "YANSHU_STOPS" in os.environ
"""Whether a stopped dispatcher's lease runs out by the clock; else it is ended by hand."""
SCHEDULERS = 4
RULES = 19
PEOPLE = 2
DAYS = RUNS // (RULES + 1)
START = datetime.fromisoformat("2020-03-02T12:00+08:00")
A_DAY = timedelta(days=1)
LOT = 1_500
"""Deliveries of which a dispatcher admits a thousand in one look."""
MAIL = 'steps: [{id: mail, email: {subject: "你好，{{ customer.name }}", template: hello}}]'


def files() -> Mapping[str, str]:
    """A campaign every day and rules about orders: each has one run for each day."""
    daily = f"""
kind: campaign
class: transactional
schedule: {{cron: "30 10 * * *", expires: {DAYS}d}}
audience: {{all: []}}
{MAIL}
"""
    rule = f"""
kind: care
class: care
trigger: {{event: order.received, delay: 1h, grace: {DAYS}d}}
{MAIL}
"""
    rules = {f"care/r{number:02}.yaml": rule for number in range(RULES)}
    return {"campaigns/daily.yaml": daily, **rules}


def test_four_schedulers_at_once_make_and_send_each_delivery_once(store: Store) -> None:
    print("seed", SEED)
    with store.write() as connection:
        put_in_force(connection, files(), now=START)
        people = [add_customer(connection, f"{number}") for number in range(PEOPLE)]
    url, began, now = store.url.render_as_string(hide_password=False), time.monotonic(), START
    received = Counter[str | None]()
    with (
        FaultServer() as server,
        racers(SCHEDULERS, Scheduler, url, settings_for(server.port), SEED) as crew,
    ):
        for number in range(1, ROUNDS + 1):
            with store.write() as connection:
                for day in range(DAYS):
                    at = now + day * A_DAY + timedelta(hours=2)
                    add_order(connection, people[day % PEOPLE], f"{number}-{day}", at)
            now += DAYS * A_DAY
            did = crew.race(now)
            received.update(letter.delivery for letter in server.letters)
            server.letters.clear()
            each_is_there_once_and_was_received_once(store, number, received)
            print(f"round {number}: {did} {time.monotonic() - began:.0f} s", flush=True)


def each_is_there_once_and_was_received_once(
    store: Store, rounds: int, received: Counter[str | None]
) -> None:
    with store.read() as connection:
        rows = connection.execute(select(deliveries.c.public_id, deliveries.c.state)).all()
        counted = select(deliveries.c.definition, func.count()).group_by(deliveries.c.definition)
        by_kind = {row.definition: row[1] for row in connection.execute(counted)}
        done = connection.execute(select(runs.c.state, func.count()).group_by(runs.c.state)).all()
        assert connection.execute(select(func.count()).select_from(decisions)).scalar_one() == 0
    ran = DAYS * rounds
    assert by_kind == {"daily": ran * PEOPLE} | {f"r{n:02}": ran for n in range(RULES)}
    assert [tuple(row) for row in done] == [("done", ran * (RULES + 1))]
    assert {row.state for row in rows} == {"sent"}
    assert received == {row.public_id: 1 for row in rows}


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
    try:
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
