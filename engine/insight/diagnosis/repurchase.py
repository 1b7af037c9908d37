"""How soon they come back: the share who bought again within N days, and how many go on from each purchase.

Who has not bought again yet may still do so. Such a customer counts as long as he was watched and no longer, which is
what Kaplan and Meier do: the share still away after N days is the product, over all days up to N, of
1 − returned that day ÷ watched for at least so long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date

from sqlalchemy import Connection, case, func, select

from engine.insight.diagnosis.figures import Repurchase, Return, Step, share
from engine.insight.diagnosis.purchases import number_of, purchases

MARKS = (30, 60, 90, 180, 365)
STEPS = 6
_THIN = 0.02
"""The curve ends where fewer than this share of all purchases, or than 10 of them, are still watched: the rest is noise."""


class Spells:
    """Times from one purchase to the next, by their length in days: ended by a return, or still open."""

    def __init__(self) -> None:
        self.returned: Counter[int] = Counter()
        self.open: Counter[int] = Counter()

    @property
    def count(self) -> int:
        return self.returned.total() + self.open.total()


def repurchase(
    connection: Connection, today: date, known: int
) -> tuple[Repurchase, Repurchase, tuple[Step, ...]]:
    """After any purchase, after the first one, and the steps from purchase to purchase; `known`: all customers."""
    by_place = _spells(connection, today)
    every = Spells()
    for spells in by_place.values():
        every.returned.update(spells.returned)
        every.open.update(spells.open)
    return figures(every), figures(by_place.get(1, Spells())), _steps(connection, by_place, known)


def figures(spells: Spells) -> Repurchase:
    """The estimate for these spells."""
    curve = kaplan_meier(spells.returned, spells.open)
    half = next((point.days for point in curve if point.share >= 0.5), None)
    return Repurchase(
        purchases=spells.count,
        returned=spells.returned.total(),
        within={days: _within(curve, days) for days in MARKS},
        median_days=half,
        returned_median_days=median(spells.returned),
        returned_days=_half_and_most(spells.returned),
        curve=_drawn(curve, spells.count),
    )


def kaplan_meier(returned: Mapping[int, int], still_open: Mapping[int, int]) -> list[Return]:
    """The share who came back within N days, for every day up to the longest spell.

    Five customers: two came back after 1 and 3 days; three have been away for 2, 3 and 4 days.

    >>> for point in kaplan_meier({1: 1, 3: 1}, {2: 1, 3: 1, 4: 1}):
    ...     print(point.days, round(point.share, 4), point.at_risk)
    0 0.0 5
    1 0.2 5
    2 0.2 4
    3 0.4667 3
    4 0.4667 1
    """
    at_risk = sum(returned.values()) + sum(still_open.values())
    away, curve = 1.0, []
    for days in range(max([*returned, *still_open], default=-1) + 1):
        if came := returned.get(days, 0):
            away *= 1 - came / at_risk
        curve.append(Return(days=days, share=1 - away, at_risk=at_risk))
        at_risk -= came + still_open.get(days, 0)
    return curve


def median(counts: Mapping[int, int]) -> float | None:
    """The median of numbers given by how often each occurs; None of none.

    >>> median({1: 2, 5: 1}), median({1: 1, 4: 1}), median({})
    (1.0, 2.5, None)
    """
    total = sum(counts.values())
    if not total:
        return None
    wanted, seen = ((total - 1) // 2, total // 2), 0
    middle: list[int] = []
    for value in sorted(counts):
        seen += counts[value]
        middle += [value] * (sum(place < seen for place in wanted) - len(middle))
    return sum(middle) / 2


def _half_and_most(returned: Mapping[int, int]) -> tuple[int, int] | None:
    total, seen, half = sum(returned.values()), 0, None
    for days in sorted(returned):
        seen += returned[days]
        if half is None and 2 * seen >= total:
            half = days
        if half is not None and 10 * seen >= 9 * total:
            return half, days
    return None


def _within(curve: list[Return], days: int) -> float | None:
    return curve[days].share if days < len(curve) else None


def _drawn(curve: list[Return], count: int) -> tuple[Return, ...]:
    enough = max(_THIN * count, min(10, count))
    return tuple(point for point in curve if point.at_risk >= enough)


def _spells(connection: Connection, today: date) -> dict[int, Spells]:
    """By the place of the purchase that they begin with; STEPS holds all from there on."""
    p = purchases.c
    place = case((p.place >= STEPS, STEPS), else_=p.place).label("place")
    days = func.coalesce(p.gap, number_of(today) - p.day).label("days")
    is_open = case((p.gap.is_(None), 1), else_=0).label("is_open")
    question = select(place, days, is_open, func.count().label("number")).group_by(
        place, days, is_open
    )
    found: dict[int, Spells] = {}
    for row in connection.execute(question):
        spells = found.setdefault(row.place, Spells())
        (spells.open if row.is_open else spells.returned)[row.days] += row.number
    return found


def _steps(connection: Connection, by_place: Mapping[int, Spells], known: int) -> tuple[Step, ...]:
    """From prospect to first-time buyer, then the first STEPS purchases, as far as anybody came."""
    place, number = purchases.c.place, func.count().label("number")
    reached = {
        row.place: row.number
        for row in connection.execute(
            select(place, number).where(place <= STEPS + 1).group_by(place)
        )
    }
    if 0 < reached.get(1, 0) < known:
        reached[0] = known
    return tuple(
        Step(
            purchase=n,
            customers=reached[n],
            went_on=reached.get(n + 1, 0),
            share=share(reached.get(n + 1, 0), reached[n]),
            median_days=median(by_place[n].returned) if 0 < n < STEPS else None,
        )
        for n in range(STEPS + 1)
        if n in reached
    )
