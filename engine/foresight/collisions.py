"""What the caps do to campaigns, as warnings: too few who are left, too much that is lost, two on one day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Integer, Text, case, cast, func, literal, select

from engine.definitions.campaign import Campaign
from engine.definitions.loader import Definitions
from engine.foresight.future import Course, Future
from engine.foresight.simulation import Lived
from engine.gate.hours import QUIET
from engine.planning.due import computed_once, whole_days
from engine.planning.local_time import local_seconds
from engine.store.tables import State, deliveries
from engine.store.types import epoch_seconds

FEW = 100
"""Under this many people a campaign is hardly worth its fixed work: the plan says so."""
MUCH = 0.4
"""The share that is lost to caps from which on the plan warns."""
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Collision:
    """Two campaigns on one day of the shop. `people`: in both; `lost`: of these, whom the first does not reach."""

    campaign: str
    other: str
    day: date
    people: int
    lost: int


def collisions(lived: Lived, definitions: Definitions, future: Future) -> list[Collision]:
    """Every pair of campaigns that write to the same people on the same day, once from either side."""
    names = sorted(name for name, one in definitions.sendable().items() if one.kind == "campaign")
    caps = sorted({one.reason for one in future.held} - {QUIET})
    zone = literal(lived.catalog.policy.timezone, Text)
    is_lost = (deliveries.c.state == State.SKIPPED) & deliveries.c.reason.in_(caps)
    lost = case((is_lost | (deliveries.c.state == State.PLANNED), 1), else_=0)
    rows = computed_once(
        select(
            deliveries.c.definition,
            deliveries.c.customer_id,
            whole_days(local_seconds(epoch_seconds(deliveries.c.due_at), zone)).label("day"),
            cast(lost, Integer).label("lost"),
        ).where(
            deliveries.c.definition.in_(names),
            deliveries.c.due_at > lived.start,
            deliveries.c.due_at <= lived.end,
        ),
        "rows_of_campaigns",
    )
    other = rows.alias("other")
    pairs = (
        select(rows.c.definition, other.c.definition, rows.c.day, func.count(), func.sum(rows.c.lost))
        .join(other, (other.c.customer_id == rows.c.customer_id) & (other.c.day == rows.c.day))
        .where(rows.c.definition != other.c.definition)
        .group_by(rows.c.definition, other.c.definition, rows.c.day)
        .order_by(rows.c.day, rows.c.definition, other.c.definition)
    )  # fmt: skip
    with lived.store.read() as connection:
        return [
            Collision(name, rival, _EPOCH + timedelta(days=int(day)), people, int(gone))
            for name, rival, day, people, gone in connection.execute(pairs).all()
        ]


def warnings_of(
    course: Course, definition: Campaign, future: Future, found: list[Collision]
) -> Iterator[str]:
    """What a person should know of one campaign before it is applied; nothing where it is not due."""
    if not course.due:
        return
    if course.total < FEW and not course.waiting:
        yield f"after the caps it reaches only {course.total} people"
    taken = sum(one.taken for one in future.held if one.definition == definition.id)
    if taken >= MUCH * course.due:
        hardest = max(
            (one for one in future.held if one.definition == definition.id),
            key=lambda one: one.taken,
        )
        place = f"{hardest.rule.get('file')}:{hardest.rule.get('line')}"
        yield (
            f"caps take away {taken} of {course.due} messages ({taken / course.due:.0%}),"
            f" most of them {hardest.reason} at {place}"
        )
    for one in found:
        if one.campaign == definition.id:
            yield (
                f"on {one.day.isoformat()} it meets campaign {one.other!r}: {one.people} people are in"
                f" both, and {one.lost} of them ({one.lost / one.people:.0%}) do not get this one"
            )
