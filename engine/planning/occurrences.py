"""When a campaign goes out: its occurrence text, and the due time in each zone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.clock import from_local
from engine.definitions.campaign import Schedule


@dataclass(frozen=True, slots=True)
class Occurrence:
    """`text` is the run's key and every delivery's anchor: its format never changes, or people would get it again."""

    text: str
    starts_at: datetime  # UTC: when the first customer is due


def occurrence(schedule: Schedule, shop_zone: str, zones: Iterable[str] = ()) -> Occurrence:
    """The one occurrence of a date. `zones`: those of the customers, which matter where each keeps their own time.

    `at:2026-11-09T10:00+08:00`, or without an offset where it means every customer's own ten o'clock.
    """
    if schedule.fixed is not None:
        return Occurrence(f"at:{_minutes(schedule.at_text)}", schedule.fixed)
    if schedule.per_customer:
        due = due_by_zone(schedule, shop_zone, zones)
        return Occurrence(f"at:{schedule.at:%Y-%m-%dT%H:%M}", min(due.values()))
    zone = schedule.zone or shop_zone
    moment = from_local(schedule.at, zone)
    offset = moment.astimezone(ZoneInfo(zone)).isoformat()[-6:]
    return Occurrence(f"at:{schedule.at:%Y-%m-%dT%H:%M}{offset}", moment)


def due_by_zone(schedule: Schedule, shop_zone: str, zones: Iterable[str]) -> dict[str, datetime]:
    """The due moment (UTC) for the customers of each zone; the shop's own zone is always among them."""
    names = {*zones, shop_zone}
    if schedule.fixed is not None:
        return dict.fromkeys(names, schedule.fixed)
    if schedule.per_customer:
        return {name: from_local(schedule.at, name) for name in names}
    return dict.fromkeys(names, from_local(schedule.at, schedule.zone or shop_zone))


def _minutes(text: str) -> str:
    """`2026-11-09T10:00:00+08:00` → `2026-11-09T10:00+08:00`, `Z` kept as `+00:00`."""
    moment = datetime.fromisoformat(text)
    return moment.isoformat(timespec="minutes")
