"""The same random days in the database and in the reference: news, looks, decisions; compared after each step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import select, update

from engine.channels.base import Accepted, Outcome, Refused, Unknown
from engine.delivery.ledger import record
from engine.delivery.results import Sent, judge
from engine.gate.decision import Defer, Send
from engine.planning.expansion import horizon
from engine.planning.look import look
from engine.smtp_replies import ReplyKind
from engine.store.tables import (  # fmt: skip
    deliveries,
)
from tests.worlds.calendars import DAY, HOUR, MINUTE
from tests.worlds.news import News
from tests.worlds.rows import Key, Row
from tests.worlds.series import REPLY

_OUTCOMES: dict[str, Outcome] = {
    "sent": Accepted("250 ok"),
    "refused": Refused(REPLY, permanent=True, phase="rcpt", kind=ReplyKind.POLICY),
    "unknown address": Refused(REPLY, permanent=True, phase="rcpt", kind=ReplyKind.BAD_ADDRESS),
    "uncertain": Unknown("dot", REPLY),
}


class Played(News):
    """One world, played and compared."""

    def play(self) -> None:
        for step in range(self.random.randint(3, 7)):
            if step:
                self.now += self.random.choice((timedelta(seconds=1), 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 4 * HOUR, 9 * HOUR, DAY, 2 * DAY))  # fmt: skip
                for _ in range(self.random.choice((0, 1, 3, 6, 9))):
                    self.news()
                self.flush()
            self.look()
            self.compare()

    # --- looking and comparing ------------------------------------------------------------------------------------

    def look(self) -> None:
        with self.store.read() as connection:
            catalog = self._reader.read(connection)
        still, new_day = self._refreshed is not None, self.reference.is_new_day(self.now)
        look(self.store, catalog, self.now, horizon(catalog.policy), is_still=still)
        if new_day:
            self._refreshed = self.now
        self._read()
        self.reference.look(self.now)
        while self._tick():
            pass

    def _tick(self) -> bool:
        tick = self.dispatcher.tick(self.now)
        assert tick.leads
        self.reference.go_on(self.now)
        decided, due = self.dispatcher.decided, {row.key: row for row in self.reference.due(self.now)}  # fmt: skip
        keys = [self._key(candidate) for candidate, _ in decided]
        assert set(keys) == set(due), self.told(f"asked {set(keys) ^ set(due)}")
        places = [due[key].priority for key in keys]
        assert places == sorted(places, reverse=True), self.told("not in the order of priority")
        for key, (_, decision) in zip(keys, decided, strict=True):
            self._agree(due[key], decision)
        self._hand_over([row for row in due.values() if row.state == "queued"])
        self.decisions += len(decided)
        return bool(decided)

    def _hand_over(self, rows: list[Row]) -> None:
        """What a worker does, with the outcomes that this world has in store."""
        if not rows:
            return
        queued = deliveries.c.state == "queued"
        self._read()
        with self.store.write() as connection:
            more = {"state": "sending", "worker": "w", "attempts": deliveries.c.attempts + 1}
            connection.execute(update(deliveries).where(queued, deliveries.c.first_attempt_at.is_(None)).values(first_attempt_at=self.now))  # fmt: skip
            connection.execute(update(deliveries).where(queued).values(**more))
            results = []
            for row in rows:
                outcome = self._outcome(row)
                results.append(judge(self._sent(row), _OUTCOMES[outcome], self.now))
                self.reference.handed_over(row, outcome, self.now)
            record(connection, "w", results)

    def _sent(self, row: Row) -> Sent:
        found, spec = self.engine[row.key], self.world.definitions[row.definition]
        return Sent(
            found.id, found.customer_id, found.run_id, found.attempts + 1, found.channel, found.address_hash,
            row.offered.index(found.channel), row.offered, found.not_after,
            spec.get("on_uncertain") == "resend", None,
        )  # fmt: skip

    def _outcome(self, row: Row) -> str:
        """Caps of the whole shop are counted now and then, so what fails there would count for a while."""
        if {"volume", "budget"} & set(self.world.policy) or any("budget" in spec for spec in self.world.definitions.values()):  # fmt: skip
            return "sent"
        chances = ["sent"] * 14 + ["refused"] * 3 + ["unknown address"] + ["uncertain"] * 2
        return Random(f"{self.world.seed}{row.key}{row.attempts}").choice(chances)

    def _key(self, candidate: Any) -> Key:
        return candidate.definition, candidate.step, self.refs[candidate.customer_id], candidate.anchor  # fmt: skip

    def _agree(self, row: Row, decision: Any) -> None:
        verdict, what, at = self.reference.judge(row, self.now)
        if isinstance(decision, Send):
            found: tuple[str, str, Any] = ("send", decision.channel, decision.send_at)
        elif isinstance(decision, Defer):
            found = ("defer", decision.because.reason, decision.until)
            assert decision.until > self.now, self.told(f"{row.key} put off to {decision.until}")
        else:
            found = ("skip", decision.because.reason, None)
        if found[0] == verdict == "defer" and at is None and found[1] in ("rate", "volume"):
            what, at = (
                found[1],
                found[2],
            )  # for a rate or a full cap the engine looks again when it likes
        assert found == (verdict, what, at), self.told(f"{row.key} at {self.now}: engine {found}, reference {(verdict, what, at)}; {row}")  # fmt: skip
        self.reference.enter(row, verdict, what, at, self.now)

    def _read(self) -> None:
        with self.store.read() as connection:
            self.engine = {self._key(row): row for row in connection.execute(select(deliveries)).all()}  # fmt: skip
        self.ids = {key: row.id for key, row in self.engine.items()}
        self.reference.chance.seen = {key: (row.state, row.reason, row.due_at) for key, row in self.engine.items()}  # fmt: skip

    def compare(self) -> None:
        self._read()
        mine = {key: _shown(row.state, row.reason, row.due, row.next_at, row.not_after) for key, row in self.reference.rows.items()}  # fmt: skip
        theirs = {key: _shown(row.state, row.reason, row.due_at, row.next_at, row.not_after) for key, row in self.engine.items()}  # fmt: skip
        differing = [
            f"{key}: engine {theirs.get(key)}, reference {mine.get(key)}"
            for key in sorted({*mine, *theirs})
            if mine.get(key) != theirs.get(key)
        ]
        assert not differing, self.told("\n".join(differing[:5]))
        self.compared += len(mine)

    def told(self, what: str) -> str:
        names = {name for name in self.world.definitions if name in what}
        people = [person for ref, person in self.world.people.items() if f"'{ref}'" in what]
        lines = [f"seed {self.world.seed} at {self.now}: {what}", *self.story, f"policy {json.dumps(self.world.policy, ensure_ascii=False)}"]  # fmt: skip
        lines += [f"{name}: {json.dumps(self.world.definitions[name], ensure_ascii=False)}" for name in names]  # fmt: skip
        return "\n".join([*lines, *map(str, people[:3])])


@dataclass(frozen=True)
class Shown:
    """What is compared of a delivery. `next_at` only of what is planned."""

    state: str
    reason: str | None
    due: datetime
    next_at: datetime | None
    not_after: datetime


def _shown(
    state: str, reason: str | None, due: datetime, next_at: datetime, not_after: datetime
) -> Shown:
    return Shown(state, reason, due, next_at if state == "planned" else None, not_after)
