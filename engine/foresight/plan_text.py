"""The plan for people at a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any
from zoneinfo import ZoneInfo

from engine.foresight.future import Course, Future, Held
from engine.foresight.plan import LaterStep, Plan, Sendings
from engine.pages.terminal import plain

SIGNS = {"added": "+", "changed": "~", "removed": "-"}


def as_json(plan: Plan) -> dict[str, Any]:
    """`{fingerprint, changes, warnings, sendings: [{…, after_caps}], currency, timezone, horizon_days, simulated}`.

    `after_caps` and `simulated` are null where the future was not played through.
    """
    return {
        "fingerprint": plan.fingerprint,
        "changes": [
            {"what": c.what, "kind": c.kind, "name": c.name, "file": c.path}
            for c in plan.changes
            if c.what != "unchanged"
        ],
        "warnings": list(plan.warnings),
        "sendings": [_sending(sending, plan.future) for sending in plan.sendings],
        "currency": plan.currency,
        "timezone": plan.zone,
        "horizon_days": plan.horizon.days,
        "simulated": plan.future.as_json() if plan.future else None,
    }


def _sending(sending: Sendings, future: Future | None) -> dict[str, Any]:
    shown = asdict(sending)
    for key in ("first", "last"):
        shown[key] = shown[key].isoformat() if shown[key] else None
    for step in shown["later"]:
        step["cost"] = str(step["cost"])
    course = course_of(future, sending)
    return {
        **shown,
        "cost": str(sending.cost),
        "warnings": list(sending.warnings),
        "after_caps": _after_caps(course, future) if course and future else None,
    }


def _after_caps(course: Course, future: Future) -> dict[str, Any]:
    days = [
        {"day": v.day, "channel": v.channel, "sent": v.sent, "sms_parts": v.parts}
        for v in future.volumes
        if v.definition == course.id
    ]
    caps = [one.as_json() for one in held_back(future, course.id)]
    return {**course.as_json(), "days": days, "caps": caps}


def course_of(future: Future | None, sending: Sendings) -> Course | None:
    """What became of it where the future was played through."""
    courses = future.courses if future else ()
    return next((one for one in courses if one.id == sending.id), None)


def held_back(future: Future, name: str) -> list[Held]:
    """What each rule did to a definition, the one that takes most away first."""
    mine = [one for one in future.held if one.definition == name]
    return sorted(mine, key=lambda one: (-one.taken, -one.deferred))


def as_text(plan: Plan) -> str:
    """The changes, then each campaign and care rule."""
    lines = [f"{SIGNS[c.what]} {c.kind} {c.name}" for c in plan.changes if c.what in SIGNS]
    lines = lines or ["nothing to change: the files are what is in force"]
    lines += [f"warning: {warning}" for warning in plan.warnings]
    lines.append("")
    for sending in plan.sendings:
        lines += _sentences(sending, plan)
    if plan.future is not None:
        lines += ["", *_whole(plan.future)]
    return "\n".join(lines).rstrip()


def moments(sending: Sendings, plan: Plan) -> str:
    """When it is due, on the shop's clock."""
    if not (sending.first and sending.last):
        return "nothing due"
    zone = ZoneInfo(plan.zone)
    first, last = (
        f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" for moment in (sending.first, sending.last)
    )
    return f"{first} to {last} {plan.zone}"


def _sentences(sending: Sendings, plan: Plan) -> list[str]:
    reached = (
        ", ".join(f"{count} by {name}" for name, count in sending.by_channel.items()) or "nobody"
    )
    scope = "" if sending.kind == "campaign" else f" within {plan.horizon.days} days"
    lines = [
        f"{sending.kind} {sending.id} ({sending.message_class}): {sending.people} people{scope}, {moments(sending, plan)}",
        f"    reaches {reached}; about {sending.cost:.2f} {plan.currency}"
        + (f" ({sending.sms_parts} SMS parts)" if sending.sms_parts else ""),
    ]
    lines += [_later(step) for step in sending.later]
    if sending.already:
        lines.append(f"    {sending.already} have it planned or sent already")
    course = course_of(plan.future, sending)
    if course is None or plan.future is None or not course.due:
        left_out = sorted(sending.left_out.items())
        lines += [f"    left out: {count} {reason}" for reason, count in left_out]
    else:
        lines += [f"    {line}" for line in _after(course, plan.future)]
    return lines + [f"    warning: {warning}" for warning in sending.warnings]


def _later(step: LaterStep) -> str:
    reached = ", ".join(f"{count} by {name}" for name, count in step.by_channel.items())
    return f"    {step.wait} after {step.after}: {step.id}, at most {reached or 'nobody'}"


def _after(course: Course, future: Future) -> Iterator[str]:
    """What is left of it after the gate, day by day."""
    parts = f" ({course.parts} SMS parts)" if course.parts else ""
    yield f"after the caps: {_sent(course)}; {course.cost:.2f} {future.currency}{parts}"
    days = [
        f"{v.day:%m-%d} {v.sent} {v.channel}" for v in future.volumes if v.definition == course.id
    ]
    if days:
        yield f"    {', '.join(days)}"
    for left in course.left_out:
        named = ", ".join(plain(ref) for ref in left.customers)
        more = ", …" if left.count > len(left.customers) else ""
        yield f"left out: {left.count} {plain(left.reason)}{_place(left.rule)}: {named}{more}"
    for one in held_back(future, course.id):
        yield (
            f"held back by {plain(one.reason)}{_place(one.rule)}: {one.deferred} put off,"
            f" {one.skipped} skipped, {one.waiting} still wait"
        )


def _sent(course: Course) -> str:
    told = ", ".join(f"{count} by {channel}" for channel, count in course.sent.items())
    waits = f", {course.waiting} still wait" if course.waiting else ""
    return (told or "nothing is sent") + waits


def _place(rule: Any) -> str:
    return f" ({plain(rule['file'])}:{rule['line']})" if rule.get("file") else ""


def _whole(future: Future) -> Iterator[str]:
    end = future.end.astimezone(ZoneInfo(future.zone))
    yield f"all of it until {end:%Y-%m-%d %H:%M}, after the caps: {future.sent} messages, {future.cost:.2f} {future.currency}"
    for day in future.days:
        email, sms = future.of_day(day, "email"), future.of_day(day, "sms")
        if email or sms:
            yield f"    {day:%Y-%m-%d %a}  {email} email, {sms} sms, {future.cost_of(day):.2f} {future.currency}"
