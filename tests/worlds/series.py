"""Series row by row, and what becomes of attempts: docs/series.md, and the states of docs/architecture.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tests.worlds.calendars import lasting
from tests.worlds.people import Spec, World, lifetime, step_id, words
from tests.worlds.rows import ENDED, Key, Row

REPLY = "no answer that helps"


@dataclass
class Series:
    """`suppressed`: (channel, address); `left`: when persons withdrew consent: (address, class, when)."""

    world: World
    rows: dict[Key, Row] = field(default_factory=dict)
    suppressed: set[tuple[str, str]] = field(default_factory=set)
    left: list[tuple[str, str, datetime]] = field(default_factory=list)
    _all: list[Row] = field(default_factory=list)

    def handed_over(self, row: Row, outcome: str, now: datetime) -> None:
        """What became of an attempt. After a refusal for good the next channel is tried; an address that does not exist
        gets nothing any more."""
        row.attempts += 1
        row.first_try, channel = row.first_try or now, row.channels[0]
        if outcome == "sent":
            row.state, row.sent_at, row.ended_at, row.reason = "sent", now, now, None
            return
        following = row.offered[row.offered.index(channel) + 1 :]
        if outcome == "unknown address":
            assert row.address is not None
            self.suppressed.add((channel, row.address))
            row.events.append(("bounced", now, False))
        if outcome == "uncertain":
            resend = self.world.definitions[row.definition].get("on_uncertain") == "resend"
            if resend:
                self._again(row, row.offered, f"uncertain: {REPLY}", now)
            else:
                row.state, row.reason, row.ended_at = "uncertain", "no reply after dot", now
        elif following:
            self._again(row, following, f"next channel: {REPLY}", now)
        else:
            row.state, row.reason, row.ended_at = "failed", "refused", now

    def _again(self, row: Row, channels: tuple[str, ...], reason: str, now: datetime) -> None:
        """Planned once more: what it had taken up is free."""
        row.state, row.channels, row.reason, row.next_at = "planned", channels, reason, now
        row.admitted_at = row.send_at = row.address = row.ended_at = None

    def retry(self, name: str, now: datetime) -> None:
        for row in self._all:
            if row.definition == name and row.state == "failed":
                row.not_after = max(row.not_after, now + (row.not_after - row.due))
                self._again(row, row.offered, "retried by an operator", now)
                self._revive(row)

    def settle(self, name: str, state: str, now: datetime) -> None:
        chosen = [one for one in self._all if one.definition == name and one.state in ("uncertain", "failed") and one.state != state]  # fmt: skip
        for row in chosen:
            row.state, row.ended_at, row.reason = state, now, "settled by test"
            if state == "sent":
                row.sent_at = row.first_try or now
        for row in chosen if state == "sent" else []:
            self._revive(row)

    def _revive(self, parent: Row) -> None:
        """What was skipped because of that step waits again."""
        for row in self._all:
            skipped = row.state == "skipped" and str(row.reason).startswith("earlier step")
            if skipped and self._parent(row) is parent:
                row.state, row.reason, row.ended_at = "waiting", None, None
                self._revive(row)

    def go_on(self, now: datetime) -> None:
        """Tell later steps how the step before them ended, until nothing more ends."""
        changed = True
        while changed:
            changed = False
            for row in self._all:
                parent = self._parent(row)
                if row.state == "waiting" and parent is not None and parent.state in ENDED:
                    self._told(row, parent, now)
                    changed = True

    def _parent(self, row: Row) -> Row | None:
        if row.parent is None:
            return None
        return self.rows.get((row.definition, row.parent, row.person.ref, row.anchor))

    def _after(self, row: Row) -> Spec:
        spec = self.world.definitions[row.definition]
        return dict(next(one["after"] for one in spec["steps"] if step_id(one) == row.step))

    def _told(self, row: Row, parent: Row, now: datetime) -> None:
        after = self._after(row)
        stopped = parent.state == "skipped" and parent.reason == "stopped"
        if parent.state == "sent" or (after.get("on") == "any" and not stopped):
            moment = parent.sent_at if parent.state == "sent" else parent.ended_at
            assert moment is not None
            row.state, row.due = "planned", _whole(moment) + lasting(after["wait"])
            row.next_at = row.due
            row.not_after = row.due + lifetime(self.world.definitions[row.definition])
        else:
            row.state, row.ended_at = "skipped", now
            row.reason = "stopped" if stopped else f"earlier step {parent.state}"

    def _series_over(self, row: Row, now: datetime) -> str | None:
        parent = self._parent(row)
        if parent is None:
            return None
        spec, after = self.world.definitions[row.definition], self._after(row)
        first = self.rows[row.definition, step_id(spec["steps"][0]), row.person.ref, row.anchor]
        series = [one for one in self._all if (one.definition, one.person, one.anchor) == (row.definition, row.person, row.anchor)]  # fmt: skip
        if any(self._happened(word, first, series, now) for word in words(spec.get("stop_on"))):
            return "stopped"
        if any(self._happened(word, parent, [parent], now) for word in words(after.get("unless"))):
            return "unless"
        only_if = words(after.get("if"))
        if only_if and not any(self._happened(word, parent, [parent], now) for word in only_if):
            return "if"
        return None

    def _happened(self, word: str, since: Row, messages: list[Row], now: datetime) -> bool:
        began = since.sent_at or since.ended_at
        if began is None:
            return False
        if word == "ordered":
            return any(began <= one.placed_at <= now for one in since.person.orders)
        if word == "unsubscribed":
            mine = since.person.addresses.values()
            return any(
                address in mine and name == since.message_class and began <= at <= now
                for address, name, at in self.left
            )
        kinds = ("opened", "viewed", "clicked") if word == "opened" else (word,)
        return any(kind in kinds and at <= now and not machine for one in messages for kind, at, machine in one.events)  # fmt: skip


def _whole(moment: datetime) -> datetime:
    """Due times are whole seconds."""
    return moment.replace(microsecond=0)
