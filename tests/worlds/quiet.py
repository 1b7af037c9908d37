"""Quiet hours and days, and the calendar's exceptions, as docs/policy.md has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.worlds.calendars import DAY, WEEKDAYS, holds, hours, instant, local, midnight
from tests.worlds.people import Spec, World, words
from tests.worlds.rows import Row


@dataclass
class Quiet:
    """When a message may go, in one world."""

    world: World

    def exception(self, moment: datetime) -> Spec | None:
        """That of the shop's day."""
        day = self.world.day(moment).isoformat()
        return next((one for one in self.world.policy.get("calendar", []) if one["from"] <= day <= one["to"]), None)  # fmt: skip

    def is_day(self, row: Row, channel: str, moment: datetime) -> bool:
        exception = self.exception(moment) or {}
        rules: Any = exception.get("quiet_days", self.world.policy.get("quiet_days", []))
        weekday = WEEKDAYS[local(moment, self.world.home(row.person)).weekday()]
        return any(
            weekday in rule["weekdays"]
            and row.message_class in words(rule.get("class"), ("marketing",))
            and channel in words(rule.get("channel"), ("email", "sms"))
            for rule in rules
        )

    def is_hour(self, row: Row, channel: str, moment: datetime) -> bool:
        if row.message_class == "transactional":
            return False
        theirs = (self.exception(moment) or {}).get("quiet_hours", {})
        window = theirs.get(channel, self.world.policy.get("quiet_hours", {}).get(channel))
        wall = local(moment, self.world.home(row.person))
        return window is not None and holds(window, wall.time())

    def is_quiet(self, row: Row, channel: str, moment: datetime) -> bool:
        return self.is_day(row, channel, moment) or self.is_hour(row, channel, moment)

    def edges(self, row: Row, now: datetime, until: datetime) -> Iterator[datetime]:
        """Where quiet may end: windows', days' and exceptions' ends."""
        zone, policy = self.world.home(row.person), self.world.policy
        windows = [*policy.get("quiet_hours", {}).values()]
        windows += [text for one in policy.get("calendar", []) for text in one.get("quiet_hours", {}).values()]  # fmt: skip
        day = local(now, zone).date() - 2 * DAY
        while midnight(day, zone) <= until + 2 * DAY:
            yield midnight(day, zone)
            yield midnight(day, self.world.zone)
            for text in windows:
                end = datetime.combine(day, hours(text)[1])
                yield instant(end, zone)
                yield end.replace(tzinfo=ZoneInfo(zone), fold=1).astimezone(UTC)
            day += DAY

    def opening(self, row: Row, channel: str, now: datetime, until: datetime) -> datetime | None:
        """The first moment from now on that is not quiet."""
        ends = (end for end in self.edges(row, now, until) if end > now)
        return next((at for at in sorted({now, *ends}) if not self.is_quiet(row, channel, at)), None)  # fmt: skip
