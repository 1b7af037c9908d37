"""The future on a virtual clock: the scheduler's own looks and the dispatcher itself, in a copy of the shop's database.

Nothing is sent: what the gate admits counts as sent at its stamp. The clock jumps from one moment at which something is
due to the next. No customer orders, opens or leaves meanwhile: only what is known now is played on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, or_, select, update

from engine.clock import from_local
from engine.definitions.loader import Definitions
from engine.delivery.dispatch import Dispatcher
from engine.delivery.pace import MOST, Pace
from engine.delivery.pauses import held
from engine.foresight.apply import rehearse
from engine.foresight.world import arrive, copied_world
from engine.gate.outlets import outlets
from engine.gate.permission import NOT_OFFERED
from engine.gate.traffic import RATE
from engine.planning.expansion import horizon
from engine.planning.look import look
from engine.settings import Settings
from engine.store.catalog import Catalog, CatalogReader
from engine.store.session import Store
from engine.store.tables import decisions, deliveries, runs
from engine.store.types import epoch_seconds, from_epoch_seconds

EXACT = 1_000
"""So many moments of one day are gone to one by one, so that caps bite in the very order of time."""
GRID = timedelta(minutes=5)
"""After those, messages that are due one by one (`spread`) are looked at together, at the end of so long."""
_DAY = timedelta(days=1)
Progress = Callable[[float], None]
"""Told the share that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Lived:
    """A world in which the time from `start` to `end` has passed. `first_decision`: later ones were made in it."""

    store: Store
    catalog: Catalog
    start: datetime
    end: datetime
    first_decision: int


@contextmanager
def lived_through(
    store: Store,
    definitions: Definitions,
    settings: Settings,
    now: datetime,
    span: timedelta,
    on_progress: Progress | None = None,
) -> Iterator[Lived]:
    """Put the files in force in a copy of the store, and let `span` pass there. The store itself is only read.

    Templates are not looked at: nothing is rendered.
    """
    with copied_world(store) as world:
        with world.read() as connection:
            before = connection.execute(select(func.max(decisions.c.id))).scalar() or 0
        rehearse(world, definitions, now, by="simulation")
        with world.read() as connection:
            catalog = CatalogReader().read(connection)
        lived = Lived(world, catalog, now, now + span, before)
        Passage(world, catalog, settings, now, now + span, on_progress).run()
        yield lived


class _AtOnce(Pace):
    """No worker is waited for."""

    def room(self, outstanding: int) -> int:  # noqa: ARG002  # nothing is outstanding here
        return MOST


@dataclass
class Passage:
    """Time as it passes in one world, by the entry points that the scheduler's process calls.

    It looks at its beginning, at each midnight of the shop, and as each run begins: at other times nothing can have
    changed in a world without news.
    """

    world: Store
    catalog: Catalog
    settings: Settings
    start: datetime
    end: datetime
    on_progress: Progress | None = None
    moments: int = 0
    decided: int = 0
    _dispatcher: Dispatcher = field(init=False)
    _day: datetime | None = None  # when the day that is counted ends
    _of_day: int = 0

    def __post_init__(self) -> None:
        self._dispatcher = Dispatcher(
            self.world,
            _nobody,
            "simulation",
            self.settings.channels(),
            pace=_AtOnce(),
            outlets=outlets(self.settings),
        )

    def run(self) -> None:
        moment, looks_at = self.start, self.start
        while moment <= self.end:
            if moment >= looks_at:
                self._look(moment)
                looks_at = self._next_look(moment)
            self._admit(moment)
            due = self._next_due(moment)
            moment = looks_at if due is None else min(due, looks_at)
            self.moments += 1
            if self.on_progress is not None:
                self.on_progress(min((moment - self.start) / (self.end - self.start), 1.0))

    def _look(self, moment: datetime) -> None:
        reach = self._reach(moment)
        look(self.world, self.catalog, moment, reach, is_still=moment > self.start)

    def _reach(self, moment: datetime) -> timedelta:
        """Far at first, so that every place that is held within the longest window is known; then what a day of ageing
        brings along: who enters an audience, changes grade, or joins a run as it begins."""
        if moment > self.start:
            return 2 * _DAY
        return max(horizon(self.catalog.policy), self.end - self.start) + _DAY

    def _admit(self, moment: datetime) -> None:
        while True:
            tick = self._dispatcher.tick(moment)
            with self.world.write() as connection:
                if tick.admitted:
                    arrive(connection)
                if tick.decided > tick.admitted:
                    connection.execute(_WAIT_IT_OUT, {"now": moment})
            self.decided += tick.decided
            if tick.leads and not tick.decided:
                return  # what follows on what was sent is planned by now

    def _next_look(self, moment: datetime) -> datetime:
        with self.world.read() as connection:
            begins = connection.execute(_NEXT_RUN, {"now": moment}).scalar()
        midnight = next_midnight(moment, self.catalog.policy.timezone)
        return midnight if begins is None else min(begins, midnight)

    def _next_due(self, moment: datetime) -> datetime | None:
        zone = self.catalog.policy.timezone
        if self._day is None or moment >= self._day:
            self._day, self._of_day = next_midnight(moment, zone), 0
        self._of_day += 1
        grid = GRID if self._of_day > EXACT else None
        with self.world.read() as connection:
            return _next_due(connection, moment, zone, grid)


def next_midnight(moment: datetime, zone: str) -> datetime:
    """When the next day of this zone begins.

    >>> next_midnight(datetime(2026, 11, 9, 4, tzinfo=UTC), "Asia/Shanghai").isoformat()
    '2026-11-09T16:00:00+00:00'
    """
    tomorrow = (moment.astimezone(ZoneInfo(zone)) + _DAY).date()
    return from_local(datetime.combine(tomorrow, time()), zone)


def _next_due(
    connection: Connection, moment: datetime, zone: str, grid: timedelta | None
) -> datetime | None:
    """When the gate is next asked. On a grid a thousand moments become one; but to the second for what waits for a
    rate, which would else be let through once in a grid, and never on another day than it is due."""
    allowed = held(connection).allows_run()
    first: datetime | None = connection.execute(_due(allowed), {"now": moment}).scalar()
    if first is None or grid is None:
        return first
    last = next_midnight(first, zone) - timedelta(seconds=1)
    together = min(_on_grid(first, grid), max(first, last))
    waits = {"now": moment, "until": together}
    paced: datetime | None = connection.execute(_due(allowed, RATE), waits).scalar()
    return together if paced is None else min(together, paced)


def _on_grid(moment: datetime, grid: timedelta) -> datetime:
    past = (moment - datetime(1970, 1, 1, tzinfo=UTC)) % grid
    return moment + (grid - past) if past else moment


def _due(allowed: ColumnElement[bool], reason: str | None = None) -> Select[Any]:
    # Run by run, so that each is one look into the index of what is planned.
    next_of_run = (
        select(deliveries.c.next_at)
        .where(
            deliveries.c.run_id == runs.c.id,
            deliveries.c.state == "planned",
            deliveries.c.next_at > bindparam("now"),
        )
        .order_by(deliveries.c.next_at)
        .limit(1)
    )
    if reason is not None:
        next_of_run = next_of_run.where(
            deliveries.c.reason == reason, deliveries.c.next_at <= bindparam("until")
        )
    return select(func.min(next_of_run.scalar_subquery())).where(runs.c.state == "open", allowed)


_NEXT_RUN = select(func.min(runs.c.starts_at)).where(
    runs.c.state == "open",
    runs.c.starts_at > bindparam("now"),
    or_(runs.c.expanded_at.is_(None), runs.c.expanded_at < runs.c.starts_at),
)
"""When the next run begins that is filled once more as it does."""


_WAIT_IT_OUT = (
    update(deliveries)
    .where(
        deliveries.c.state == "planned",
        deliveries.c.next_at > bindparam("now"),
        or_(deliveries.c.reason == NOT_OFFERED, deliveries.c.reason.startswith("paused ")),
        deliveries.c.next_at <= deliveries.c.not_after,
    )
    .values(next_at=from_epoch_seconds(epoch_seconds(deliveries.c.not_after) + 1))
)
"""What waits for a channel or for an operator is asked every few minutes by the daemon. Here neither ever comes: it is
asked once more, after it has expired."""


def _nobody(_batch: str) -> None:
    """No broker, no worker."""
