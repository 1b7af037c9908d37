"""From what the channel said to what becomes of the delivery. Pure: outcome in, result out."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from engine.channels.base import Accepted, Outcome, Refused, Unknown

RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60, 120, 240))
"""RFC 5321 §4.5.4.1 asks for 30 minutes or more; greylists open after five, so the first tries come sooner. The last
one repeats until the delivery's `not_after`."""
RELAY_AWAY_AFTER = timedelta(seconds=5)
LONGEST_RELAY_AWAY = timedelta(minutes=5)
"""The relay could not be reached at all: that says nothing about this delivery, so the next look comes soon: after 5,
10, 20 … 300 seconds."""
_JITTER = 0.2
_NOT_TRIED = frozenset({"connect", "tls", "greeting", "ehlo", "starttls", "auth", "not started"})


class End(StrEnum):
    """What a result does to the delivery's state."""

    SENT = "sent"
    RETRY = "retry"  # planned again, later
    RELAY_AWAY = "relay away"  # planned again, soon; not an attempt
    NEXT_CHANNEL = "next channel"  # planned again at once, on the next channel of its step
    FAILED = "failed"
    UNCERTAIN = "uncertain"


class Sent(NamedTuple):
    """What was handed over: the row's identity, and what decides about a retry."""

    id: int
    customer_id: int
    run_id: int
    attempt: int
    channel: str
    address_hash: str | None
    channel_index: int
    channels: tuple[str, ...]
    not_after: datetime
    resend_uncertain: bool
    parts: int | None


class Result(NamedTuple):
    sent: Sent
    end: End
    at: datetime
    reply: str
    phase: str | None = None
    next_at: datetime | None = None
    channel_index: int = 0
    suppress: bool = False


def judge(sent: Sent, outcome: Outcome, now: datetime) -> Result:
    """What becomes of the delivery. Before acceptance it is retried or given up; after it, without a reply, nobody
    knows, and nobody guesses."""
    if isinstance(outcome, Accepted):
        return Result(sent, End.SENT, now, outcome.reply)
    if isinstance(outcome, Unknown):
        return Result(sent, End.UNCERTAIN, now, outcome.detail, outcome.phase)
    return _refused(sent, outcome, now)


def _refused(sent: Sent, outcome: Refused, now: datetime) -> Result:
    if not outcome.permanent and outcome.phase in _NOT_TRIED:
        soon = now + relay_away_for(sent.attempt)
        return Result(
            sent, End.RELAY_AWAY, now, outcome.reply, outcome.phase, soon, sent.channel_index
        )
    if not outcome.permanent:
        later = now + _about(RETRY_AFTER[min(sent.attempt, len(RETRY_AFTER)) - 1])
        if later <= sent.not_after:
            return Result(
                sent, End.RETRY, now, outcome.reply, outcome.phase, later, sent.channel_index
            )
    following = sent.channel_index + 1
    suppress = outcome.kind.suppresses
    if outcome.permanent and following < len(sent.channels):
        return Result(
            sent, End.NEXT_CHANNEL, now, outcome.reply, outcome.phase, now, following, suppress
        )
    return Result(sent, End.FAILED, now, outcome.reply, outcome.phase, suppress=suppress)


def relay_away_for(failures: int) -> timedelta:
    """How long to leave a relay alone that could not be reached so many times."""
    doubled = RELAY_AWAY_AFTER * 2 ** min(failures - 1, 10)
    return _about(min(doubled, LONGEST_RELAY_AWAY))


def _about(delay: timedelta) -> timedelta:
    """A little jitter, so that what failed together does not come back together."""
    return delay * random.uniform(1 - _JITTER, 1 + _JITTER)
