"""What `grade` shows: everybody's scores for programs, how they are spread for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from engine.audience.malicious import class_of_customer
from engine.cli.context import Session
from engine.customers.profiles.freshness import looking
from engine.pages.terminal import table
from engine.store.tables import customers, profiles

_SCORES = ("r", "f", "m", "value", "grade")


def evaluate(session: Session) -> list[dict[str, Any]]:
    """`[{customer_id, r, f, m, value, grade, class}]` by the shop's id, None where not graded."""
    query = (
        select(
            customers.c.ref.label("customer_id"),
            *(profiles.c[name] for name in _SCORES),
            class_of_customer().label("class"),
        )
        .join(profiles, profiles.c.customer_id == customers.c.id)
        .order_by(customers.c.ref)
    )
    with looking(session.store, session.policy, session.now(), keeps=session.is_now) as connection:
        return [row._asdict() for row in connection.execute(query)]


def distribution(found: Sequence[dict[str, Any]]) -> str:
    """How many customers have each grade and class, with their share."""
    if not found:
        return "no customers yet: `yanshu import customers FILE`"
    grades = Counter(row["grade"] or "none" for row in found)
    classes = Counter(row["class"] for row in found)
    return "\n\n".join(
        _counts(heading, counter, len(found))
        for heading, counter in (("grade", grades), ("class", classes))
    )


def _counts(heading: str, counter: Counter[str], total: int) -> str:
    rows = [[name, f"{count:,}", f"{count / total:.1%}"] for name, count in counter.most_common()]
    return table([heading, "customers", "share"], [*rows, ["all", f"{total:,}", ""]], right={1, 2})
