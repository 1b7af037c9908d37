"""What the figures call for, where the trade has a rule for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from engine.definitions.policy import Policy
from engine.insight.diagnosis.figures import Advice, People, Repurchase

MEANT_FOR = 150_000
"""The RFM scheme was made for shops with more ordering customers than this."""

_FAR_BELOW, _TINY = MEANT_FOR // 2, MEANT_FOR // 10
_STALE_DAYS = 31
_ENOUGH = 30  # returns from which a habit can be read


def advice(
    people: People, repurchase: Repurchase, until: date | None, today: date, policy: Policy
) -> tuple[Advice, ...]:
    """All that applies, the most general first; nothing for a shop without a completed order."""
    if until is None:
        return ()
    found = [
        *_about_age(until, today),
        *_about_grades(people, policy),
        *_about_rhythm(repurchase, policy),
    ]
    return tuple(found)


def _about_age(until: date, today: date) -> Iterator[Advice]:
    """Everybody looks lost where the newest orders were not imported."""
    days = (today - until).days
    if days > _STALE_DAYS:
        yield Advice(code="stale-orders", figures={"days": days, "until": until.isoformat()})


def _about_grades(people: People, policy: Policy) -> Iterator[Advice]:
    """Fewer grades for a shop far below the size that the scheme was made for: three below half of it, two below a
    tenth. Said only where there are more."""
    wanted = 2 if people.ordering < _TINY else 3
    if people.ordering >= _FAR_BELOW or len(policy.grading.grades) <= wanted:
        return
    graded = sum(one.customers for one in people.grades if one.grade is not None)
    rare = [
        one.grade for one in people.grades if one.grade and one.customers < max(0.01 * graded, 1)
    ]
    yield Advice(
        code="few-customers",
        figures={
            "ordering": people.ordering,
            "meant_for": MEANT_FOR,
            "grades": len(policy.grading.grades),
            "suggested_grades": wanted,
            "rare_grades": tuple(rare),
        },
    )


def _about_rhythm(repurchase: Repurchase, policy: Policy) -> Iterator[Advice]:
    if repurchase.returned >= _ENOUGH and repurchase.returned_days is not None:
        half, most = repurchase.returned_days
        yield Advice(
            code="when-to-write",
            figures={
                "half_days": half,
                "most_days": most,
                "dormant_after_days": policy.dormant_after.delta.days,
            },
        )
