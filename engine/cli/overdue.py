"""What `resume` shows of a backlog before it asks: how much, how old, and what each answer would do."""

from __future__ import annotations

from datetime import datetime, timedelta

from engine.delivery.backlog import Backlog
from engine.pages.terminal import local, plain


def as_text(late: Backlog, now: datetime, over: timedelta, zone: str) -> str:
    """A sentence, the definitions, and a line for each answer."""
    each = ", ".join(f"{count} of {plain(name)}" for name, count in late.definitions.items())
    hours = over.total_seconds() / 3600
    kept = late.count - late.expired
    return "\n".join([
        f"{late.count} messages are overdue by more than an hour: {each}",
        f"  due from {local(late.oldest, zone)} to {local(late.newest, zone)} {zone};"
        f" {late.expired} of them have expired and are skipped whatever you say",
        f"  drop    skips all {late.count}",
        f"  spread  sends {kept} over {hours:g} hours, until {local(now + over, zone)};"
        f" up to {late.expire_within - late.expired} of them expire on the way",
        f"  send    sends {kept} as fast as caps and rates allow",
    ])  # fmt: skip
