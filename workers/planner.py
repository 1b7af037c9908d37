"""The planner: when to look for what has come due, and at whom."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from engine.clock import Clock
from engine.customers.wake import read_note, take_note_away
from engine.delivery.backlog import after_outage
from engine.errors import StoreError
from engine.planning.expansion import expand_for, horizon
from engine.planning.look import look, next_change
from engine.planning.runs import close_finished
from engine.store.catalog import Catalog, CatalogReader
from engine.store.session import Store, is_passing, waits_out_an_outage

_log = structlog.get_logger()
LOOK_FAR_EVERY = timedelta(hours=6)
NEAR = timedelta(hours=1)
LOOK_AGAIN = timedelta(minutes=30)
"""A look makes all that comes due within NEAR, and whatever comes in leaves a note. So it need not be repeated soon: with a
thousand definitions one takes seconds. What changes without a note (a click that an audience asks for) is found by then."""
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Planner:
    """Looks for what has come due: near ahead where something may have come due since, as far as the longest window now
    and then, after `apply`, and where much came in."""

    store: Store
    reader: CatalogReader = field(default_factory=CatalogReader)
    looked: threading.Event = field(default_factory=threading.Event)
    reacted: threading.Event = field(default_factory=threading.Event)
    _catalog: Catalog | None = None  # that of the last look
    _looked_at: datetime = _NEVER
    _looked_far_at: datetime = _NEVER
    _again_at: datetime = _NEVER
    looking: threading.Lock = field(default_factory=threading.Lock)

    def react(self, clock: Clock) -> bool:
        """Look at whom something was pushed of, and at nobody else: a pushed order need not wait for the next look.

        False where that is left to the next call: another look is under way, the database is away, or more came in meanwhile.
        """
        if not self.looking.acquire(blocking=False):
            return False
        try:
            return self._react(clock)
        except StoreError as error:
            if not is_passing(error):
                raise
            return False
        finally:
            self.looking.release()

    def _react(self, clock: Clock) -> bool:
        with self.store.read() as connection:
            note = read_note(connection)
        if note is None:
            return True
        if note.people is None:
            self._look(clock.now(), far=True)
        else:
            self._look_at(note.people, clock.now())
        with self.store.write() as connection:
            seen_to = take_note_away(connection, note)
        self.reacted.set()
        return seen_to

    def _look_at(self, people: Collection[int], now: datetime) -> None:
        with self.store.read() as connection:
            catalog = self.reader.read(connection)
        made = expand_for(self.store, catalog, now, people, NEAR)
        if made.total:
            _log.info("planner.reacted", **made.deliveries)

    @waits_out_an_outage
    def look(self, clock: Clock) -> None:
        """Look now."""
        with self.looking:
            self._look(clock.now())

    @waits_out_an_outage
    def look_if_due(self, clock: Clock) -> None:
        """Look where definitions changed, or time alone may have brought something; else only see to what has ended."""
        with self.looking:
            now = clock.now()
            with self.store.read() as connection:
                is_known = self.reader.read(connection) is self._catalog
            if not is_known or not self._looked_at <= now < self._again_at:
                self._look(now)
                return
            with self.store.write() as connection:
                close_finished(connection, now)
            self._note(now)

    def _look(self, now: datetime, *, far: bool = False) -> None:
        with self.store.read() as connection:
            catalog = self.reader.read(connection)
        due = not self._looked_far_at <= now < self._looked_far_at + LOOK_FAR_EVERY
        far = far or due or catalog is not self._catalog
        looked = look(self.store, catalog, now, horizon(catalog.policy) if far else NEAR)
        self._catalog, self._looked_at = catalog, now
        self._looked_far_at = now if far else self._looked_far_at
        self._again_at = min(
            now + LOOK_AGAIN,
            self._looked_far_at + LOOK_FAR_EVERY,
            next_change(self.store, catalog.policy, now),
        )
        self._note(now)
        if looked.evaluated is not None:
            _log.info("planner.memberships", **asdict(looked.evaluated))
        if looked.expanded.total:
            _log.info("planner.expanded", **looked.expanded.deliveries)
        self.looked.set()

    def _note(self, now: datetime) -> None:
        """The daemon is there; what came due while it was not is treated as the policy says."""
        assert self._catalog is not None
        if late := after_outage(self.store, self._catalog.policy, now):
            _log.warning("planner.overdue", late=late)
