"""`status`: each run's deliveries by state, blocks, pauses, and what comes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, insert

from engine.insight.status import status
from engine.store.session import Store
from engine.store.tables import State, customers, deliveries, pauses, runs

NOW = datetime(2026, 11, 9, 2, tzinfo=UTC)


def a_run(connection: Connection, number: int, state: str = "open", **more: object) -> None:
    values = {
        "id": number,
        "definition": f"camp-{number}",
        "occurrence": "at:2026-11-09T10:00+08:00",
        "digest": "d",
        "starts_at": NOW,
        "state": state,
        "priority": 50,
        "created_at": NOW,
    }
    connection.execute(insert(runs).values(**{**values, **more}))


def a_delivery(connection: Connection, run: int, customer: int, state: State) -> None:
    connection.execute(
        insert(deliveries).values(
            public_id=f"{run:010d}{customer:010d}",
            run_id=run,
            definition=f"camp-{run}",
            step="main",
            customer_id=customer,
            anchor="at:x",
            digest="d",
            **{"class": "marketing"},
            priority=50,
            state=state.value,
            due_at=NOW,
            next_at=NOW + timedelta(minutes=customer),
            not_after=NOW + timedelta(days=3),
            deferrals=0,
            channel_index=0,
            attempts=0,
            created_at=NOW,
        )
    )


def some_customers(connection: Connection, count: int) -> None:
    connection.execute(
        insert(customers),
        [
            {"id": number, "ref": f"{number:05d}", "attributes": {}, "created_at": NOW, "updated_at": NOW}
            for number in range(1, count + 1)
        ],
    )  # fmt: skip


def test_each_run_counts_its_states_and_the_totals_add_up(store: Store) -> None:
    with store.write() as connection:
        some_customers(connection, 4)
        a_run(connection, 1)
        a_run(connection, 2)
        for customer, state in ((1, State.SENT), (2, State.SENT), (3, State.UNCERTAIN)):
            a_delivery(connection, 1, customer, state)
        a_delivery(connection, 2, 4, State.SENT)
    with store.read() as connection:
        found = status(connection, NOW).as_json()
    assert found["states"]["sent"] == 3
    assert found["states"]["uncertain"] == 1
    assert found["states"]["failed"] == 0
    assert set(found["states"]) == {state.value for state in State}
    first, second = found["runs"]
    assert (first["definition"], first["states"]["sent"], first["states"]["uncertain"]) == ("camp-1", 2, 1)  # fmt: skip
    assert (second["definition"], second["states"]["sent"]) == ("camp-2", 1)


def test_a_run_without_deliveries_stands_there_with_zeroes(store: Store) -> None:
    with store.write() as connection:
        a_run(connection, 1)
    with store.read() as connection:
        found = status(connection, NOW)
    assert sum(found.runs[0].counts.values()) == 0
    assert "camp-1" in found.as_text()


def test_blocked_runs_and_pauses_say_why_and_by_whom(store: Store) -> None:
    with store.write() as connection:
        a_run(connection, 1, "blocked", reason="templates/email/x.html.j2:3: 'nam' is undefined")
        connection.execute(insert(pauses).values(target="channel:email", at=NOW, by="mei@desk"))
    with store.read() as connection:
        found = status(connection, NOW)
    assert found.as_json()["blocked"] == [
        {
            "run": 1,
            "definition": "camp-1",
            "reason": "templates/email/x.html.j2:3: 'nam' is undefined",
        }
    ]
    assert found.as_json()["pauses"][0]["target"] == "channel:email"
    text = found.as_text("Asia/Shanghai")
    assert "'nam' is undefined" in text
    assert "paused: channel:email since 2026-11-09 10:00:00 by mei@desk" in text


def test_the_next_due_moment_is_that_of_the_earliest_planned_row(store: Store) -> None:
    with store.write() as connection:
        some_customers(connection, 3)
        a_run(connection, 1)
        a_delivery(connection, 1, 1, State.SENT)
        a_delivery(connection, 1, 2, State.PLANNED)
        a_delivery(connection, 1, 3, State.PLANNED)
    with store.read() as connection:
        found = status(connection, NOW)
    assert found.next_due_at == NOW + timedelta(minutes=2)


def test_runs_that_are_held_are_not_due_next(store: Store) -> None:
    with store.write() as connection:
        some_customers(connection, 5)
        for number, state in enumerate(("blocked", "open", "open", "open", "cancelled"), start=1):
            a_run(connection, number, state)
            a_delivery(connection, number, number, State.PLANNED)
        for target in ("campaign:camp-2", "run:3", "channel:sms"):
            connection.execute(insert(pauses).values(target=target, at=NOW, by="op"))
    with store.read() as connection:
        assert status(connection, NOW).next_due_at == NOW + timedelta(minutes=4)
    with store.write() as connection:
        connection.execute(insert(pauses).values(target="all", at=NOW, by="op"))
    with store.read() as connection:
        assert status(connection, NOW).next_due_at is None


def test_what_is_put_off_says_why(store: Store) -> None:
    with store.write() as connection:
        a_run(connection, 1)
        some_customers(connection, 2)
        a_delivery(connection, 1, 1, State.PLANNED)
        a_delivery(connection, 1, 2, State.PLANNED)
        connection.execute(
            deliveries.update()
            .where(deliveries.c.customer_id == 1)
            .values(reason="relay away: connect: refused\x1b[2J")
        )
    with store.read() as connection:
        found = status(connection, NOW)
    assert found.as_json()["put_off"] == "relay away: connect: refused\x1b[2J"
    assert "put off: relay away: connect: refused\\x1b[2J" in found.as_text()


def test_an_empty_database_says_what_to_do(store: Store) -> None:
    with store.read() as connection:
        found = status(connection, NOW)
    assert found.as_json()["runs"] == []
    assert "apply" in found.as_text()


def test_the_text_leaves_old_finished_runs_out_and_says_so(store: Store) -> None:
    with store.write() as connection:
        for number in range(1, 31):
            a_run(connection, number, "done")
    with store.read() as connection:
        text = status(connection, NOW).as_text()
    assert "camp-30" in text
    assert "camp-10 " not in text
    assert "10 older finished runs" in text


def test_the_text_adds_up_the_days_of_a_rule_that_lie_ahead(store: Store) -> None:
    """A care rule has a run for each of the next six weeks: nobody would find the one that matters among them."""
    with store.write() as connection:
        some_customers(connection, 8)
        for number in range(1, 7):
            day, starts = f"day:2026-11-{16 - number:02}", NOW + timedelta(days=7 - number)
            a_run(connection, number, definition="birthday", occurrence=day, starts_at=starts)
            a_delivery(connection, number, number, State.PLANNED)
        a_delivery(connection, 6, 7, State.SENT)
        a_run(connection, 7, definition="once")
        a_delivery(connection, 7, 8, State.PLANNED)
    with store.read() as connection:
        found = status(connection, NOW)
    lines = [" ".join(line.split()) for line in found.as_text().splitlines()]
    assert "birthday 5 runs, day:2026-11-11 to day:2026-11-15 open 5" in lines
    assert "6 birthday day:2026-11-10 open 1 1" in lines
    assert "7 once at:2026-11-09T10:00+08:00 open 1" in lines
    assert "-o json has each" in found.as_text()
    assert len(found.as_json()["runs"]) == 7
