"""What comes in starts its message at once; else the scheduler looks only where time may have brought something."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from sqlalchemy import event, insert, select

from engine.clock import Clock
from engine.customers.importing.files import import_file
from engine.customers.merging import merge
from engine.customers.tags import find_customer, remove_tag
from engine.customers.wake import leave_note, read_note
from engine.definitions.loader import load_policy
from engine.store.session import Store
from engine.store.tables import customers, deliveries, tags
from tests.pusher import Sender, Stopped, settings
from tests.shop import put_in_force
from workers.planner import LOOK_AGAIN, Planner
from workers.scheduler import listen
from workers.stopping import Stop

NOW = datetime(2026, 11, 10, 4, 0, tzinfo=UTC)
CLOCK = Stopped(at=NOW)
CARE = {
    "care/paid.yaml": """\
kind: care
class: care
trigger: {event: order.paid}
audience: {all: []}
steps: [{email: {subject: 谢谢, template: hello}}]
""",
    "care/thanks.yaml": """\
kind: care
class: care
trigger: {event: order.paid, delay: 7d}
audience: {all: []}
steps: [{email: {subject: 还好吗, template: hello}}]
""",
}

SALE = """\
kind: campaign
class: marketing
schedule: {at: "2026-11-10T12:20"}
audience: {all: []}
steps: [{email: {subject: 特卖, template: hello}}]
"""


@pytest.fixture
def sender(store: Store) -> Iterator[Sender]:
    with store.write() as connection:
        put_in_force(connection, CARE)
    opened = Sender(store, NOW)
    opened.push("customers", [{"id": str(number)} for number in range(1, 4)])
    yield opened
    opened.close()


def order(ref: str, owner: str, paid: str = "2026-11-10T11:59:00+08:00") -> dict[str, Any]:
    placed = "2026-11-03T11:00:00+08:00"
    return {"id": ref, "customer_id": owner, "status": "paid", "placed_at": placed, "paid_at": paid, "amount": 5}  # fmt: skip


def planned(store: Store) -> list[tuple[str, str]]:
    with store.read() as connection:
        rows = connection.execute(
            select(deliveries.c.definition, deliveries.c.anchor)
            .where(deliveries.c.state == "planned")
            .order_by(deliveries.c.definition, deliveries.c.anchor)
        )
        return [tuple(row) for row in rows]


def note_is_there(store: Store) -> bool:
    with store.read() as connection:
        return read_note(connection) is not None


def test_a_push_is_reacted_to_once_and_only_for_whom_it_was_about(
    store: Store, sender: Sender
) -> None:
    planner = Planner(store)
    planner.look(CLOCK)
    planner.react(CLOCK)
    assert not note_is_there(store)
    sender.push("orders", order("A1", "1"))
    sender.push("orders", [order("A2", "2", "2026-11-03T12:30:00+08:00"), order("A3", "3", "2026-11-20")])  # fmt: skip
    planner.react(CLOCK)
    # A2's seven days end within the hour; A3 is paid in the future.
    expected = [("paid", "order:A1:paid"), ("thanks", "order:A2:paid")]
    assert planned(store) == expected
    assert not note_is_there(store)
    sender.push("orders", order("A1", "1"))  # nothing new
    assert not note_is_there(store)
    planner.look(CLOCK)
    assert (
        planned(store) == expected
    )  # the look that looks at everybody finds nothing that was missed


def test_nobody_else_is_looked_at_unless_there_are_too_many(store: Store, sender: Sender) -> None:
    planner = Planner(store)
    planner.look(CLOCK)
    planner.react(CLOCK)
    sender.push("orders", [order("A1", "1"), order("A2", "2")])
    with store.write() as connection:  # as if only customer 2 were in the note
        first = connection.execute(
            select(customers.c.id).where(customers.c.ref == "2")
        ).scalar_one()
        connection.exec_driver_sql("DELETE FROM rate_states WHERE key = 'pushed'")
        leave_note(connection, [first], NOW)
    planner.react(CLOCK)
    assert planned(store) == [("paid", "order:A2:paid")]
    with store.write() as connection:
        leave_note(connection, range(10_000), NOW)
    planner.react(CLOCK)
    assert planned(store) == [("paid", "order:A1:paid"), ("paid", "order:A2:paid")]
    assert not note_is_there(store)


def test_asking_for_the_note_is_one_query(store: Store, sender: Sender) -> None:
    planner = Planner(store)
    planner.react(CLOCK)
    asked: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    planner.react(CLOCK)
    assert [text.split()[0] for text in asked if not text.startswith("BEGIN")] == ["SELECT"]


def test_a_running_scheduler_listens_and_need_not_look(store: Store, sender: Sender) -> None:
    planner = Planner(store)
    planner.look(CLOCK)
    planner.react(CLOCK)
    planner.reacted.clear()
    with listening(store, planner):
        for one in ("A1", "A2"):
            sender.push("orders", order(one, "1"))
            assert planner.reacted.wait(timeout=60)
            planner.reacted.clear()
    assert planned(store) == [("paid", "order:A1:paid"), ("paid", "order:A2:paid")]


def test_what_came_while_the_planner_was_busy_is_reacted_to_after_that(
    store: Store, sender: Sender
) -> None:
    planner = Asked(store)
    planner.look(CLOCK)
    sender.push("orders", order("A1", "1"))
    planner.looking.acquire()
    with listening(store, planner):
        assert not planner.answers.get(timeout=60)
        planner.looking.release()
        assert planner.reacted.wait(timeout=60)
    assert planned(store) == [("paid", "order:A1:paid")]


@dataclass
class Asked(Planner):
    """A planner that tells what it answered."""

    answers: SimpleQueue[bool] = field(default_factory=SimpleQueue)

    def react(self, clock: Clock) -> bool:
        seen_to = super().react(clock)
        self.answers.put(seen_to)
        return seen_to


@contextmanager
def listening(store: Store, planner: Planner) -> Iterator[None]:
    ended = Stop()
    with ThreadPoolExecutor(1) as pool:
        listener = pool.submit(listen, store, planner, CLOCK, ended)
        try:
            yield
        finally:
            ended.set()
    listener.result()


def test_a_look_is_repeated_where_time_or_a_change_may_have_brought_something_and_else_not(
    store: Store,
) -> None:
    def looks(minutes: float) -> bool:
        planner.looked.clear()
        planner.look_if_due(Stopped(at=NOW + timedelta(minutes=minutes)))
        return planner.looked.is_set()

    with store.write() as connection:
        put_in_force(connection, CARE)
    planner = Planner(store)
    assert looks(0)
    assert not looks(0.25)
    # 12:20 of the shop; the look after it has come asks once more who is in the audience.
    with store.write() as connection:
        put_in_force(connection, {"campaigns/sale.yaml": SALE})
    assert looks(1)
    assert [looks(minute) for minute in (10, 19, 20, 20.25)] == [False, False, True, False]
    again = 20 + LOOK_AGAIN.total_seconds() / 60
    assert [looks(minute) for minute in (again - 1, again)] == [False, True]
    assert looks(-60)  # the clock was set back


def test_what_is_imported_tagged_or_merged_is_looked_at_at_once(
    store: Store, sender: Sender, tmp_path: Path
) -> None:
    planner = Planner(store)
    planner.look(CLOCK)
    planner.react(CLOCK)
    assert not note_is_there(store)
    file = tmp_path / "orders.jsonl"
    file.write_text(json.dumps(order("A1", "1")), encoding="utf-8")
    import_file(store, "orders", file, settings=settings(), policy=load_policy({}), now=NOW)
    assert note_is_there(store)
    planner.react(CLOCK)
    planner.react(CLOCK)  # the import computed the profiles of a new day: that is a note as well
    assert planned(store) == [("paid", "order:A1:paid")]
    assert not note_is_there(store)
    with store.write() as connection:
        merge(connection, "2", "3", policy=load_policy({}), membership=None, now=NOW, by="test")
    assert note_is_there(store)
    planner.react(CLOCK)
    planner.react(CLOCK)
    tag = {"dimension": "taste", "value": "tea", "tagged_at": NOW, "tagged_by": "test"}
    with store.write() as connection:
        person = find_customer(connection, "3")
        connection.execute(insert(tags).values(customer_id=person, **tag))
    assert not note_is_there(store)
    with store.write() as connection:
        assert remove_tag(connection, person, "taste", "tea", NOW)
    assert note_is_there(store)
