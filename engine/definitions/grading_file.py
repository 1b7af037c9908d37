"""`grading` in policy.yaml → Grading: bands, weights and grades of the RFM value."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeVar

from engine.definitions.policy import Bands, Grading
from engine.definitions.reading import Fields, Key, Reader, Record, list_of, map_of
from engine.definitions.report import Report
from engine.definitions.scalars import choice, decimal, integer, matching

N = TypeVar("N", int, Decimal)
MAX_MONTHS = 120
_PERIOD = re.compile(r"([1-9][0-9]{0,2})(mo|y)")
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # a yearly day exists every year


def _months(written: str) -> int:
    match = _PERIOD.fullmatch(written)
    months = int(match[1]) * (12 if match[2] == "y" else 1) if match else 0
    if not 1 <= months <= MAX_MONTHS:
        raise ValueError(
            f"{written!r} is not a period of calendar months or years; write 6mo or 1y"
        )
    return months


def _month_and_day(written: str) -> tuple[int, int]:
    month, day = (int(part) for part in written.split("-"))
    if not (1 <= month <= 12 and 1 <= day <= _DAYS[month - 1]):
        raise ValueError(f"{written!r} is not a day of every year; write it as in 01-31")
    return month, day


def _four(order: str, ordered: Callable[[N, N], bool]) -> Callable[[tuple[N, ...]], Any]:
    def check(bounds: tuple[N, ...]) -> tuple[N, ...]:
        if len(bounds) != 4:
            raise ValueError(f"{len(bounds)} bounds; four are needed, of the scores 5, 4, 3 and 2")
        if not all(ordered(first, second) for first, second in pairwise(bounds)):
            raise ValueError(
                f"the bounds of the scores 5, 4, 3 and 2 must {order} from each to the next"
            )
        return bounds

    return check


def _falling(first: Any, second: Any) -> bool:
    return bool(first > second)


def _rising(first: Any, second: Any) -> bool:
    return bool(first < second)


def _grade_name(written: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,15}", written):
        raise ValueError(f"{written!r} is not a grade's name: a letter, then letters and digits")
    return written


def _grades(bounds: dict[str, int]) -> tuple[tuple[str, int], ...]:
    if not all(first > second for first, second in pairwise(bounds.values())):
        raise ValueError(
            "the grades' lower bounds must fall from each to the next, best grade first"
        )
    return tuple(bounds.items())


_DEFAULT = Bands()
BANDS: Reader[Bands] = Record(
    {
        "recency_months": Key(
            list_of(integer(0, MAX_MONTHS)).then(_four("rise", _rising)),
            "Months since the last order, at most, for the scores 5, 4, 3, 2.",
        ),
        "frequency": Key(
            list_of(integer(1, 100_000)).then(_four("fall", _falling)),
            "Orders, at least, for the scores 5, 4, 3, 2.",
        ),
        "monetary": Key(
            list_of(decimal()).then(_four("fall", _falling)),
            "Amount, at least, for the scores 5, 4, 3, 2.",
        ),
    }
).build(
    lambda fields: Bands(
        recency_months=fields.get("recency_months", _DEFAULT.recency_months),
        frequency=fields.get("frequency", _DEFAULT.frequency),
        monetary=fields.get("monetary", _DEFAULT.monetary),
    )
)

_WEIGHTED = ("recency", "frequency", "monetary")
WEIGHTS: Reader[tuple[int, int, int]] = Record(
    {name: Key(integer(0, 100), required=True) for name in _WEIGHTED}
).build(lambda fields: (fields.get("recency"), fields.get("frequency"), fields.get("monetary")))


def _check_reach(fields: Fields, report: Report) -> None:
    """A grade above the highest value would never be given."""
    weights = fields.get("weights", Grading().weights)
    grades = fields.get("grades", Grading().grades)
    highest = 5 * sum(weights)
    unreachable = [name for name, bound in grades if bound > highest]
    if unreachable:
        key = "grades" if "grades" in fields else "weights"
        message = f"the highest value is {highest}: nobody can reach {', '.join(unreachable)}"
        report.error(fields.at(key).position, message, "bad-value")


def _grading(fields: Fields) -> Grading:
    default = Grading()
    return Grading(
        monetary=fields.get("monetary", default.monetary),
        period_months=fields.get("period", default.period_months),
        bands=fields.get("bands", default.bands),
        weights=fields.get("weights", default.weights),
        grades=fields.get("grades", default.grades),
        evaluated_on=fields.get("evaluated_on", default.evaluated_on),
    )


PERIOD: Reader[int] = matching(r"[0-9]+(mo|y)", "a period such as 6mo or 1y").then(_months)
"""Calendar months or years, as months."""

GRADING: Reader[Grading] = Record(
    {
        "monetary": Key(choice("average", "total"), "M: the average order's value, or their sum."),
        "period": Key(
            PERIOD,
            "Which orders count, in calendar months or years.",
        ),
        "bands": Key(BANDS, "What the scores 5 to 2 need; 1 is the rest."),
        "weights": Key(WEIGHTS, "value = the weighted sum of the three scores."),
        "grades": Key(
            map_of(_grade_name, integer(0, 2000)).then(_grades),
            "Each grade's lowest value, best grade first.",
        ),
        "evaluated_on": Key(
            matching(r"[0-9]{2}-[0-9]{2}", 'a day of the year such as "01-31"').then(
                _month_and_day
            ),
            "The shop's day of the yearly evaluation, MM-DD.",
        ),
    },
    check=_check_reach,
).build(_grading)
