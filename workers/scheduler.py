"""The scheduler process: APScheduler decides when to look, the engine decides what is due; then it dispatches.

Any number may run; the dispatcher's lease lets one of them admit. Planning is idempotent and needs no lease.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import func, select

from engine.clock import Clock
from engine.customers.wake import read_note, take_note_away
from engine.delivery.backlog import after_outage
from engine.delivery.dispatch import Dispatcher, next_look
from engine.delivery.in_hand import IN_HAND
from engine.errors import StoreError
from engine.gate.outlets import outlets
from engine.planning.expansion import expand_for, horizon
from engine.planning.look import look
from engine.planning.series import any_ended
from engine.settings import Settings
from engine.store.catalog import CatalogReader
from engine.store.session import Store, is_passing, waits_out_an_outage
from engine.store.tables import State, deliveries
from workers.broker import Queue, connect

_log = structlog.get_logger()
LOOK_SECONDS = 15
LISTEN_SECONDS = 0.5
"""How often the note of pushes is asked for: one row by its key."""
LOOK_FAR_EVERY = timedelta(hours=1)
NEAR = timedelta(hours=1)
PAUSE_SECONDS = 0.1
IDLE_AHEAD = timedelta(seconds=60)
"""`--until-idle` waits this long for what was due when it began: a rate or a relay that is away puts it off by moments."""


@dataclass
class Planner:
    """Looks for what has come due: near ahead every time, as far as the longest window once an hour or after `apply`."""

    store: Store
    reader: CatalogReader = field(default_factory=CatalogReader)
    looked: threading.Event = field(default_factory=threading.Event)
    reacted: threading.Event = field(default_factory=threading.Event)
    _seen: tuple[object, object] | None = None
    _looking: threading.Lock = field(default_factory=threading.Lock)

    def react(self, clock: Clock) -> None:
        """Look at whom something was pushed of, and at nobody else: a pushed order need not wait for the next look.

        Where another look is under way, or the database is away, it is left to the next call.
        """
        if not self._looking.acquire(blocking=False):
            return
        try:
            self._react(clock)
        except StoreError as error:
            if not is_passing(error):
                raise
        finally:
            self._looking.release()

    def _react(self, clock: Clock) -> None:
        with self.store.read() as connection:
            note = read_note(connection)
        if note is None:
            return
        if note.people is None:
            self._look(clock)
        else:
            self._look_at(note.people, clock.now())
        with self.store.write() as connection:
            take_note_away(connection, note)
        self.reacted.set()

    def _look_at(self, people: Collection[int], now: datetime) -> None:
        with self.store.read() as connection:
            catalog = self.reader.read(connection)
        made = expand_for(self.store, catalog, now, people, NEAR)
        if made.total:
            _log.info("planner.reacted", **made.deliveries)

    @waits_out_an_outage
    def look(self, clock: Clock) -> None:
        with self._looking:
            self._look(clock)

    def _look(self, clock: Clock) -> None:
        now = clock.now()
        with self.store.read() as connection:
            catalog = self.reader.read(connection)
        hour = now.replace(minute=0, second=0, microsecond=0)
        far = self._seen != (catalog, hour)
        looked = look(self.store, catalog, now, horizon(catalog.policy) if far else NEAR)
        self._seen = (catalog, hour)
        if late := after_outage(self.store, catalog.policy, now):
            _log.warning("planner.overdue", late=late)
        if looked.evaluated is not None:
            _log.info("planner.memberships", **asdict(looked.evaluated))
        if looked.expanded.total:
            _log.info("planner.expanded", **looked.expanded.deliveries)
        self.looked.set()


def run(settings: Settings, clock: Clock, *, until_idle: bool = False) -> int:
    """Plan and dispatch until SIGTERM, or until nothing is left to do now. Returns the exit code."""
    store = Store(settings.database)
    queue = Queue(connect(settings.redis_url))
    planner = Planner(store)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    dispatcher = Dispatcher(store, queue, name, settings.channels(), outlets=outlets(settings))
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    planner.look(clock)
    waker = wake(planner, clock)
    try:
        _dispatch(store, dispatcher, clock, ended, until_idle=until_idle)
        if until_idle:
            planner.look(clock)
    finally:
        waker.shutdown(wait=True)
        dispatcher.resign()
        store.close()
    return 0


def wake(planner: Planner, clock: Clock) -> BackgroundScheduler:
    """Let the planner look now and then, and listen for pushes all the time."""
    # It warns each time that a job is still busy when it is due again: of `react`, twice a second during an outage.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    waker = BackgroundScheduler(timezone="UTC")
    jobs = (("look", planner.look, LOOK_SECONDS), ("react", planner.react, LISTEN_SECONDS))
    for name, job, seconds in jobs:
        waker.add_job(
            job, "interval", id=name, args=[clock], seconds=seconds, coalesce=True,
            max_instances=1,
        )  # fmt: skip
    waker.start()
    return waker


def _dispatch(
    store: Store, dispatcher: Dispatcher, clock: Clock, ended: threading.Event, *, until_idle: bool
) -> None:
    tick = waits_out_an_outage(dispatcher.tick)
    began = clock.now()
    while not ended.is_set():
        look = tick(clock.now())
        if look.decided:
            continue
        if until_idle and look.leads and is_idle(store, began, clock.now()):
            return
        ended.wait(PAUSE_SECONDS)


def is_idle(store: Store, began: datetime, now: datetime) -> bool:
    """Nothing on its way, and nothing that was due at `began` is only put off by moments."""
    with store.read() as connection:
        moving = connection.execute(
            select(func.count()).where(
                IN_HAND, deliveries.c.state.in_((State.QUEUED, State.SENDING))
            )
        ).scalar_one()
        following = next_look(connection, due_by=began)
        told = not any_ended(connection)
    return not moving and told and (following is None or following > now + IDLE_AHEAD)
