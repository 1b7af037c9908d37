"""The plan as Markdown for a comment on a pull request: a summary, and the rest folded away. All data is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine.foresight.future import Course, Future
from engine.foresight.plan import Plan, Sendings
from engine.foresight.plan_text import SIGNS, course_of, held_back, moments
from engine.pages.terminal import plain

_SPECIAL = "\\`*_{}[]()<>#+-!|~@&:$="
MOST = 60_000
"""Characters: GitHub takes 65,536 in a comment."""


def as_markdown(plan: Plan) -> str:
    """Headline, changes, warnings, a table of what goes out; details of each definition fold out.

    What would make a comment too long is left out from the end, and said so.
    """
    parts = [*_head(plan), *_changes(plan), *_warnings(plan), *_table(plan)]
    text = "\n".join(parts)
    folded = [_details(sending, plan) for sending in plan.sendings]
    if plan.future is not None:
        folded.insert(0, _days(plan.future))
    for number, block in enumerate(filter(None, folded)):
        if len(text) + len(block) > MOST:
            return f"{text}\n\n*{len(folded) - number} more do not fit here: see `yanshu plan`.*\n"
        text += "\n\n" + block
    return text + "\n"


def escaped(value: object) -> str:
    """Data that cannot format, link, mention anybody or break out of a table's cell.

    >>> escaped("@all <b>|`x`")
    '&#64;all &#60;b&#62;&#124;&#96;x&#96;'
    """
    return "".join(
        f"&#{ord(c)};" if c in _SPECIAL and c not in "-:+=()" else c for c in plain(value)
    )


def _head(plan: Plan) -> Iterator[str]:
    changed = [change for change in plan.changes if change.what in SIGNS]
    yield "## Yanshu plan"
    yield ""
    if not changed:
        yield "Nothing to change: the files are what is in force."
    else:
        counts = {what: sum(c.what == what for c in changed) for what in SIGNS}
        yield ", ".join(f"**{count} {what}**" for what, count in counts.items() if count) + "."
    if plan.future is not None:
        days = (plan.future.end - plan.future.start).days
        yield (
            f"Within {days} days and after the caps: **{plan.future.sent:,} messages**,"
            f" {plan.future.cost:,.2f} {escaped(plan.currency)}."
        )


def _changes(plan: Plan) -> Iterator[str]:
    for change in plan.changes:
        if change.what in SIGNS:
            yield f"- {change.what} {change.kind} {escaped(change.name)} ({escaped(change.path)})"


def _warnings(plan: Plan) -> Iterator[str]:
    told = [("", warning) for warning in plan.warnings]
    told += [(sending.id, warning) for sending in plan.sendings for warning in sending.warnings]
    if told:
        yield from ("", "### Warnings", "")
    for name, warning in told:
        yield f"- ⚠️ {f'**{escaped(name)}**: ' if name else ''}{escaped(warning)}"


def _table(plan: Plan) -> Iterator[str]:
    yield from ("", "### What goes out", "")
    headings = ["", "class", "people", "email", "SMS", "left out", "waits", plan.currency]
    rows = [
        _row(sending, plan) for sending in plan.sendings if sending.people or _due(sending, plan)
    ]
    yield _lines(headings, rows) if rows else "Nothing is due."


def _due(sending: Sendings, plan: Plan) -> int:
    course = course_of(plan.future, sending)
    return course.due if course else 0


def _row(sending: Sendings, plan: Plan) -> list[Any]:
    course = course_of(plan.future, sending)
    if course is None or not course.due:
        sent, left = sending.by_channel, sum(sending.left_out.values())
        waits, cost = "", sending.cost
    else:
        sent, left = course.sent, sum(one.count for one in course.left_out)
        waits, cost = str(course.waiting), course.cost
    each = [f"{sent.get(channel, 0):,}" for channel in ("email", "sms")]
    return [sending.id, sending.message_class, f"{sending.people:,}", *each, f"{left:,}", waits, f"{cost:,.2f}"]  # fmt: skip


def _days(future: Future) -> str:
    rows = [
        [day.isoformat(), f"{future.of_day(day, 'email'):,}", f"{future.of_day(day, 'sms'):,}",
         f"{future.cost_of(day):,.2f}"]
        for day in future.days
        if future.of_day(day, "email") or future.of_day(day, "sms")
    ]  # fmt: skip
    if not rows:
        return ""
    return _folded("Each day", [_lines(["day", "email", "SMS", future.currency], rows)])


def _details(sending: Sendings, plan: Plan) -> str:
    course = course_of(plan.future, sending)
    if course is None or plan.future is None or not course.due:
        return ""
    when = escaped(moments(sending, plan))
    return _folded(
        f"{sending.kind} {sending.id}", [when, *_left_out(course), *_caps(course, plan.future)]
    )


def _left_out(course: Course) -> Iterator[str]:
    rows = [
        [one.reason, f"{one.count:,}", ", ".join(one.customers), _place(one.rule)]
        for one in course.left_out
    ]
    if rows:
        yield _lines(["left out because", "people", "for example", "rule"], rows)


def _caps(course: Course, future: Future) -> Iterator[str]:
    rows = [
        [one.reason, _place(one.rule), one.rule.get("text") or "", f"{one.deferred:,}",
         f"{one.skipped:,}", f"{one.waiting:,}"]
        for one in held_back(future, course.id)
    ]  # fmt: skip
    if rows:
        yield _lines(["held back by", "at", "as written", "put off", "skipped", "waits"], rows)


def _place(rule: Any) -> str:
    return f"{rule['file']}:{rule['line']}" if rule.get("file") else ""


def _folded(title: str, blocks: Sequence[str]) -> str:
    inside = "\n\n".join(blocks)
    return f"<details><summary>{escaped(title)}</summary>\n\n{inside}\n\n</details>"


def _lines(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [headings, ["---"] * len(headings), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
