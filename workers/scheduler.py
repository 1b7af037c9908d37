"""The scheduler process: APScheduler decides when to look, the engine decides what is due; then it dispatches.

Any number may run; the dispatcher's lease lets one of them admit. Planning is idempotent and needs no lease.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from datetime import datetime, timedelta

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import func, select

from engine.clock import Clock
from engine.delivery.dispatch import Dispatcher, next_look
from engine.gate.outlets import outlets
from engine.planning.series import any_ended
from engine.settings import Settings
from engine.store.run_rows import IN_HAND
from engine.store.session import Store, waits_out_an_outage
from engine.store.tables import State, deliveries
from engine.store.watch import Watch
from workers.broker import Queue, connect
from workers.planner import Planner
from workers.stopping import Stop

_log = structlog.get_logger()
LOOK_SECONDS = 15
"""How often it is asked whether a look is due; ended runs are closed as often."""
LISTEN_SECONDS = 0.5
"""How often the note of pushes is asked for, one row by its key; where it can be told that nobody wrote, only that."""
PAUSE_SECONDS = 0.1
REST_SECONDS = 0.5
WATCHFUL_REST_SECONDS = 1.5
"""Between two looks of the dispatcher that found nothing: while workers have something in hand, and while not; the last one
at most, where it can be told that somebody wrote something."""
IDLE_AHEAD = timedelta(seconds=60)
"""`--until-idle` waits this long for what was due when it began: a rate or a relay that is away puts it off by moments."""


def run(settings: Settings, clock: Clock, *, until_idle: bool = False) -> int:
    """Plan and dispatch until SIGTERM, or until nothing is left to do now. Returns the exit code."""
    store = Store(settings.database)
    queue = Queue(connect(settings.redis_url))
    planner = Planner(store)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    dispatcher = Dispatcher(store, queue, name, settings.channels(), outlets=outlets(settings))
    ended = Stop().on_signals()
    planner.look(clock)
    waker = wake(planner, clock)
    listener = threading.Thread(target=listen, args=(store, planner, clock, ended), name="listener")
    listener.start()
    try:
        _dispatch(store, dispatcher, clock, ended, until_idle=until_idle)
        if until_idle:
            planner.look(clock)
    finally:
        ended.set()
        waker.shutdown(wait=True)
        listener.join()
        dispatcher.resign()
        store.close()
    return 0


def wake(planner: Planner, clock: Clock) -> BackgroundScheduler:
    """Let the planner look now and then."""
    # It warns each time that a job is still busy when it is due again: of a look that is long, or waits out an outage.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    waker = BackgroundScheduler(timezone="UTC")
    waker.add_job(
        planner.look_if_due, "interval", id="look", args=[clock], seconds=LOOK_SECONDS,
        coalesce=True, max_instances=1,
    )  # fmt: skip
    waker.start()
    return waker


def listen(store: Store, planner: Planner, clock: Clock, ended: Stop) -> None:
    """Let the planner react to pushes until `ended` is set: a thread of its own, since that may take seconds."""
    with Watch(store) as watch:
        seen = False
        while not ended.wait(LISTEN_SECONDS):
            try:
                # By the look itself: what is written while the planner reacts is a change for the next one.
                if watch.has_changed() or not (seen and watch.tells):
                    seen = planner.react(clock)
            except Exception:
                # A full disk, say: the daemon lives on, and asks again.
                _log.exception("planner.failed")
                seen = False


def _dispatch(
    store: Store, dispatcher: Dispatcher, clock: Clock, ended: Stop, *, until_idle: bool
) -> None:
    tick = waits_out_an_outage(dispatcher.tick)
    began = clock.now()
    with Watch(store) as watch:
        while not ended.is_set():
            look = tick(clock.now())
            if look.decided:
                continue
            if until_idle and look.leads and is_idle(store, began, clock.now()):
                return
            if look.outstanding:
                ended.wait(PAUSE_SECONDS)
            else:
                _rest(ended, watch)


def _rest(ended: Stop, watch: Watch) -> None:
    # By this look itself: a lease that was renewed is no reason for another look. Who wrote in the same instant waits once.
    watch.has_changed()
    until = time.monotonic() + (WATCHFUL_REST_SECONDS if watch.tells else REST_SECONDS)
    while time.monotonic() < until and not ended.wait(PAUSE_SECONDS) and not watch.has_changed():
        pass


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
