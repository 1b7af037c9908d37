"""The diagnosis as one HTML file: what the charts are drawn from. Texts stand in `engine.pages.diagnosis_words`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from engine.insight.diagnosis.figures import Cohorts, Diagnosis, Period, Region
from engine.insight.diagnosis.repurchase import MARKS
from engine.insight.diagnosis.sentences import advice_texts, money, part, period_name, sentences
from engine.pages.frame import percent, render
from engine.pages.words import language_of, words
from engine.settings import ShopSettings

_LONGEST = MARKS[-1]  # days of the curve that are drawn
_TOPS = (0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # whose halves are round, too
_COHORTS = 12  # rows and columns that are drawn
_MONTHS = 24
_PLACES = 10


def diagnosis_page(found: Diagnosis, shop: ShopSettings) -> str:
    """A self-contained page in the shop's language; times are of the shop's clock."""
    t = words(language_of(shop.language))
    months = found.revenue.months[-_MONTHS:]
    show = partial(money, currency=found.currency)
    return render(
        "diagnosis",
        shop.language,
        shop=shop.name,
        now=f"{found.at.astimezone(ZoneInfo(found.timezone)):%Y-%m-%d %H:%M}",
        found=found,
        say=sentences(found, t),
        advice=advice_texts(found, t),
        money=show,
        part=part,
        recency=recency_labels(found, t),
        frequency=frequency_labels(found, t),
        table=_cohort_table(found.cohorts),
        months=[_column(month, found.currency) for month in months],
        highest=t["highest_month"].format(
            amount=show(max((month.amount for month in months), default=0))
        ),
        provinces=_places(found.regions.provinces),
        cities=_places(found.regions.cities),
        **_curves(found, t),
    )


def recency_labels(found: Diagnosis, t: Any) -> list[str]:
    """The rows of the grid, the freshest first."""
    bounds = found.people.recency_months
    return [*(t["rfm_recency"].format(months=months) for months in bounds), t["rfm_earlier"]]


def frequency_labels(found: Diagnosis, t: Any) -> list[str]:
    """The columns of the grid, the fewest orders first: 1, 2, 3, 4–5, ≥ 6."""
    bounds = [1, *reversed(found.people.frequency)]
    spans = [str(low) if high == low + 1 else f"{low}–{high - 1}" for low, high in pairwise(bounds)]
    return [t["rfm_orders"].format(orders=span) for span in [*spans, f"≥ {bounds[-1]}"]]


def _curves(found: Diagnosis, t: Any) -> dict[str, Any]:
    """Both curves to the same width and height; the marks that lie within."""
    drawn = [
        {"class": name, "name": t[text], "points": [p for p in one.curve if p.days <= _LONGEST]}
        for name, text, one in (
            ("one", "after_any", found.repurchase),
            ("two", "after_first", found.second),
        )
    ]
    points = [point for curve in drawn for point in curve["points"]]
    width = max([1, *(point.days for point in points)])
    highest = max([0.0, *(point.share for point in points)])
    for curve in drawn:
        curve["width"] = width
    return {
        "curves": [curve for curve in drawn if curve["points"]],
        "marks": [days for days in MARKS if days <= width],
        "top": next(top for top in _TOPS if top >= highest or top == _TOPS[-1]),
    }


def _cohort_table(found: Cohorts) -> dict[str, Any]:
    """The newest rows that have a column, and of each the first columns; the last period of a row is still open."""
    rows = [row for row in found.rows if row.retention][-_COHORTS:]
    cells = [
        [
            {"share": part, "open": place == len(row.retention)}
            for place, part in enumerate(row.retention[:_COHORTS], 1)
        ]
        for row in rows
    ]
    return {
        "rows": [
            {
                "name": period_name(row.start, found.unit),
                "customers": row.customers,
                "cells": own,
            }
            for row, own in zip(rows, cells, strict=True)
        ],
        "width": max((len(own) for own in cells), default=0),
        "most": max([0.0001, *(cell["share"] for own in cells for cell in own)]),
    }


def _column(month: Period, currency: str) -> dict[str, Any]:
    name = period_name(month.start, "month")
    return {
        "label": name,
        "lower": month.old_amount,
        "upper": month.amount - month.old_amount,
        "hint": f"{name} · {money(month.amount, currency)} · {percent(month.old_share)}",
    }


def _places(rows: Sequence[Region]) -> list[Region]:
    named = [one for one in rows if one.name is not None][:_PLACES]
    return [*named, *(one for one in rows if one.name is None)]
