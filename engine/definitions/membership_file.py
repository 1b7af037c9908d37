"""`membership.yaml` → Membership: at most four levels whose thresholds rise strictly from each to the next."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

from engine.definitions.grading_file import PERIOD
from engine.definitions.membership import MAX_LEVELS, MEASURES, Goods, Level, Membership, Threshold
from engine.definitions.reading import Fields, Key, Reader, Record, list_of
from engine.definitions.report import Report
from engine.definitions.scalars import choice, decimal, duration, integer, matching, text
from engine.errors import Position

_SHORTEST_MONTH = 28
MAX_NAMES = 5000


def _percent(written: str) -> Decimal:
    value = Decimal(written[:-1])
    if not 0 < value < 100:
        raise ValueError(f"{written} is out of range: more than 0% and less than 100%")
    return value


def _check_threshold(fields: Fields, report: Report) -> None:
    if not any(measure in fields for measure in MEASURES):
        message = "a threshold asks for `amount`, `orders` or `items`: no card without one"
        report.error(fields.span.position, message, "missing-key")


THRESHOLD: Reader[Threshold] = Record(
    {
        "amount": Key(decimal(1), "Completed orders, together, in units of the currency."),
        "orders": Key(integer(1, 100_000), "Completed orders."),
        "items": Key(integer(1, 1_000_000), "Items in them."),
    },
    check=_check_threshold,
).build(lambda fields: Threshold(**fields.values))


def _level(fields: Fields) -> Level:
    return Level(
        **fields.values, threshold_at=fields.at("threshold").position, position=fields.span.position
    )


LEVEL: Reader[Level] = Record(
    {
        "name": Key(text(most=40), "What members of it are called.", required=True),
        "threshold": Key(THRESHOLD, "Within the period, all that is named.", required=True),
        "claim": Key(
            choice("call", "self"),
            "call: a call, the card by mail, the reply slip back; self: the customer takes it.",
        ),
        "discount": Key(
            matching(r"[0-9]{1,2}(\.[0-9]{1,2})?%", "a part taken off, such as 5%").then(_percent),
            "Taken off the goods that take part.",
        ),
        "benefits": Key(list_of(text(), most=20), "What else it gives, in words."),
    }
).build(_level)

_names = list_of(text(), most=MAX_NAMES)
GOODS: Reader[Goods] = Record(
    {"skus": Key(_names), "categories": Key(_names), "brands": Key(_names)}
).build(lambda fields: Goods(**fields.values))


def _check(fields: Fields, report: Report) -> None:
    levels: tuple[Level, ...] = fields.get("levels", ())
    _check_names(levels, report)
    for lower, higher in pairwise(levels):
        _check_rise(lower, higher, report)
    if "goods" not in fields:
        for level in levels:
            if level.discount is not None:
                message = (
                    f"no goods take part in the discount of {level.name!r}: say which under `goods`"
                )
                report.error(level.position, message, "missing-key")
    _check_times(fields, report)


def _check_names(levels: tuple[Level, ...], report: Report) -> None:
    seen: dict[str, Position] = {}
    for level in levels:
        if level.name in seen:
            message = f"the level {level.name!r} stands in line {seen[level.name].line} already"
            report.error(level.position, message, "duplicate-id")
        seen.setdefault(level.name, level.position)


def _check_rise(lower: Level, higher: Level, report: Report) -> None:
    """Each measure that the lower level asks for, the higher one asks more of: so it holds the lower one's members."""
    for measure in MEASURES:
        least, more = (getattr(level.threshold, measure) for level in (lower, higher))
        if least is None or (more is not None and more > least):
            continue
        found = "none" if more is None else str(more)
        message = (
            f"thresholds must rise from level to level: {higher.name!r} asks for {measure} {found},"
            f" {lower.name!r} before it for {least}"
        )
        report.error(higher.threshold_at, message, "bad-value")


def _check_times(fields: Fields, report: Report) -> None:
    default = Membership(levels=())
    longest = fields.get("validity", default.validity_months) * _SHORTEST_MONTH * 86_400
    for key in ("announce", "renew"):
        value: Any = fields.get(key, getattr(default, key))
        if value.seconds >= longest:
            message = f"`{key}` is {value}: as long as a card is valid"
            report.error(fields.at(key).position, message, "bad-value")


def _membership(fields: Fields) -> Membership:
    default = Membership(levels=())
    return Membership(
        levels=fields.get("levels"),
        period_months=fields.get("period", default.period_months),
        validity_months=fields.get("validity", default.validity_months),
        announce=fields.get("announce", default.announce),
        renew=fields.get("renew", default.renew),
        goods=fields.get("goods", default.goods),
    )


MEMBERSHIP: Reader[Membership] = Record(
    {
        "period": Key(PERIOD, "Which orders count: calendar months or years; 1y by default."),
        "validity": Key(PERIOD, "How long a card is valid; 1y by default."),
        "announce": Key(duration(), "How long ahead its end is announced; 30d by default."),
        "renew": Key(duration(), "From how long before its end it is evaluated anew; 7d."),
        "goods": Key(GOODS, "The goods that take part in discounts."),
        "levels": Key(
            list_of(LEVEL, least=1, most=MAX_LEVELS), "Lowest first, at most four.", required=True
        ),
    },
    check=_check,
).build(_membership)
