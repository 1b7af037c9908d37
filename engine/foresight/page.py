"""The simulated future as one HTML file: what the charts are drawn from. Texts stand in `engine.pages.future_words`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from engine.foresight.future import Course, Future, Held
from engine.insight.diagnosis.sentences import part
from engine.pages.frame import number, render
from engine.pages.words import language_of, words
from engine.settings import ShopSettings

_MOST_BARS = 12
"""Numbers of messages that the histogram shows one by one."""


def future_page(found: Future, shop: ShopSettings) -> str:
    """A self-contained page in the shop's language; times are of the shop's clock."""
    t = words(language_of(shop.language))
    volumes, held = _volumes(found), _held(found)
    return render(
        "future",
        shop.language,
        shop=shop.name,
        found=found,
        start=_minute(found.start, found.zone),
        end=_minute(found.end, found.zone),
        tiles=_tiles(found, t),
        say=_sentences(found, t),
        columns=volumes,
        most=t["most_a_day"].format(count=number(_highest(volumes))),
        held=held,
        most_held=t["most_held"].format(count=number(_highest(held))),
        caps=[{"held": one, "name": _name(one, t), "place": _place(one)} for one in found.caps()],
        contacts=_contacts(found, t),
        courses=sorted((one for one in found.courses if one.due), key=lambda one: -one.total),
        left=_left,
        part=part,
        money="{:,.2f}".format,
    )


def _minute(moment: datetime, zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def _tiles(found: Future, t: Mapping[str, str]) -> list[dict[str, str]]:
    def total(channel: str) -> str:
        return number(sum(v.sent for v in found.volumes if v.channel == channel))

    reached = found.customers - found.contacts.get(0, 0)
    caps = found.caps()
    each = found.cost / found.sent if found.sent else found.cost
    parts = number(sum(v.parts for v in found.volumes))
    more = {
        "sent": t["tile_sent_more"].format(email=total("email"), sms=total("sms"), parts=parts),
        "cost": t["tile_cost_more"].format(each=f"{each:.3f} {found.currency}"),
        "reached": t["tile_reached_more"].format(total=number(found.customers)),
        "taken": t["tile_taken_more"].format(deferred=number(sum(c.deferrals for c in caps))),
    }
    values = {
        "sent": number(found.sent),
        "cost": f"{found.cost:,.2f}",
        "reached": number(reached),
        "taken": number(sum(one.taken for one in caps)),
    }
    return [
        {
            "name": t[f"tile_{key}"] + (f" ({found.currency})" if key == "cost" else ""),
            "value": values[key],
            "more": more[key],
        }
        for key in values
    ]


def _sentences(found: Future, t: Mapping[str, str]) -> dict[str, str]:
    return {
        "volumes": _busiest(found, t),
        "caps": _hardest(found, t),
        "contacts": _spread(found, t),
    }


def _busiest(found: Future, t: Mapping[str, str]) -> str:
    if not found.sent:
        return t["say_nothing_sent"]
    by_day = {day: found.of_day(day, "email") + found.of_day(day, "sms") for day in found.days}
    day = max(by_day, key=lambda one: by_day[one])
    share = part(by_day[day] / found.sent)
    return t["say_volumes"].format(day=day.isoformat(), sent=number(by_day[day]), share=share)


def _hardest(found: Future, t: Mapping[str, str]) -> str:
    caps = found.caps()
    if not caps:
        return t["say_no_caps"]
    first = caps[0]
    if not first.taken:
        return t["say_caps_moved"].format(deferred=number(sum(one.deferred for one in caps)))
    return t["say_caps"].format(
        rule=_name(first, t), place=_place(first),
        skipped=number(first.skipped), waiting=number(first.waiting),
    )  # fmt: skip


def _spread(found: Future, t: Mapping[str, str]) -> str:
    reached = found.customers - found.contacts.get(0, 0)
    if not reached:
        return t["say_nothing_sent"]
    once = part(found.contacts.get(1, 0) / reached)
    most = number(max(found.contacts))
    return t["say_contacts"].format(reached=number(reached), once=once, most=most)


def _volumes(found: Future) -> list[dict[str, Any]]:
    return [
        _column(day, found.of_day(day, "email"), found.of_day(day, "sms")) for day in found.days
    ]


def _held(found: Future) -> list[dict[str, Any]]:
    if not found.held_by_day:
        return []
    return [_column(day, sum(found.held_on(day).values()), 0) for day in found.days]


def _column(day: date, lower: int, upper: int) -> dict[str, Any]:
    label = f"{day:%m-%d}"
    return {
        "label": label,
        "lower": lower,
        "upper": upper,
        "hint": f"{label} · {number(lower + upper)}",
    }


def _highest(columns: list[dict[str, Any]]) -> int:
    return max((column["lower"] + column["upper"] for column in columns), default=0)


def _contacts(found: Future, t: Mapping[str, str]) -> list[dict[str, Any]]:
    """The numbers of messages one by one; beyond the last that is shown, all together."""
    shown = {n: people for n, people in found.contacts.items() if n < _MOST_BARS}
    more = sum(people for n, people in found.contacts.items() if n >= _MOST_BARS)
    rows = [
        (t["contact_none"] if n == 0 else t["contact_count"].format(messages=n), people)
        for n, people in shown.items()
    ]
    if more:
        rows.append((t["contact_count"].format(messages=f"≥ {_MOST_BARS}"), more))
    return [
        {
            "name": name,
            "bars": [people],
            "cells": [number(people), part(people / found.customers if found.customers else 0)],
        }
        for name, people in rows
    ]


def _name(one: Held, t: Mapping[str, str]) -> str:
    return t.get(f"why {one.reason}") or one.reason


def _place(one: Held) -> str:
    return f"{one.rule.get('file')}:{one.rule.get('line')}"


def _left(one: Course) -> list[tuple[str, int]]:
    return [(left.reason, left.count) for left in one.left_out]
