"""When the warm-ups of volume rules began: what must survive a restart about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import Connection, select

from engine.definitions.policy import VolumeRule
from engine.store.session import insert_ignoring
from engine.store.tables import rate_states

_WARM_UP = "warm_up"


def warm_up_key(rule: VolumeRule) -> str:
    """Under which the start of a rule's warm-up is kept: by what it is about, so that an edited `max` or `start` goes on
    where it was."""
    about = (rule.channel, rule.sender, rule.provider, rule.domain, "+".join(sorted(rule.classes)))
    return ":".join([_WARM_UP, *(part or "any" for part in about)])


def begun_warm_ups(connection: Connection, rules: Sequence[VolumeRule]) -> Mapping[str, date]:
    """The shop's days on which warm-ups were first used, by their keys; no query where no rule has one."""
    keys = [warm_up_key(rule) for rule in rules if rule.warm_up is not None]
    if not keys:
        return {}
    query = select(rate_states.c.key, rate_states.c.data).where(rate_states.c.key.in_(keys))
    return {row.key: date.fromisoformat(row.data["start"]) for row in connection.execute(query)}


def remember_warm_up(connection: Connection, rule: VolumeRule, day: date, now: datetime) -> None:
    """Note the day on which a warm-up was first used; one that is known stays."""
    values = {"key": warm_up_key(rule), "data": {"start": day.isoformat()}, "updated_at": now}
    connection.execute(insert_ignoring(connection, rate_states, ("key",)).values(**values))


def begun_by_rule(connection: Connection, rules: Sequence[VolumeRule]) -> Mapping[VolumeRule, date]:
    """The same by rule."""
    begun = begun_warm_ups(connection, rules)
    return {
        rule: begun[key]
        for rule in rules
        if rule.warm_up is not None and (key := warm_up_key(rule)) in begun
    }
