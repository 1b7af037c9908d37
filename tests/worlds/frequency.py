"""Frequency rules, window by window and row by row: docs/policy.md, with places kept for higher priorities."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.worlds.calendars import DAY, MINUTE, in_days, lasting, local, midnight
from tests.worlds.people import Spec, World, words
from tests.worlds.quiet import Quiet
from tests.worlds.rows import OPEN, Row

MICROSECOND = timedelta(microseconds=1)


def counted_in(rule: Spec, row: Row) -> bool:
    return row.message_class in words(rule.get("class"), ("marketing", "care")) and bool(
        set(words(rule.get("channel"), ("email", "sms"))) & set(row.channels)
    )


def is_spared(world: World, row: Row) -> bool:
    return any(address in world.policy.get("never_capped", []) for address in row.person.addresses.values())  # fmt: skip


def factor(exception: Spec | None, name: str) -> Decimal:
    return Decimal(str((exception or {}).get(name, 1)))


@dataclass
class Pool:
    """What one rule counts for one candidate, by customer or by address."""

    quiet: Quiet
    rule: Spec
    committed: list[Row]
    reserved: list[Row]
    zones: list[str]

    def maximum(self, moment: datetime) -> int:
        return int(self.rule["max"] * factor(self.quiet.exception(moment), "frequency_factor"))

    def least(self, now: datetime) -> int:
        """The lowest from now on: places kept for others can only matter where so many count."""
        today = self.quiet.world.day(now).isoformat()
        ahead = [one for one in self.quiet.world.policy.get("calendar", []) if one["to"] >= today]
        widened = [factor(one, "frequency_factor") for one in ahead]
        return int(min([self.rule["max"], *(self.rule["max"] * each for each in widened)]))

    def fits(self, moment: datetime, now: datetime, heed_reserved: bool) -> bool:
        return all(
            self.count(start, end, now, heed_reserved) + 1 <= self.maximum(moment)
            for zone in self.zones
            for start, end in self.windows(moment, now, zone)
        )

    def count(self, start: datetime, end: datetime, now: datetime, heed_reserved: bool) -> int:
        """Rows in a window from `start` to before `end`."""
        used = sum(start <= row.counts_at < end for row in self.committed)
        if not heed_reserved:
            return used
        return used + sum(max(row.next_at, now) < end and row.not_after >= start for row in self.reserved)  # fmt: skip

    def windows(
        self, moment: datetime, now: datetime, zone: str
    ) -> Iterable[tuple[datetime, datetime]]:
        per = lasting(self.rule["per"])
        if in_days(self.rule["per"]):
            for back in range(per.days):
                first = local(moment, zone).date() - back * DAY
                yield midnight(first, zone), midnight(first + per, zone)
            return
        starts = {moment}
        for row in self.committed + self.reserved:
            for edge in (row.counts_at, max(row.counts_at, now), row.not_after):
                starts |= {edge, edge + MICROSECOND, edge - per, edge - per + MICROSECOND}
        for start in starts:
            if start <= moment < start + per:
                yield start, start + per

    def moments(self, now: datetime, until: datetime) -> Iterable[datetime]:
        """Where room may open up."""
        per = lasting(self.rule["per"])
        for row in self.committed + self.reserved:
            yield max(row.counts_at, now) + per
            yield (row.counts_at if row.committed else row.not_after) + per
        for zone in (*self.zones, self.quiet.world.zone):
            day = local(now, zone).date()
            while midnight(day, zone) <= until:
                yield midnight(day, zone)
                day += DAY


def pools(quiet: Quiet, rows: list[Row], row: Row, channel: str, now: datetime) -> list[Pool]:
    """The rules that bind it, once for its customer and once for its address."""
    world, address = quiet.world, row.person.addresses[channel]
    found = []
    for rule in [] if is_spared(world, row) else world.policy.get("frequency", []):
        if row.message_class not in words(rule.get("class"), ("marketing", "care")) or channel not in words(rule.get("channel"), (channel,)):  # fmt: skip
            continue
        matching = [other for other in rows if other is not row and counted_in(rule, other)]
        for by_address in (False, True):
            mine = [
                other
                for other in matching
                if (other.goes_to(address) if by_address else other.person is row.person)
            ]
            reserved = [
                other
                for other in mine
                if other.state in OPEN
                and other.priority > row.priority
                and max(other.next_at, now) <= other.not_after
            ]
            zones = {world.home(row.person)}
            if by_address:
                zones |= {
                    world.home(person)
                    for person in world.people.values()
                    if address in person.addresses.values()
                }
            found.append(Pool(quiet, rule, [o for o in mine if o.committed], reserved, list(zones)))
    return found


def judge(quiet: Quiet, rows: list[Row], row: Row, channel: str, now: datetime) -> Any:
    """None, "skip", or the moment to which it is deferred."""
    binding = pools(quiet, rows, row, channel, now)
    full = [pool for pool in binding if not pool.fits(now, now, True)]
    if not full:
        return None
    overflow = quiet.world.policy.get("overflow", "defer")
    if any(pool.rule.get("overflow", overflow) == "skip" for pool in full):
        return "skip"
    edges = {now, *quiet.edges(row, now, row.not_after)}
    for pool in binding:
        edges |= set(pool.moments(now, row.not_after))

    def first(heed_reserved: bool) -> datetime | None:
        for moment in sorted(edge for edge in edges if now <= edge <= row.not_after):
            if not quiet.is_quiet(row, channel, moment) and all(
                pool.fits(moment, now, heed_reserved) for pool in binding
            ):
                return moment
        return None

    at = first(True)
    if at is not None:
        return at
    unreserved = first(False)
    return "skip" if unreserved is None else _look_again(quiet, row, channel, now, binding, unreserved)  # fmt: skip


def _look_again(
    quiet: Quiet, row: Row, channel: str, now: datetime, binding: list[Pool], unreserved: datetime
) -> Any:
    """Only places kept for others stand in the way: the first moment at which one of them may be free."""
    tight = [p for p in binding if len(p.committed) + len(p.reserved) >= p.least(now)]
    moments = {unreserved}
    for pool in tight:
        for other in pool.reserved:
            moments |= {max(other.next_at, now), other.not_after + MICROSECOND}
    opened = [
        at
        for moment in moments
        if now < moment <= row.not_after
        and (at := quiet.opening(row, channel, moment, row.not_after)) is not None
        and at <= row.not_after
    ]
    if opened:
        return min(opened)
    half = (row.not_after - now) / 2
    return now + half if half >= MINUTE else "skip"
