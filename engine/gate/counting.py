"""The shop's traffic as the database knows it: what counts for a volume rule by now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import ColumnElement, Connection, func, select, tuple_

from engine.definitions.campaign import Channel
from engine.definitions.limits import Limit
from engine.definitions.policy import VolumeRule
from engine.gate.candidates import Candidate, Catalog
from engine.gate.outlets import Outlets
from engine.gate.states import is_committed
from engine.gate.volume import (
    LOOK_AHEAD,
    Daily,
    Meter,
    Outlet,
    Rolling,
    Spacing,
    microseconds,
    moment_of,
    step_seconds,
)
from engine.store.tables import deliveries
from engine.store.types import epoch_seconds


@dataclass(frozen=True, slots=True)
class Counter:
    """What counting needs: the database, and what it takes to tell whom a message was from."""

    connection: Connection
    catalog: Catalog
    outlets: Outlets
    now: datetime

    def sender_of(self, digest: str, step: str) -> str | None:
        return self.outlets.of(self.connection, self.catalog, digest, step, "email").sender

    def outlet_of(self, candidate: Candidate, channel: Channel) -> Outlet:
        asked = (candidate.digest, candidate.step, channel)
        return self.outlets.of(self.connection, self.catalog, *asked)


_STAMP: ColumnElement[datetime] = func.coalesce(
    deliveries.c.send_at, deliveries.c.admitted_at, type_=deliveries.c.send_at.type
)
_AHEAD = timedelta(microseconds=LOOK_AHEAD)


def read_meter(counter: Counter, limit: Limit) -> Meter:
    """The meter of one rule, with what counts in it by now."""
    if limit.rule.per.unit == "s":
        return _spacing(counter, limit)
    if limit.rule.per.is_days:
        return _daily(counter, limit)
    return _rolling(counter, limit)


def _since(counter: Counter, rule: VolumeRule, since: datetime) -> list[ColumnElement[bool]]:
    """Messages that count for the rule, stamped after `since`. (The index is on admission, a little earlier.)"""
    conditions = [is_committed, deliveries.c.admitted_at > since - _AHEAD, _STAMP.__gt__(since)]
    if rule.channel is not None:
        conditions.append(deliveries.c.channel == rule.channel)
    if rule.domain is not None:
        conditions.append(deliveries.c.channel == "email")
        conditions.append(deliveries.c.email_domain == rule.domain)
    if rule.classes:
        conditions.append(deliveries.c["class"].in_(sorted(rule.classes)))
    elif not rule.is_rate:
        conditions.append(deliveries.c["class"] != "transactional")
    if rule.provider is not None:
        names = counter.outlets.providers
        mine = [channel for channel, name in sorted(names.items()) if name == rule.provider]
        conditions.append(deliveries.c.channel.in_(mine))
    if rule.sender is not None:
        conditions.append(_from(counter, rule.sender, conditions))
    return conditions


def _from(
    counter: Counter, sender: str, conditions: Sequence[ColumnElement[bool]]
) -> ColumnElement[bool]:
    """Emails from an address. No row says which it was: its version's step does."""
    version = (deliveries.c.digest, deliveries.c.step)
    emails = (*conditions, deliveries.c.channel == "email")
    found = counter.connection.execute(select(*version).where(*emails).distinct()).all()
    mine = [tuple(row) for row in found if counter.sender_of(*row) == sender]
    return (deliveries.c.channel == "email") & tuple_(*version).in_(mine)


def _spacing(counter: Counter, limit: Limit) -> Spacing:
    rule = limit.rule
    query = select(_STAMP).where(*_since(counter, rule, counter.now - rule.per.delta))
    newest = query.order_by(_STAMP.desc()).limit(max(rule.maximum, 1))
    return Spacing(limit, map(microseconds, counter.connection.execute(newest).scalars()))


def _rolling(counter: Counter, limit: Limit) -> Rolling:
    rule = limit.rule
    width = step_seconds(rule)
    step = (epoch_seconds(_STAMP) // width).label("step")
    since = counter.now - rule.per.delta - timedelta(seconds=width)
    query = select(step, func.count()).where(*_since(counter, rule, since)).group_by(step)
    rows = counter.connection.execute(query)
    return Rolling(limit, {int(number): count for number, count in rows})


def _daily(counter: Counter, limit: Limit) -> Daily:
    rule = limit.rule
    # Stamps reach a little way into tomorrow.
    tomorrow = limit.day(microseconds(counter.now)) + 1
    bounds = [
        moment_of(limit.midnight(day)) for day in range(tomorrow - rule.per.amount, tomorrow + 2)
    ]
    counts = {}
    for back, (start, end) in enumerate(pairwise(bounds)):
        query = (
            select(func.count())
            .select_from(deliveries)
            .where(*_since(counter, rule, start - timedelta(microseconds=1)))
            .where(deliveries.c.admitted_at < end, _STAMP.__lt__(end))
        )
        counts[tomorrow - rule.per.amount + back] = counter.connection.execute(query).scalar_one()
    return Daily(limit, counts)
