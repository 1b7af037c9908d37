"""What `apply` says of runs that cannot be done by their `finish_by`."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from engine.definitions.campaign import Definition, Schedule
from engine.definitions.loader import Definitions
from engine.planning.finish import cannot_finish
from engine.planning.occurrences import occurrence
from engine.store.tables import State, deliveries
from engine.store.warm_ups import begun_by_rule


def warn_of_late_finishes(connection: Connection, definitions: Definitions) -> list[str]:
    """A sentence for each volume cap that does not let all planned messages of a run go in time. Counted as if each took
    its step's first channel."""
    return [
        f"{name}: {told}"
        for name, definition in definitions.campaigns.items()
        if definition.schedule.finish_by is not None
        for told in _late(connection, definitions, definition, definition.schedule)
    ]


def _late(
    connection: Connection, definitions: Definitions, definition: Definition, schedule: Schedule
) -> Iterator[str]:
    policy = definitions.policy
    when = occurrence(schedule, policy.timezone)
    planned = (deliveries.c.definition == definition.id) & (deliveries.c.anchor == when.text)
    people = connection.execute(
        select(func.count()).where(planned, deliveries.c.state == State.PLANNED)
    ).scalar_one()
    span = (when.starts_at, max(when.finish.values()))
    counted = {definition.steps[0].channels[0]: people}
    begun = begun_by_rule(connection, policy.volume)
    yield from cannot_finish(policy, definition, *span, counted, begun)
