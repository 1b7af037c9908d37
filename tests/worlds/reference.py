"""The rules of the whole way from a trigger to a decision, row by row, from their wording in docs/ alone.

What the documents leave to chance is taken from the engine, and only its bounds are checked (`Chance`): who is held out
(for ever), a customer's place within a spread or window (always the same), and which of two messages of one priority is
asked first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any

from tests.worlds import frequency, volume
from tests.worlds.audience import holds
from tests.worlds.calendars import DAY, lasting
from tests.worlds.people import Person, Spec, channels_of, horizon, lifetime, step_id
from tests.worlds.planning import (  # fmt: skip
    Due,
    Triggers,
    due_of,
    named,
    occurrences,
    reason_stands,
    schedule_of,
)
from tests.worlds.quiet import Quiet
from tests.worlds.rows import Key, Row
from tests.worlds.series import Series

SENDER = "hi@shop.example"
PAUSED_FOR = timedelta(minutes=5)


class Chance:
    """What the engine drew. `seen`: its rows, key → (state, reason, due)."""

    def __init__(self) -> None:
        self.seen: dict[Key, tuple[str, str | None, datetime]] = {}
        self._held: dict[tuple[str, str], bool] = {}
        self._places: dict[tuple[str, str], timedelta] = {}

    def due(self, key: Key, due: Due) -> datetime:
        """Within its bounds, and always as far from their beginning."""
        if due.width == timedelta() or key not in self.seen:
            return due.at
        at = self.seen[key][2]
        assert due.at <= at < due.at + due.width, f"{key}: {at} is not within {due}"
        if due.until is None:
            place = self._places.setdefault((key[0], key[2]), at - due.at)
            assert abs(place - (at - due.at)) <= lasting("2h"), f"{key}: another place within {due}"
        return at

    def held_out(self, key: Key, spec: Spec, policy: Spec) -> str | None:
        """Why it is held out, as long as it is so always."""
        state, reason, _ = self.seen.get(key, ("", None, None))
        found = reason if state == "holdout" else None
        for name, may in (
            ("holdout of the shop", spec["class"] == "marketing" and "holdout" in policy),
            ("holdout", "holdout" in spec.get("audience", {})),
        ):
            assert may or found != name, f"{key} is held out, and nothing says so"
            drawn = (key[0] if name == "holdout" else "", key[2])
            if may:
                before = self._held.setdefault(drawn, found == name)
                assert before == (found == name), f"{key}: held out once, and once not"
            if found == name:
                break
        return found


@dataclass
class Reference(Series):
    """One world as it becomes. `others`: messages of other systems; `said`: what the ledger of consent says last of a
    channel, address and class."""

    chance: Chance = field(default_factory=Chance)
    others: list[Row] = field(default_factory=list)
    said: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    grades: dict[str, str | None] = field(default_factory=dict)
    _expanded: dict[tuple[str, str], datetime] = field(default_factory=dict)
    _cycles: dict[str, int] = field(default_factory=dict)
    _fresh: Any = None

    def __post_init__(self) -> None:
        self.quiet = Quiet(self.world)
        self.volume = volume.Volume(self.quiet, self._all)

    # --- what is known of customers -------------------------------------------------------------------------------

    def ordered(self, refs: set[str], now: datetime) -> None:
        """Orders of these customers came in."""
        if self._fresh == self.world.day(now):
            self._evaluate(refs, now)

    def _evaluate(self, refs: set[str], now: datetime) -> None:
        """A first evaluation is no change; each later one of another grade is."""
        for ref in sorted(refs):
            person = self.world.people[ref]
            grade = self.world.grade(person, now)
            if ref in self.grades and self.grades[ref] != grade:
                person.changes.append((now, self.grades[ref], grade))
            self.grades[ref] = grade

    # --- planning -------------------------------------------------------------------------------------------------

    def is_new_day(self, now: datetime) -> bool:
        return bool(self._fresh != self.world.day(now))

    def look(self, now: datetime) -> None:
        """A new day of the shop first brings everybody up to date; then everything due within the horizon is planned."""
        if self.is_new_day(now):
            self._evaluate(set(self.world.people), now)
            self._cycles, self._fresh = self.world.cycles(), self.world.day(now)
        for person in self.world.people.values():
            for card in person.cards:
                if self.world.levels and card.state == "active" and card.expires_at <= now:
                    card.state = "lapsed"
        for name, spec in self.world.definitions.items():
            schedule = schedule_of(spec)
            if schedule is None:
                self._plan_reasons(name, spec, now)
            else:
                self._plan_dates(name, spec, schedule, now)

    def _plan_reasons(self, name: str, spec: Spec, now: datetime) -> None:
        low, high = now - lifetime(spec), now + horizon(self.world.policy)
        triggers = Triggers(self.world, spec, self._cycles)
        for person in self.world.people.values():
            for due in sorted(triggers.due(person, now), key=lambda one: one.at):
                if low < due.at <= high:
                    self._plan(name, spec, person, due, now)

    def _plan_dates(self, name: str, spec: Spec, schedule: Spec, now: datetime) -> None:
        """Filled as it comes within the horizon, and once more as it begins; one that comes again is not joined midway."""
        until = now + horizon(self.world.policy)
        last = lifetime(spec) + (lasting(schedule["spread"]) if "spread" in schedule else timedelta())  # fmt: skip
        days = (now - last - 3 * DAY).date(), (until + 3 * DAY).date()
        for when in occurrences(self.world, schedule, *days):
            once = "at" in schedule
            if when.starts_at > until or (not once and (when.ends_at + last <= now or when.starts_at < self.world.start)):  # fmt: skip
                continue
            before = self._expanded.get((name, when.anchor))
            if before is not None and (now < when.starts_at or before >= when.starts_at):
                continue
            self._expanded[name, when.anchor] = now
            for person in self.world.people.values():
                due = due_of(self.world, schedule, when, person)
                if due is not None:
                    self._plan(name, spec, person, due, now)

    def _plan(self, name: str, spec: Spec, person: Person, due: Due, now: datetime) -> None:
        first = spec["steps"][0]
        key = (name, step_id(first), person.ref, due.anchor)
        if key in self.rows or not self._matches(spec.get("audience", {}), person, now, None):
            return
        at, life = self.chance.due(key, due), lifetime(spec)
        held = self.chance.held_out(key, spec, self.world.policy)
        expected = {step_id(first): at}
        for step in spec["steps"]:
            after = step.get("after")
            when = expected[after["step"]] + lasting(after["wait"]) if after else at
            expected[step_id(step)] = when
            until = when + life
            if due.until is not None and not after:
                until = min(until, due.until)
            state = "holdout" if held else "waiting" if after else "planned"
            row = Row(
                name, step_id(step), person, due.anchor, spec["class"], channels_of(step), spec.get("priority", 50),
                state, when, when, until, due.order, after["step"] if after else None, held,
                sender=parseaddr(step.get("email", {}).get("from", SENDER))[1],
                offered=channels_of(step),
            )  # fmt: skip
            self.rows[row.key] = row
            self._all.append(row)

    def _matches(self, tree: Spec, person: Person, now: datetime, row: Row | None) -> bool:
        return holds(tree, self.world, person, self.grades.get(person.ref), now, row.order if row else None)  # fmt: skip

    # --- deciding -------------------------------------------------------------------------------------------------

    def due(self, now: datetime) -> Iterator[Row]:
        for row in self._all:
            if row.state == "planned" and row.next_at <= now and not self._is_held(row):
                yield row

    def _is_held(self, row: Row) -> bool:
        kind = self.world.definitions[row.definition]["kind"]
        return "all" in self.paused or f"{kind}:{row.definition}" in self.paused

    def judge(self, row: Row, now: datetime) -> tuple[str, str, Any]:
        """(send, channel, stamp), (skip, reason, None) or (defer, reason, until); None as until: any later moment."""
        refusal = self._unfit(row, now) or self._series_over(row, now)
        if refusal is not None:
            return "skip", refusal, None
        channel, refusal = self._route(row, now)
        if channel is None:
            return "skip", refusal, None
        if not self._qualifies(row, now):
            return "skip", "no longer qualifies", None
        if self._had_it(row, now):
            return "skip", "again", None
        return self._quiet(row, channel, now) or self._capped(row, channel, now)

    def _unfit(self, row: Row, now: datetime) -> str | None:
        if row.person.malicious:
            return "malicious"
        if now > row.not_after:
            spec = self.world.definitions[row.definition]
            cut = "finish_by" in spec.get("schedule", {}) and row.not_after - row.due < lifetime(
                spec
            )
            return "finished" if cut else "expired"
        return None

    def _route(self, row: Row, now: datetime) -> tuple[str | None, str]:
        found = []
        for channel in row.channels:
            address = row.person.addresses.get(channel)
            gone = channel == "sms" and row.person.phone_until is not None and row.person.phone_until < now  # fmt: skip
            if address is None or gone:
                continue
            unknown = self.world.policy.get("consent", {}).get("unknown", {}).get(channel, {})
            may = unknown.get(row.message_class, row.message_class != "marketing")
            if (channel, address) in self.suppressed:
                found.append("suppressed")
            elif not self.said.get((channel, address, row.message_class), may):
                found.append("no consent")
            else:
                return channel, ""
        return None, found[0] if found else "no address"

    def _qualifies(self, row: Row, now: datetime) -> bool:
        spec = self.world.definitions[row.definition]
        if not self._matches(spec.get("audience", {}), row.person, now, None):
            return False
        if spec["kind"] == "campaign":
            return True
        stands = reason_stands(self.world, named(spec["trigger"])[0], row.person, row.anchor, row.order)  # fmt: skip
        return stands and self._matches(spec.get("still", {}), row.person, now, row)

    def _had_it(self, row: Row, now: datetime) -> bool:
        again = self.world.definitions[row.definition].get("again")
        return again is not None and row.parent is None and any(
            other.definition == row.definition and other.person is row.person and other.anchor != row.anchor
            and other.parent is None and other.committed and other.admitted_at is not None
            and now - other.admitted_at < lasting(again)
            for other in self._all
        )  # fmt: skip

    def _quiet(self, row: Row, channel: str, now: datetime) -> tuple[str, str, Any] | None:
        if not self.quiet.is_quiet(row, channel, now):
            return None
        days = self.quiet.is_day(row, channel, now)
        end = self.quiet.opening(row, channel, now, row.not_after + 2 * DAY)
        if end is None or end > row.not_after:
            return "skip", f"quiet {'days' if days else 'hours'} until after expiry", None
        return "defer", f"quiet {'day' if days else 'hours'}", end

    def _capped(self, row: Row, channel: str, now: datetime) -> tuple[str, str, Any]:
        everything = self._all + self.others
        cost = self.cost(row, channel)
        reason, found = "frequency", frequency.judge(self.quiet, everything, row, channel, now)
        if found is None:
            reason = "budget"
            found = volume.budget(self.quiet, self._all, row, channel, cost, now)
        if found is not None:
            return ("skip", reason, None) if found == "skip" else ("defer", reason, found)
        verdict, found = self.volume.judge(row, channel, now)
        if verdict == "skip":
            return "skip", found, None
        if verdict == "wait":
            return "defer", "volume", None
        if self.quiet.is_quiet(row, channel, found):
            return self._quiet(row, channel, found) or ("", "", None)
        for name in (f"channel:{channel}", f"domain:{row.person.domain}"):
            if name in self.paused and (channel == "email" or not name.startswith("domain:")):
                return "defer", f"paused {name}", now + PAUSED_FOR
        return "send", channel, found

    def cost(self, row: Row, channel: str) -> int:
        step = next(one for one in self.world.definitions[row.definition]["steps"] if step_id(one) == row.step)  # fmt: skip
        return volume.PRICES[channel] * (step["sms"]["max_parts"] if channel == "sms" else 1)

    def enter(self, row: Row, verdict: str, what: str, at: Any, now: datetime) -> None:
        """What was decided becomes so."""
        if verdict == "send":
            row.state, row.reason, row.channels = "queued", None, (what,)
            row.admitted_at, row.send_at, row.address = now, at, row.person.addresses[what]
            row.cost = self.cost(row, what)
            self.volume.admitted(row, what, at)
        elif verdict == "skip":
            row.state, row.reason, row.ended_at = "skipped", what, now
        else:
            row.reason, row.next_at = what, at

    def resumed(self, target: str, now: datetime) -> None:
        """What was only put off because of this pause is looked at again at once."""
        for row in self._all:
            if row.state == "planned" and row.reason == f"paused {target}":
                row.next_at, row.reason = max(row.due, now), None
