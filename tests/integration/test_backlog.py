"""What is late after a pause or an outage: looked at before, treated in sets, told by `explain` afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select

from engine.cli.overdue import as_text
from engine.clock import Clock
from engine.delivery import control
from engine.delivery.backlog import after_outage
from engine.delivery.dispatch import Dispatcher
from engine.delivery.targets import parse_target
from engine.store.catalog import CatalogReader
from engine.store.session import Store
from engine.store.tables import audit, decisions, deliveries, pauses
from tests.line import CAMPAIGN, DUE, Line, settings_for
from workers.planner import Planner

HOUR = timedelta(hours=1)
POLICY = (
    "overdue: {after: 2h, do: spread, over: 4h}\nconsent: {unknown: {email: {marketing: true}}}"
)


def line_of(store: Store, people: int, policy: str = "") -> Line:
    line = Line(store, settings_for(1))
    line.prepare(people, {"campaigns/sale.yaml": CAMPAIGN, **({"policy.yaml": policy} if policy else {})})  # fmt: skip
    return line


def next_looks(store: Store) -> list[datetime]:
    with store.read() as connection:
        query = select(deliveries.c.next_at).order_by(deliveries.c.due_at, deliveries.c.id)
        return list(connection.execute(query).scalars())


def decided(store: Store) -> list[tuple[str, str, dict[str, object], object]]:
    with store.read() as connection:
        rows = connection.execute(select(decisions).order_by(decisions.c.id)).all()
        return [(row.verdict, row.reason, row.rule, row.evidence.get("do")) for row in rows]


def test_a_backlog_is_shown_with_what_each_answer_would_do(store: Store) -> None:
    line = line_of(store, 4)
    control.pause(store, "sale", by="op", now=line.now)
    line.later(71 * HOUR)  # it expires after three days
    with store.read() as connection:
        late = control.backlog(connection, parse_target(connection, "sale"), line.now, 4 * HOUR)
    assert (late.count, late.expired, late.expire_within) == (4, 0, 4)
    assert (late.oldest, late.newest, late.definitions) == (DUE, DUE, {"sale": 4})
    assert as_text(late, line.now, 4 * HOUR, "Asia/Shanghai").splitlines() == [
        "4 messages are overdue by more than an hour: 4 of sale",
        "  due from 2026-11-02 10:00:00 to 2026-11-02 10:00:00 Asia/Shanghai;"
        " 0 of them have expired and are skipped whatever you say",
        "  drop    skips all 4",
        "  spread  sends 4 over 4 hours, until 2026-11-05 13:00:00; up to 4 of them expire on the way",
        "  send    sends 4 as fast as caps and rates allow",
    ]


def test_a_spread_backlog_has_its_moments_and_a_decision_each(store: Store) -> None:
    line = line_of(store, 4)
    control.pause(store, "sale", by="op", now=line.now)
    line.later(6 * HOUR)
    control.resume(store, "sale", by="op", now=line.now, overdue="spread", over=2 * HOUR)
    assert next_looks(store) == [line.now + HOUR * share for share in (0, 0.5, 1, 1.5)]
    assert decided(store) == [("defer", "overdue", {}, "spread")] * 4


def test_a_dropped_backlog_has_a_decision_each(store: Store) -> None:
    line = line_of(store, 3)
    control.pause(store, "sale", by="op", now=line.now)
    line.later(6 * HOUR)
    control.resume(store, "sale", by="op", now=line.now, overdue="drop")
    assert line.states() == {"skipped": 3}
    assert decided(store) == [("skip", "overdue", {}, "drop")] * 3


def test_after_an_outage_the_policy_says_what_becomes_of_what_came_due(store: Store) -> None:
    line = line_of(store, 4, POLICY)
    planner = Planner(store)
    planner.look(Clock.starting_at(DUE - HOUR))
    back = DUE + 5 * HOUR
    planner.look(Clock.starting_at(back))
    first, *others = next_looks(store)
    assert abs(first - back) < timedelta(seconds=30)
    assert [moment - first for moment in others] == [HOUR, 2 * HOUR, 3 * HOUR]
    rule = {"file": "policy.yaml", "line": 1, "text": "{after: 2h, do: spread, over: 4h}"}
    assert decided(store) == [("defer", "overdue", rule, "spread")] * 4
    planner.look(Clock.starting_at(back + timedelta(seconds=20)))
    assert len(decided(store)) == 4
    with store.read() as connection:
        outages = select(func.count()).where(audit.c.action == "outage")
        assert connection.execute(outages).scalar_one() == 1
    assert line.states() == {"planned": 4}


def test_a_long_queue_or_a_short_absence_is_no_outage(store: Store) -> None:
    line_of(store, 2, POLICY)
    with store.read() as connection:
        policy = CatalogReader().read(connection).policy
    assert after_outage(store, policy, DUE - HOUR) == 0
    assert after_outage(store, policy, DUE + HOUR) == 0  # two hours away: not more than that
    assert after_outage(store, policy, DUE + 6 * HOUR) == 0  # due before the last look: a queue
    assert decided(store) == []


def test_what_an_operator_holds_back_takes_no_place_under_a_cap(store: Store) -> None:
    rule = "volume: [{class: transactional, max: 2, per: 1d}]"
    line = line_of(store, 3, rule)
    control.pause(store, "domain:example.com", by="op", now=line.now)
    line.tick()
    line.later(HOUR / 4)
    line.tick()
    assert line.states() == {"planned": 3}
    control.resume(store, "domain:example.com", by="op", now=line.now)
    line.tick()
    assert line.states() == {"queued": 2, "planned": 1}
    assert [reason for _, reason, _, _ in decided(store)] == ["volume"]


class Interrupted(Dispatcher):
    """Somebody pauses another campaign between what it reads and what it writes, once."""

    target = "run:999"

    def _look(self, connection: Connection, now: datetime) -> Any:
        found = super()._look(connection, now)
        if self.target:
            values = {"target": self.target, "at": now, "by": "op"}
            with self.store.write() as other:
                other.execute(insert(pauses).values(**values))
            self.target = ""
        return found


def test_a_pause_that_comes_between_costs_no_place_under_a_cap(store: Store) -> None:
    line = line_of(store, 2, "volume: [{class: transactional, max: 2, per: 1d}]")
    dispatcher = Interrupted(store, line.batches.append, "first", frozenset({"email"}))
    assert dispatcher.tick(line.now).admitted == 0
    assert dispatcher.tick(line.now).admitted == 2
