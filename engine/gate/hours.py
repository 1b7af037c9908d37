"""Quiet hours and days at the gate: one batch's answers, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.overrides import evidence_of
from engine.definitions.policy import Policy, QuietDays, QuietHours
from engine.definitions.quiet import Opening, Quiet, quiet_of
from engine.gate.candidates import Candidate
from engine.gate.decision import Because, Defer, Skip, of_policy

QUIET, QUIET_TOO_LONG = "quiet hours", "quiet hours until after expiry"
QUIET_DAY, QUIET_DAY_TOO_LONG = "quiet day", "quiet days until after expiry"


class QuietTimes:
    """The policy's quiet hours and days for one batch: marketing and care, in each customer's zone."""

    def __init__(self, policy: Policy, now: datetime) -> None:
        self._policy = policy
        self._now = now
        self._quiet: dict[tuple[MessageClass, Channel, str | None], Quiet | None] = {}
        self._open_now: dict[tuple[MessageClass, Channel, str | None], bool] = {}

    def opening(self, candidate: Candidate, channel: Channel) -> Opening:
        """When messages of this candidate on this channel may go; always, where nothing ever keeps them quiet."""
        quiet = self._of(candidate, channel)
        return _always if quiet is None else quiet.opening

    def are_over(self, candidate: Candidate, channel: Channel) -> bool:
        """Whether it is open at this batch's `now`; worked out once per class, channel and zone."""
        quiet = self._of(candidate, channel)
        if quiet is None:
            return True
        key = (candidate.message_class, channel, candidate.timezone)
        found = self._open_now.get(key)
        if found is None:
            found = self._open_now[key] = quiet.closed(self._now) is None
        return found

    def judge(
        self, candidate: Candidate, channel: Channel, moment: datetime
    ) -> Defer | Skip | None:
        """None where nothing keeps it quiet; else a deferral to the end of it, or a skip where that outlasts the
        message."""
        if moment is self._now and self.are_over(candidate, channel):
            return None
        quiet = self._of(candidate, channel)
        closed = None if quiet is None else quiet.closed(moment)
        if quiet is None or closed is None:
            return None
        reason, too_long = _REASONS[type(closed.rule)]
        local = moment.astimezone(quiet.zone)
        facts = {"channel": channel, "local_time": local.isoformat(), "timezone": quiet.zone.key}
        evidence = {**facts, **evidence_of(closed.override)}
        because = Because(reason, of_policy(closed.rule), evidence)
        until = quiet.opening(moment)
        if until is None or until > candidate.not_after:
            return Skip(Because(too_long, because.rule, because.evidence))
        return Defer(until, because)

    def _of(self, candidate: Candidate, channel: Channel) -> Quiet | None:
        key = (candidate.message_class, channel, candidate.timezone)
        if key not in self._quiet:
            self._quiet[key] = quiet_of(self._policy, *key)
        return self._quiet[key]


_REASONS: Mapping[type[QuietHours] | type[QuietDays], tuple[str, str]] = {
    QuietHours: (QUIET, QUIET_TOO_LONG),
    QuietDays: (QUIET_DAY, QUIET_DAY_TOO_LONG),
}


def _always(moment: datetime) -> datetime:
    return moment
