"""kill -9 of everything in mid-campaign: nothing is lost, nothing is sent twice, little is uncertain.

The oracle is the SMTP server: what it received, by X-Delivery-Id; then it is compared with the tables.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path

from sqlalchemy import select

from engine.store.tables import deliveries
from tests.acceptance.project import (
    NOW,
    Project,
    children_of,
    is_alive,
    kill_group,
    make_project,
    wait_for,
)
from tests.integration.fault_smtp import Fault, FaultServer

PEOPLE = int(os.environ.get("YANSHU_KILL_PEOPLE", "1500"))
KILLS = int(os.environ.get("YANSHU_KILLS", "2"))
CONNECTIONS = 4
SLOW = Fault("dot", "delay", at=0, times=10 * PEOPLE, seconds=0.002)
"""A relay that takes its time, so that the kill falls into the middle."""


def by_state(project: Project) -> dict[str, set[str]]:
    with project.store() as store, store.read() as connection:
        rows = connection.execute(select(deliveries.c.public_id, deliveries.c.state)).all()
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.state, set()).add(row.public_id)
    return found


def has_letters(server: FaultServer, count: int) -> bool:
    return len(server.letters) >= count


def test_kill_9_of_the_process_group_loses_nothing_and_repeats_nothing(
    database_url: str, tmp_path: Path
) -> None:
    with FaultServer(faults=[SLOW]) as server:
        project = make_project(tmp_path / "shop", database_url, server.port)
        project.add_customers(PEOPLE)
        project.yanshu("apply", "--yes", "--now", NOW)
        for kill in range(KILLS):
            daemon = project.start("up", "--now", NOW)
            wanted = len(server.letters) + PEOPLE // (2 * KILLS)
            wait_for(partial(has_letters, server, wanted), f"the letters before kill {kill}")
            kill_group(daemon)
            server.wait_until_closed()
        project.yanshu("up", "--until-idle", "--now", NOW)
        states = by_state(project)
        received = Counter(letter.delivery for letter in server.letters)
    uncertain = states.get("uncertain", set())
    assert set(states) <= {"sent", "uncertain"}
    assert sum(len(ids) for ids in states.values()) == PEOPLE
    assert max(received.values()) == 1
    assert states["sent"] <= set(received), "something is called sent that the server never got"
    assert set(received) <= states["sent"] | uncertain
    assert len(uncertain) <= 8 * CONNECTIONS * KILLS
    print(f"uncertain after {KILLS} kills: {len(uncertain)}")


def test_sigterm_in_mid_campaign_leaves_nothing_uncertain(
    database_url: str, tmp_path: Path
) -> None:
    with FaultServer(faults=[SLOW]) as server:
        project = make_project(tmp_path / "shop", database_url, server.port)
        project.add_customers(600)
        project.yanshu("apply", "--yes", "--now", NOW)
        daemon = project.start("up", "--now", NOW)
        wait_for(lambda: len(server.letters) >= 100, "a hundred letters")
        daemon.terminate()
        assert daemon.wait(60) == 0
        states = project.states()
        assert set(states) <= {"sent", "planned", "queued"}
        assert states["sent"] == len(server.letters)
        assert project.living_workers() == 0


def test_workers_do_not_outlive_a_supervisor_that_was_killed(
    database_url: str, tmp_path: Path
) -> None:
    """Their broker went with it: what they have in hand is given back, and nobody is told of it for ever."""
    with FaultServer(faults=[Fault("dot", "delay", at=0, times=40, seconds=0.1)]) as server:
        project = make_project(tmp_path / "shop", database_url, server.port)
        project.add_customers(300)
        project.yanshu("apply", "--yes", "--now", NOW)
        daemon = project.start("up", "--now", NOW)
        wait_for(lambda: len(server.letters) >= 10, "ten letters")
        children = children_of(daemon.pid)
        assert len(children) >= 4  # the broker, the scheduler, two workers, the web
        daemon.kill()
        daemon.wait()
        wait_for(lambda: not any(map(is_alive, children)), "the end of its children")
        assert set(project.states()) <= {"sent", "planned", "queued"}
        project.yanshu("up", "--until-idle", "--now", NOW)
        received = Counter(letter.delivery for letter in server.letters)
    assert project.states() == {"sent": 300}
    assert (len(received), max(received.values())) == (300, 1)
