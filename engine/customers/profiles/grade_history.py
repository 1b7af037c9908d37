"""Who rose or fell between grades, and when: the question behind a rule such as "fell from Gold".

`freshness.refresh` writes a row of `grade_changes` for each change; a customer's first evaluation is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, case, false, literal, select

from engine.definitions.policy import Grading
from engine.store.tables import grade_changes
from engine.store.types import Moment

Direction = Literal["fell", "rose"]


def changes(
    grading: Grading,
    after: datetime,
    until: datetime,
    *,
    left: Sequence[str] | None = None,
    reached: Sequence[str] | None = None,
    direction: Direction | None = None,
) -> Select[Any]:
    """SELECT `id, customer_id, at, before, after` of the changes later than `after`, up to `until`.

    `left`, `reached`: only from, or to, one of these grades. `direction`: only down, or only up; having no grade is
    below them all. A grade that the policy does not know any more has no place: it neither rises nor falls.
    """
    c = grade_changes.c
    query = select(c.id, c.customer_id, c.at, c.before, c.after).where(
        c.at > literal(after, Moment()), c.at <= literal(until, Moment())
    )
    if left is not None:
        query = query.where(c.before.in_(left) if left else false())
    if reached is not None:
        query = query.where(c.after.in_(reached) if reached else false())
    if direction is not None:
        before, now = _height(c.before, grading), _height(c.after, grading)
        query = query.where(now < before if direction == "fell" else now > before)
    return query


def _height(grade: ColumnElement[Any], grading: Grading) -> ColumnElement[Any]:
    """0 for no grade, then upwards, the best one highest; NULL for a name that is not in the policy."""
    known = [name for name, _ in reversed(grading.grades)]
    return case(
        (grade.is_(None), 0), *[(grade == name, place) for place, name in enumerate(known, 1)]
    )
