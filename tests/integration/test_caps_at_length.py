"""Figure 10: in a long life of a shop no message goes in quiet hours, over a cap or over the day's volume, neither on one
dispatcher's word nor on that of eight that take the lease from one another. What went is counted again from the rows.

`make soak FIGURE=10` takes a million decisions: a long life of few and a short one of many, at once.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

import pytest
from sqlalchemy import func, select

from engine.foresight.simulation import Passage
from engine.planning.expansion import expand
from engine.store.catalog import Catalog
from engine.store.session import Store
from engine.store.tables import decisions, deliveries
from tests.caps_shop import SETTINGS, START, add_people, files, gone, violations
from tests.racing import racers
from tests.schedulers import Rival, dispatcher_of
from tests.shop import put_in_force

SEED = int(os.environ.get("YANSHU_TEST_SEED", "1"))
RACE_PEOPLE = int(os.environ.get("YANSHU_RACE_PEOPLE", "40"))
RACE_DAYS = int(os.environ.get("YANSHU_RACE_DAYS", "1"))
RIVALS = 8
GRID = timedelta(hours=int(os.environ.get("YANSHU_RACE_HOURS", "4")))


class Life(NamedTuple):
    """How many people live how many days in a shop, and how many decisions that must take at least."""

    people: int
    days: int
    decisions: int


LIVES = [
    Life(*map(int, life.split("x")))
    for life in os.environ.get("YANSHU_CAPS_LIVES", "40x1x500").split()
]


def peopled(store: Store, people: int) -> Catalog:
    with store.write() as connection:
        add_people(connection, people, Random(SEED))
        return put_in_force(connection, files(people))


@pytest.mark.parametrize("life", LIVES, ids=lambda life: f"{life.people}x{life.days}")
def test_in_a_long_life_nothing_goes_in_quiet_hours_or_over_a_cap(store: Store, life: Life) -> None:
    print("seed", SEED)
    began = time.monotonic()
    catalog = peopled(store, life.people)
    passage = Passage(store, catalog, SETTINGS, START, START + timedelta(days=life.days))
    passage.run()
    seconds = time.monotonic() - began
    print(f"{passage.decided} decisions at {passage.moments} moments, {seconds:.0f} s")
    nothing_is_broken(store, life.people)
    assert passage.decided >= life.decisions


def test_eight_that_take_the_lease_from_one_another_break_nothing_either(store: Store) -> None:
    print("seed", SEED)
    began, decided = time.monotonic(), 0
    catalog = peopled(store, RACE_PEOPLE)
    url, now = store.url.render_as_string(hide_password=False), START
    end = START + timedelta(days=RACE_DAYS)
    expand(store, catalog, now, end - now)
    with racers(RIVALS, Rival, url, SETTINGS, SEED) as crew:
        while now < end:
            decided += sum(crew.race(now))
            now = next_moment(store) or end
    with store.read() as connection:
        _, epoch = dispatcher_of(connection)
    print(f"{decided} decisions, the lease taken {epoch} times, {time.monotonic() - began:.0f} s")
    nothing_is_broken(store, RACE_PEOPLE)
    assert epoch > RACE_DAYS * RIVALS


def next_moment(store: Store) -> datetime | None:
    """When the next one is due, put off to the next race."""
    with store.read() as connection:
        first: datetime | None = connection.execute(
            select(func.min(deliveries.c.next_at)).where(deliveries.c.state == "planned")
        ).scalar()
    return None if first is None else first + (-(first - START) % GRID)


def nothing_is_broken(store: Store, people: int) -> None:
    with store.read() as connection:
        rows = gone(connection)
        made = select(decisions.c.verdict, decisions.c.reason, func.count())
        noes = connection.execute(made.group_by(decisions.c.verdict, decisions.c.reason)).all()
    print(len(rows), "went;", sorted(tuple(row) for row in noes))
    assert not violations(rows, people)
    # It was tight: everything had to wait.
    reasons = {reason for _, reason, _ in noes}
    assert {"quiet hours", "frequency", "volume"} <= reasons
