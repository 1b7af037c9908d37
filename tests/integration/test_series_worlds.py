"""Two hundred random series, four customers each, over a fortnight with outages and operators: the engine in sets decides
as the reference does row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import insert, select, update

from engine.customers.consent import withdraw
from engine.delivery import control
from engine.delivery.ledger import record
from engine.delivery.results import End, Result, Sent
from engine.store.session import Store
from engine.store.tables import customers, deliveries, engagements
from tests.line import DUE, Line, settings_for
from tests.series_reference import Series, World
from tests.shop import add_customer, add_order, put_in_force

WORLDS = [World.random(number) for number in range(200)]
REFS = ("a", "b", "c", "d")
START = DUE.astimezone(UTC)
LEFT = {"d": START + timedelta(hours=65)}
ORDERS = {"b": [START + timedelta(hours=7)], "c": [START + timedelta(hours=40), START + timedelta(hours=90)]}  # fmt: skip
_ENDS = {"sent": End.SENT, "failed": End.FAILED, "uncertain": End.UNCERTAIN}


class Played:
    """The same fortnight in the database and in the reference."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.line = Line(store, settings_for(25))
        files = {f"campaigns/{one.id}.yaml": one.as_yaml("2026-11-02T10:00") for one in WORLDS}
        with store.write() as connection:
            put_in_force(connection, files)
            self.keys = {ref: add_customer(connection, ref) for ref in REFS}
            for ref, moments in ORDERS.items():
                for number, at in enumerate(moments):
                    add_order(connection, self.keys[ref], f"{ref}{number}", at)
        self.line.expand()
        self.worlds = {one.id: one for one in WORLDS}
        self.reference = {
            (one.id, ref): Series.begin(one, ref, START, ORDERS.get(ref, []), LEFT.get(ref))
            for one in WORLDS
            for ref in REFS
        }

    def look(self, now: datetime) -> None:
        self.line.now = now
        while self.line.tick().decided:
            self.line.batches.clear()
            self._hand_over(now)
        for series in self.reference.values():
            series.look(now)

    def leave(self, ref: str) -> None:
        with self.store.write() as connection:
            address = connection.execute(
                select(customers.c.email_hash).where(customers.c.ref == ref)
            ).scalar_one()
            withdraw(connection, address, "email", ["care"], at=LEFT[ref], source="person")

    def retry(self, worlds: list[World], now: datetime) -> None:
        for world in worlds:
            control.retry(self.store, world.id, by="me", now=now)
            for ref in REFS:
                self.reference[world.id, ref].retry(now)

    def settle(self, worlds: list[World], now: datetime) -> None:
        for world in worlds:
            control.settle(self.store, world.id, "sent", by="me", now=now)
            for ref in REFS:
                self.reference[world.id, ref].settle(now)

    def _hand_over(self, now: datetime) -> None:
        """What a worker does, with the outcomes that the worlds have in store."""
        refs = {key: ref for ref, key in self.keys.items()}
        with self.store.write() as connection:
            queued = connection.execute(
                select(deliveries).where(deliveries.c.state == "queued")
            ).all()
            connection.execute(
                update(deliveries)
                .where(deliveries.c.state == "queued")
                .values(state="sending", worker="w", attempts=deliveries.c.attempts + 1)
            )
            connection.execute(
                update(deliveries)
                .where(deliveries.c.state == "sending", deliveries.c.first_attempt_at.is_(None))
                .values(first_attempt_at=now)
            )
            results, events = [], []
            for row in queued:
                world, ref = self.worlds[row.definition], refs[row.customer_id]
                end = world.outcome(row.step, ref, row.attempts + 1)
                results.append(_result(row, _ENDS[end], now))
                if end == "sent":
                    events += [
                        {"delivery_id": row.id, "kind": kind, "at": at, "data": {},
                         "scanner": "crawler" if machine else None}
                        for kind, at, machine in world.events(row.step, ref, now)
                    ]  # fmt: skip
            record(connection, "w", results)
            if events:
                connection.execute(insert(engagements), events)

    def compare(self) -> None:
        refs = {key: ref for ref, key in self.keys.items()}
        with self.store.read() as connection:
            found = connection.execute(select(deliveries)).all()
        engine = {
            (row.definition, refs[row.customer_id], row.step): (
                row.state, row.reason, row.due_at, row.not_after, row.sent_at, row.attempts
            )
            for row in found
        }  # fmt: skip
        expected = {
            (*key, step): (row.state, row.reason, row.due, row.not_after, row.sent_at, row.attempts)
            for key, series in self.reference.items()
            for step, row in series.rows.items()
        }
        differing = {key: (engine.get(key), expected[key]) for key in expected if engine.get(key) != expected[key]}  # fmt: skip
        assert not differing, [
            (key, *pair, self.worlds[key[0]].as_yaml("x")) for key, pair in sorted(differing.items())[:3]
        ]  # fmt: skip
        assert engine.keys() == expected.keys()


def _result(row: Any, end: End, now: datetime) -> Result:
    sent = Sent(
        row.id, row.customer_id, row.run_id, row.attempts + 1, "email", row.address_hash, 0,
        ("email",), row.not_after, False, None,
    )  # fmt: skip
    return Result(sent, end, now, "250 ok" if end is End.SENT else "550 no", "dot")


def test_the_engine_decides_as_the_reference_does(store: Store) -> None:
    played, random = Played(store), Random(4)
    for half_day in range(26):
        now = START + timedelta(hours=12 * half_day)
        if half_day == 6:
            played.leave("d")
        if random.random() < 0.2:
            continue  # the daemon was down
        if half_day in (3, 8, 13):
            played.retry(WORLDS[half_day::12], now)
        if half_day in (5, 11):
            played.settle(WORLDS[half_day::12], now)
        played.look(now)
        if half_day % 8 == 0:
            played.compare()
    played.compare()
    states = {row.state for series in played.reference.values() for row in series.rows.values()}
    reasons = {row.reason for series in played.reference.values() for row in series.rows.values()}
    assert states == {"sent", "failed", "uncertain", "skipped"}
    assert {"stopped", "unless", "if", "no consent", "expired", "earlier step failed"} <= reasons
