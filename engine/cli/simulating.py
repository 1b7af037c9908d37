"""What `simulate` shows on a terminal, and the bar of what takes its time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from engine.cli.context import Session
from engine.foresight.future import Course, Future
from engine.foresight.simulation import Progress
from engine.insight.diagnosis.sentences import part
from engine.pages.frame import number
from engine.pages.terminal import plain, table


@contextmanager
def progress(session: Session, what: str) -> Iterator[Progress | None]:
    """A bar on stderr for people who watch."""
    if session.common.quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(what), BarColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def as_text(found: Future) -> str:
    """Per day, per definition, what the caps did, and how many messages each customer gets."""
    parts = [_days(found), _courses(found), _caps(found), _contacts(found)]
    if found.paused:
        parts.append(f"paused, and so it stays here: {plain(', '.join(found.paused))}")
    return "\n\n".join(part for part in parts if part)


def _days(found: Future) -> str:
    rows = [
        [f"{day:%Y-%m-%d %a}", number(found.of_day(day, "email")), number(found.of_day(day, "sms")),
         f"{found.cost_of(day):.2f}", _counts(found.held_on(day))]
        for day in found.days
    ]  # fmt: skip
    total = {
        channel: sum(v.sent for v in found.volumes if v.channel == channel)
        for channel in ("email", "sms")
    }
    rows.append(["all", number(total["email"]), number(total["sms"]), f"{found.cost:.2f}", ""])
    headings = ["day", "email", "sms", f"cost {found.currency}", "put off or skipped by"]
    return table(headings, rows, right={1, 2, 3})


def _courses(found: Future) -> str:
    rows = [
        [one.id, number(one.due), *(number(one.sent.get(c, 0)) for c in ("email", "sms")), _left(one),
         number(one.waiting), f"{one.cost:.2f}"]
        for one in found.courses
        if one.due
    ]  # fmt: skip
    headings = ["definition", "due", "email", "sms", "left out", "waits", f"cost {found.currency}"]
    return table(headings, rows, right={1, 2, 3, 5, 6}) if rows else "nothing is due"


def _left(one: Course) -> str:
    return _counts({left.reason: left.count for left in one.left_out})


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())


def _caps(found: Future) -> str:
    rows = [
        [one.reason, f"{one.rule.get('file')}:{one.rule.get('line')}", one.rule.get("text"),
         number(one.deferred), number(one.skipped), number(one.waiting)]
        for one in found.caps()
    ]  # fmt: skip
    headings = ["rule", "at", "as written", "put off", "skipped", "waits at the end"]
    return table(headings, rows, right={3, 4, 5}) if rows else "no cap and no quiet hours bind"


def _contacts(found: Future) -> str:
    rows = [
        [messages, number(people), part(people / found.customers if found.customers else 0)]
        for messages, people in found.contacts.items()
    ]
    return table(["messages", "customers", "share"], rows, right={0, 1, 2})
