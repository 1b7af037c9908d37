"""The delivery line on real databases and a real SMTP conversation; the oracle is what the server received."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select

from engine.channels.base import Accepted, Envelope, Outcome, Refused
from engine.channels.smtp import SmtpConnection
from engine.customers.profiles.freshness import refresh
from engine.delivery import control
from engine.delivery.dispatch import Tick
from engine.delivery.leases import living_workers
from engine.errors import YanshuError
from engine.store.session import Store
from engine.store.tables import attempts, decisions, deliveries, leases, runs, suppressions
from tests.integration.fault_smtp import Fault, FaultServer
from tests.line import CAMPAIGN, Line, settings_for
from tests.shop import add_customer, add_order, put_in_force


def received(server: FaultServer) -> Counter[str]:
    return Counter(letter.delivery or "?" for letter in server.letters)


def sent_ids(store: Store) -> set[str]:
    with store.read() as connection:
        return set(
            connection.execute(
                select(deliveries.c.public_id).where(deliveries.c.state == "sent")
            ).scalars()
        )


def test_everybody_who_is_due_gets_exactly_one_letter(store: Store) -> None:
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        line.prepare(300)
        line.run()
        line.run()
        assert line.states() == {"sent": 300}
        assert set(received(server)) == sent_ids(store)
        assert set(received(server).values()) == {1}


class Broken:
    """A connection with a mistake in it."""

    async def open(self) -> None:
        return None

    async def send_window(
        self, envelopes: Sequence[Envelope], told: Callable[[int, Outcome], object]
    ) -> None:
        told(0, Accepted("250 ok"))
        raise RuntimeError(f"a mistake after one letter of {len(envelopes)}")

    async def close(self) -> None:
        return None


def test_a_worker_whose_connection_broke_by_a_mistake_ends_and_sends_nothing_of_it_again(
    store: Store,
) -> None:
    line = Line(store, settings_for(25), transports={"email": [Broken]})
    line.prepare(20)
    line.tick()
    sender = line.sender()
    sender.start()
    sender.send_batch(line.batches.pop())
    assert sender.failed.is_set()
    sender.stop()
    assert line.states() == {"sending": 8, "planned": 12}
    line.later(timedelta(minutes=5))
    line.tick()
    assert line.states()["uncertain"] == 8


def test_a_batch_that_is_announced_twice_is_sent_once(store: Store) -> None:
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        line.prepare(50)
        line.tick()
        sender = line.sender()
        sender.start()
        batch = line.batches.pop()
        assert sender.send_batch(batch) == 50
        assert sender.send_batch(batch) == 0
        sender.stop()
        assert set(received(server).values()) == {1}


def test_two_senders_share_a_batch_list_without_doubling(store: Store) -> None:
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        line.prepare(200)
        first, second = line.sender("a"), line.sender("b")
        first.start()
        second.start()
        line.tick()
        batches = list(line.batches)
        for batch in batches:
            assert {first.send_batch(batch), second.send_batch(batch)} >= {0}
        first.stop()
        second.stop()
        assert len(server.letters) == 200
        assert set(received(server).values()) == {1}


def test_a_greylisted_letter_is_planned_again_and_sent_later(store: Store) -> None:
    replies = {"c0001@example.com": ["450 4.2.0 Greylisted, try again later", "250 ok"]}
    with FaultServer(replies=replies) as server:
        line = Line(store, settings_for(server.port))
        line.prepare(3)
        line.run()
        assert line.states() == {"sent": 2, "planned": 1}
        line.later(timedelta(minutes=10))
        line.run()
        assert line.states() == {"sent": 3}
        assert set(received(server).values()) == {1}
        with store.read() as connection:
            kept = connection.execute(select(attempts.c.outcome, attempts.c.reply)).all()
        assert [(one.outcome, "Greylisted" in one.reply) for one in kept] == [("retry", True)]


def test_an_address_that_does_not_exist_fails_and_is_suppressed(store: Store) -> None:
    replies = {"c0000@example.com": ["550 5.1.1 user unknown"]}
    with FaultServer(replies=replies) as server:
        line = Line(store, settings_for(server.port))
        line.prepare(2)
        line.run()
        assert line.states() == {"sent": 1, "failed": 1}
        with store.read() as connection:
            assert connection.execute(select(suppressions.c.reason)).scalars().all() == [
                "hard_bounce"
            ]


def test_a_rate_limit_in_a_550_suppresses_nobody_and_is_tried_again(store: Store) -> None:
    replies = {
        "c0000@example.com": ["550 Mail content denied. Connection frequency limited", "250 ok"]
    }
    with FaultServer(replies=replies) as server:
        line = Line(store, settings_for(server.port))
        line.prepare(1)
        line.run()
        assert line.states() == {"planned": 1}
        with store.read() as connection:
            assert connection.execute(select(suppressions)).all() == []
        line.later(timedelta(minutes=10))
        line.run()
        assert line.states() == {"sent": 1}


def test_a_connection_lost_after_the_dot_is_uncertain_and_never_repeated(store: Store) -> None:
    with FaultServer(faults=[Fault("dot", "drop", at=5)]) as server:
        line = Line(store, settings_for(server.port), connections=1)
        line.prepare(20)
        line.run()
        line.later(timedelta(minutes=10))
        line.run()
        assert line.states() == {"sent": 19, "uncertain": 1}
        assert max(received(server).values()) == 1
        with store.read() as connection:
            assert connection.execute(select(runs.c.state)).scalar_one() == "open"


def test_an_operator_settles_or_retries_what_is_uncertain(store: Store) -> None:
    with FaultServer(faults=[Fault("dot", "drop", at=0), Fault("dot", "drop", at=1)]) as server:
        line = Line(store, settings_for(server.port), connections=1)
        line.prepare(2)
        line.run()
        line.later(timedelta(minutes=1))
        line.run()
        assert line.states() == {"uncertain": 2}
        first = line.row("0000").public_id
        control.settle(store, f"delivery:{first}", "sent", by="op", now=line.now)
        assert (
            control.retry(store, "sale", failed=False, uncertain=True, by="op", now=line.now).count
            == 1
        )
        line.run()
        assert line.states() == {"sent": 2}


def test_on_uncertain_resend_sends_again_by_itself(store: Store) -> None:
    files = {"campaigns/sale.yaml": CAMPAIGN + "on_uncertain: resend\n"}
    with FaultServer(faults=[Fault("dot", "drop", at=0)]) as server:
        line = Line(store, settings_for(server.port), connections=1)
        line.prepare(1, files)
        line.run()
        line.later(timedelta(minutes=10))
        line.run()
        assert line.states() == {"sent": 1}
        assert len(server.letters) == 2


def test_a_relay_that_is_away_costs_nobody_an_attempt(store: Store) -> None:
    with FaultServer() as server:
        port = server.port
    line = Line(store, settings_for(port))
    line.prepare(30)
    line.run()
    assert line.states() == {"planned": 30}
    row = line.row("0000")
    assert (row.attempts, row.admitted_at) == (0, None)
    assert "relay away" in row.reason
    with store.read() as connection:
        assert connection.execute(select(attempts)).all() == []


def test_a_template_that_fails_on_a_customer_holds_the_run_and_names_them(store: Store) -> None:
    files = {
        "campaigns/sale.yaml": CAMPAIGN,
        "templates/email/hello.html.j2": (
            '<!DOCTYPE html><html><body><table width="640"><tr><td>{{ customer.name }}'
            "{{ 1 // (customer.id | int) }} <a href='{{ links.unsubscribe }}'>退订</a></td></tr></table></body></html>"
        ),
    }
    with FaultServer() as server:
        line = Line(store, settings_for(server.port), connections=1)
        line.prepare(40, files)
        line.run()
        with store.read() as connection:
            run = connection.execute(select(runs)).one()
        assert run.state == "blocked"
        assert "customer 0000" in run.reason
        assert "planned" in line.states()
        assert line.row("0000").state == "planned"
        letters = len(server.letters)
        line.later(timedelta(minutes=5))
        line.run()
        assert len(server.letters) == letters


def test_a_template_that_fails_on_a_letter_rendered_ahead_lets_the_window_before_it_end(
    store: Store,
) -> None:
    files = {
        "campaigns/sale.yaml": CAMPAIGN,
        "templates/email/hello.html.j2": (
            '<!DOCTYPE html><html><body><table width="640"><tr><td>{{ customer.name }}'
            "{{ 1 // (customer.id | int - 11) }} <a href='{{ links.unsubscribe }}'>退订</a></td></tr></table></body></html>"
        ),
    }
    with FaultServer() as server:
        line = Line(store, settings_for(server.port), connections=1)
        line.prepare(40, files)
        line.run()
        assert line.states() == {"sent": 8, "planned": 32}
        assert set(received(server)) == sent_ids(store)
        with store.read() as connection:
            assert "customer 0011" in connection.execute(select(runs.c.reason)).scalar_one()


class PausedInMidWindow:
    """A connection that takes everything, while an operator pauses all at its third letter."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def open(self) -> None:
        return None

    async def send_window(
        self, envelopes: Sequence[Envelope], told: Callable[[int, Outcome], object]
    ) -> None:
        for place, _ in enumerate(envelopes):
            if place == 2:
                control.pause(self._line.store, "all", by="op", now=self._line.now)
            told(place, Accepted("250 ok"))

    async def close(self) -> None:
        return None


def test_a_pause_in_mid_window_stops_what_was_rendered_ahead(store: Store) -> None:
    line = Line(store, settings_for(25))
    line.transports = {"email": [lambda: PausedInMidWindow(line)]}
    line.prepare(40)
    line.run()
    assert line.states() == {"sent": 8, "planned": 32}


def test_pause_takes_back_what_is_queued_and_resume_lets_it_go(store: Store) -> None:
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        line.prepare(20)
        line.tick()
        assert line.states() == {"queued": 20}
        assert control.pause(store, "campaign:sale", by="op", now=line.now).count == 20
        line.run()
        assert server.letters == []
        assert line.states() == {"planned": 20}
        control.resume(store, "sale", by="op", now=line.now)
        line.run()
        assert line.states() == {"sent": 20}


@pytest.mark.parametrize("target", ["all", "channel:email", "domain:example.com", "run:1"])
def test_every_kind_of_target_can_be_paused(store: Store, target: str) -> None:
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        line.prepare(3)
        control.pause(store, target, by="op", now=line.now)
        line.run()
        assert server.letters == []
        control.resume(store, target, by="op", now=line.now)
        line.run()
        assert len(server.letters) == 3


def test_resuming_over_an_old_backlog_needs_a_decision(store: Store) -> None:
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        line.prepare(10)
        control.pause(store, "sale", by="op", now=line.now)
        line.later(timedelta(hours=6))
        with pytest.raises(YanshuError, match="10 deliveries of campaign:sale are overdue"):
            control.resume(store, "sale", by="op", now=line.now)
        control.resume(
            store, "sale", by="op", now=line.now, overdue="spread", over=timedelta(hours=2)
        )
        line.run()
        assert len(server.letters) == 1
        line.later(timedelta(hours=1))
        line.run()
        assert 1 < len(server.letters) < 10
        line.later(timedelta(hours=1))
        line.run()
        assert len(server.letters) == 10


def test_dropping_an_overdue_backlog_says_so_on_every_row(store: Store) -> None:
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        line.prepare(5)
        control.pause(store, "sale", by="op", now=line.now)
        line.later(timedelta(hours=6))
        control.resume(store, "sale", by="op", now=line.now, overdue="drop")
        line.run()
        assert server.letters == []
        assert line.row("0001").reason == "overdue"


def test_cancel_withdraws_what_has_not_gone(store: Store) -> None:
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        line.prepare(5)
        control.cancel(store, "sale", by="op", now=line.now)
        line.expand()
        line.run()
        assert server.letters == []
        assert line.states() == {"cancelled": 5}


def test_what_expired_is_skipped_with_a_decision_that_says_why(store: Store) -> None:
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        line.prepare(1)
        line.later(timedelta(days=4))
        line.run()
        assert server.letters == []
        assert line.states() == {"skipped": 1}
        with store.read() as connection:
            kept = connection.execute(select(decisions)).one()
        assert (kept.verdict, kept.reason) == ("skip", "expired")


def test_a_dead_workers_rows_go_back_or_become_uncertain(store: Store) -> None:
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        line.prepare(10)
        line.tick()
        with store.write() as connection:
            ids = (
                connection.execute(select(deliveries.c.id).order_by(deliveries.c.id))
                .scalars()
                .all()
            )
            mine = deliveries.c.id.in_(ids[:4])
            connection.execute(deliveries.update().values(worker="dead"))
            connection.execute(deliveries.update().where(mine).values(state="sending", attempts=1))
            assert living_workers(connection) == set()
        line.batches.clear()
        line.later(timedelta(seconds=10))
        line.run()
        assert line.states() == {"uncertain": 4, "sent": 6}
        assert len(server.letters) == 6


def test_a_row_that_a_worker_has_in_hand_twice_is_sent_once(store: Store) -> None:
    """It was stopped past its lease: its rows were taken back and queued again, and it claimed them once more."""
    taken, go = threading.Semaphore(0), threading.Event()

    class Slow(SmtpConnection):
        async def open(self) -> Refused | None:
            taken.release()
            await asyncio.to_thread(go.wait, 30)
            return await super().open()

    with FaultServer() as server:
        settings = settings_for(server.port)
        line = Line(store, settings, transports={"email": [lambda: Slow(settings.smtp)] * 2})
        line.prepare(3)
        line.tick()
        sender = line.sender()
        sender.start()
        work = []
        for _ in range(2):
            while not line.batches:
                with store.write() as connection:
                    mine = leases.c.name == "worker:w1"
                    connection.execute(leases.update().where(mine).values(expires=0.0))
                line.later(timedelta(seconds=10))
                line.tick()
            work.append(threading.Thread(target=sender.send_batch, args=(line.batches.pop(),)))
            work[-1].start()
            assert taken.acquire(timeout=30)
        go.set()
        for thread in work:
            thread.join(30)
        sender.stop()
        assert line.states() == {"sent": 3}
        assert sorted(received(server).values()) == [1, 1, 1]


def test_a_batch_that_redis_lost_is_queued_again(store: Store) -> None:
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        line.prepare(10)
        line.tick()
        line.batches.clear()
        line.later(timedelta(seconds=10))
        line.run()
        assert line.states() == {"queued": 10}
        line.later(timedelta(seconds=30))
        line.run()
        assert line.states() == {"sent": 10}
        assert set(received(server).values()) == {1}


def test_a_dispatcher_that_slept_through_its_lease_admits_nothing(store: Store) -> None:
    sleeper = Line(store, settings_for(25), name="sleeper")
    assert sleeper.tick().leads
    other = Line(store, settings_for(25), name="other")
    assert not other.tick().leads
    with store.write() as connection:
        connection.execute(leases.update().values(expires=0.0))
    assert other.tick().leads
    sleeper.prepare(10)
    assert sleeper.tick() == Tick(leads=False)
    assert sleeper.states() == {"planned": 10}
    assert other.tick().admitted == 10


def test_stopping_gives_back_what_was_not_sent_and_leaves_nothing_uncertain(store: Store) -> None:
    with FaultServer(faults=[Fault("dot", "delay", at=0, times=1000, seconds=0.02)]) as server:
        line = Line(store, settings_for(server.port), connections=2)
        line.prepare(150)
        line.tick()
        sender = line.sender()
        sender.start()
        work = threading.Thread(target=sender.send_batch, args=(line.batches.pop(),))
        work.start()
        with server.changed:
            assert server.changed.wait_for(lambda: len(server.letters) >= 5, 10)
        sender.stop()
        work.join(10)
        states = line.states()
        assert set(states) == {"sent", "planned"}
        assert states["sent"] == len(server.letters)


def test_stopping_does_not_wait_for_a_server_that_does_not_answer_yet(store: Store) -> None:
    with FaultServer(faults=[Fault("ehlo", "stall", at=0, times=1000)]) as server:
        line = Line(store, settings_for(server.port), connections=2)
        line.prepare(20)
        line.tick()
        sender = line.sender()
        sender.start()
        work = threading.Thread(target=sender.send_batch, args=(line.batches.pop(),))
        work.start()
        with server.changed:
            assert server.changed.wait_for(lambda: server.commands, 10)
        ending = threading.Thread(target=sender.stop, daemon=True)
        ending.start()
        ending.join(10)  # the server has five minutes for its answer
        assert not ending.is_alive()
        work.join(10)
        assert line.states() == {"planned": 20}
        assert not server.letters


def test_who_orders_again_is_not_told_that_they_are_missed(store: Store) -> None:
    rule = """kind: care
class: care
trigger: {dormant: {after: 90d}, time: "10:00", grace: 3d}
steps: [{email: {subject: 好久不见, template: hello}}]
"""
    with FaultServer() as server:
        line = Line(store, settings_for(server.port))
        with store.write() as connection:
            policy = put_in_force(connection, {"care/asleep.yaml": rule}).policy
            for ref in ("sleeper", "awake"):
                person = add_customer(connection, ref)
                add_order(connection, person, f"{ref}-1", line.now - timedelta(days=90, hours=1))
            refresh(connection, policy, line.now)
        line.expand()
        with store.write() as connection:
            add_order(connection, person, "awake-2", line.now - timedelta(minutes=5))
            refresh(connection, policy, line.now)
        line.run()
        assert len(server.letters) == 1
        assert line.row("sleeper").state == "sent"
        assert (line.row("awake").state, line.row("awake").reason) == (
            "skipped",
            "no longer qualifies",
        )
