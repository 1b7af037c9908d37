"""One look of the scheduler: what time alone changes is worked out, what has come due is expanded, what has ended is closed.

The daemon looks by the real clock and a simulation by a virtual one: both call this, so that what is added here happens
in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.clock import from_local
from engine.customers.membership.evaluation import Evaluated, ensure_evaluated
from engine.customers.profiles.freshness import ensure_fresh
from engine.definitions.policy import Policy
from engine.planning.expansion import Expanded, expand
from engine.planning.runs import close_finished, next_start
from engine.store.catalog import Catalog
from engine.store.session import Store


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look did. `evaluated` None: no evaluation of memberships was due."""

    expanded: Expanded
    evaluated: Evaluated | None


def look(
    store: Store, catalog: Catalog, now: datetime, reach: timedelta, *, is_still: bool = False
) -> Looked:
    """Make what is due from now until `reach` ahead. Idempotent.

    `is_still`: a world in which nothing happens but that time passes, so that habits stay as they are.
    """
    ensure_fresh(store, catalog.policy, now, is_still=is_still)
    evaluated = ensure_evaluated(store, catalog.membership, catalog.policy, now)
    expanded = expand(store, catalog, now, reach)
    with store.write() as connection:
        close_finished(connection, now)
    return Looked(expanded, evaluated)


def next_change(store: Store, policy: Policy, now: datetime) -> datetime:
    """When time alone will next bring what no look ahead could know: a date that comes, or a new day of the shop."""
    tomorrow = now.astimezone(ZoneInfo(policy.timezone)).date() + timedelta(days=1)
    midnight = from_local(datetime.combine(tomorrow, time()), policy.timezone)
    with store.read() as connection:
        start = next_start(connection, now)
    return midnight if start is None else min(start, midnight)
