"""The rules of series row by row in plain Python, for comparison: no sets, no SQL, nothing of the engine's own code."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

WORDS = ("clicked", "ordered", "unsubscribed", "bounced")
ENDED = ("sent", "failed", "uncertain", "skipped", "cancelled")


@dataclass(frozen=True)
class Step:
    id: str
    parent: str | None = None
    wait: timedelta = timedelta()
    on: str = "sent"
    unless: tuple[str, ...] = ()
    only_if: tuple[str, ...] = ()

    def as_yaml(self) -> str:
        content = "email: {subject: hi, template: hello}"
        if self.parent is None:
            return f"  - {{id: {self.id}, {content}}}"
        hours = int(self.wait.total_seconds()) // 3600
        words = f", unless: [{', '.join(self.unless)}]" if self.unless else ""
        words += f", if: [{', '.join(self.only_if)}]" if self.only_if else ""
        after = f"{{step: {self.parent}, wait: {hours}h, on: {self.on}{words}}}"
        return f"  - {{id: {self.id}, after: {after}, {content}}}"


@dataclass(frozen=True)
class World:
    """One definition. `outcome` of an attempt and `events` after a sending depend on nothing but their names."""

    id: str
    steps: tuple[Step, ...]
    stop_on: tuple[str, ...]
    lifetime: timedelta

    @classmethod
    def random(cls, number: int) -> World:
        random = Random(number)
        stop_on = tuple(random.sample(WORDS, random.choice((0, 0, 1, 2))))
        steps = [Step("s0")]
        for place in range(1, random.choice((2, 3, 3, 4))):
            unless = tuple(random.sample(WORDS, random.choice((0, 0, 1, 2))))
            rest = [word for word in WORDS if word not in (*unless, *stop_on)]
            only_if = tuple(random.sample(rest, random.choice((0, 0, 0, 1))))
            wait = timedelta(hours=random.choice((12, 24, 36, 48)))
            parent = random.choice(steps).id
            steps.append(Step(f"s{place}", parent, wait, random.choice(("sent", "sent", "any")), unless, only_if))  # fmt: skip
        return cls(f"w{number}", tuple(steps), stop_on, timedelta(hours=random.choice((24, 72))))

    def as_yaml(self, at: str) -> str:
        stop = f"stop_on: [{', '.join(self.stop_on)}]\n" if self.stop_on else ""
        hours = int(self.lifetime.total_seconds()) // 3600
        steps = "\n".join(step.as_yaml() for step in self.steps)
        schedule = f'{{at: "{at}", expires: {hours}h}}'
        return f"kind: campaign\nclass: care\nschedule: {schedule}\naudience: {{all: []}}\n{stop}steps:\n{steps}\n"

    def outcome(self, step: str, ref: str, attempt: int) -> str:
        chances = ["sent"] * 15 + ["failed"] * 3 + ["uncertain"] * 2
        return Random(f"{self.id}{step}{ref}{attempt}").choice(chances)

    def events(self, step: str, ref: str, sent_at: datetime) -> list[tuple[str, datetime, bool]]:
        """(kind, when, by a machine)"""
        random = Random(f"{self.id}{step}{ref}")
        kinds = random.sample(("clicked", "bounced", "opened"), random.choice((0, 0, 1, 2)))
        return [
            (kind, sent_at + timedelta(hours=random.choice((5, 17, 29))), random.random() < 0.4)
            for kind in kinds
        ]


@dataclass
class Row:
    state: str
    due: datetime
    not_after: datetime
    next_at: datetime
    reason: str | None = None
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    first_try: datetime | None = None
    attempts: int = 0
    events: list[tuple[str, datetime, bool]] = field(default_factory=list)


@dataclass
class Series:
    """One customer's way through one definition. `orders`: when placed; `left`: when they unsubscribed."""

    world: World
    ref: str
    orders: list[datetime]
    left: datetime | None
    rows: dict[str, Row]

    @classmethod
    def begin(
        cls, world: World, ref: str, start: datetime, orders: list[datetime], left: datetime | None
    ) -> Series:
        rows: dict[str, Row] = {}
        for step in world.steps:
            due = start if step.parent is None else rows[step.parent].due + step.wait
            state = "planned" if step.parent is None else "waiting"
            rows[step.id] = Row(state, due, due + world.lifetime, due)
        return cls(world, ref, orders, left, rows)

    def look(self, now: datetime) -> None:
        """Everything that happens at this moment, until nothing more does."""
        while self._tell(now) or self._decide(now):
            pass

    def retry(self, now: datetime) -> None:
        for name, row in self.rows.items():
            if row.state == "failed":
                lifetime = row.not_after - row.due
                row.state, row.next_at, row.ended_at = "planned", now, None
                row.not_after = max(row.not_after, now + lifetime)
                row.reason = "retried by an operator"
                self._revive(name)

    def settle(self, now: datetime) -> None:
        chosen = [name for name, row in self.rows.items() if row.state in ("failed", "uncertain")]
        for name in chosen:
            row = self.rows[name]
            row.state, row.ended_at, row.sent_at, row.reason = "sent", now, row.first_try, "settled by me"  # fmt: skip
        for name in chosen:
            self._revive(name)

    def _revive(self, parent: str) -> None:
        for step in self.world.steps:
            row = self.rows[step.id]
            mine = step.parent == parent and row.state == "skipped"
            if mine and (row.reason or "").startswith("earlier step"):
                row.state, row.reason, row.ended_at = "waiting", None, None
                self._revive(step.id)

    def _tell(self, now: datetime) -> bool:
        changed = False
        for step in self.world.steps:
            row = self.rows[step.id]
            if row.state != "waiting" or step.parent is None:
                continue
            parent = self.rows[step.parent]
            if parent.state in ENDED:
                self._told(step, row, parent, now)
                changed = True
        return changed

    def _told(self, step: Step, row: Row, parent: Row, now: datetime) -> None:
        stopped = parent.state == "skipped" and parent.reason == "stopped"
        if parent.state == "sent" or (step.on == "any" and not stopped):
            moment = parent.sent_at if parent.state == "sent" else parent.ended_at
            assert moment is not None
            row.state, row.due = "planned", moment + step.wait
            row.next_at, row.not_after = row.due, row.due + self.world.lifetime
            return
        row.state, row.ended_at = "skipped", now
        row.reason = "stopped" if stopped else f"earlier step {parent.state}"

    def _decide(self, now: datetime) -> bool:
        changed = False
        for step in self.world.steps:
            row = self.rows[step.id]
            if row.state != "planned" or row.next_at > now:
                continue
            changed = True
            why = self._against(step, row, now)
            if why is not None:
                row.state, row.reason, row.ended_at = "skipped", why, now
            else:
                self._send(step, row, now)
        return changed

    def _send(self, step: Step, row: Row, now: datetime) -> None:
        row.attempts += 1
        row.first_try = row.first_try or now
        row.state = self.world.outcome(step.id, self.ref, row.attempts)
        row.ended_at, row.sent_at, row.reason = now, None, {"sent": None, "failed": "refused"}.get(row.state, "no reply after dot")  # fmt: skip
        if row.state == "sent":
            row.sent_at = now
            row.events = self.world.events(step.id, self.ref, now)

    def _against(self, step: Step, row: Row, now: datetime) -> str | None:
        if now > row.not_after:
            return "expired"
        if step.parent is not None:
            first, parent = self.rows["s0"], self.rows[step.parent]
            whole = [event for each in self.rows.values() for event in each.events]
            if any(self._happened(word, first, whole, now) for word in self.world.stop_on):
                return "stopped"
            if any(self._happened(word, parent, parent.events, now) for word in step.unless):
                return "unless"
            holds = [self._happened(word, parent, parent.events, now) for word in step.only_if]
            if holds and not any(holds):
                return "if"
        return "no consent" if self.left is not None and self.left <= now else None

    def _happened(
        self, word: str, since: Row, events: list[tuple[str, datetime, bool]], now: datetime
    ) -> bool:
        began = since.sent_at or since.ended_at
        if word == "ordered":
            return began is not None and any(began <= placed <= now for placed in self.orders)
        if word == "unsubscribed":
            return began is not None and self.left is not None and began <= self.left <= now
        return any(kind == word and at <= now and not machine for kind, at, machine in events)
