"""How many a volume rule lets through, day by day of the shop: its maximum, widened or narrowed by an exception of the
calendar, and beneath that the ramp of a warm-up. Purely; for the gate, and for whoever looks ahead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.clock import from_local
from engine.definitions.policy import Override, VolumeRule

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DOUBLINGS = 40
"""More of them make any start larger than any maximum."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`overrides`: (first day, last day, exception), days as ordinals, of those that have a say. `begun`: the day on
    which the warm-up was first used; None: it has not been, and is at its start."""

    rule: VolumeRule
    zone: ZoneInfo
    overrides: tuple[tuple[int, int, Override], ...] = ()
    begun: int | None = None

    @classmethod
    def of(
        cls,
        rule: VolumeRule,
        zone: ZoneInfo,
        calendar: tuple[Override, ...] = (),
        begun: date | None = None,
    ) -> Limit:
        """Rates stay as they are: they are the wire's or the mailbox provider's, not the shop's."""
        mine = [one for one in calendar if one.volume_factor != 1 and not rule.is_rate]
        days = tuple((one.first.toordinal(), one.last.toordinal(), one) for one in mine)
        return cls(rule, zone, days, begun.toordinal() if begun else None)

    @property
    def is_constant(self) -> bool:
        return not self.overrides and self.rule.warm_up is None

    def on(self, day: int) -> int:
        """The maximum on a day of the shop, given as its ordinal."""
        override = self.override(day)
        maximum = self.rule.maximum
        if override is not None:
            maximum = int(maximum * override.volume_factor)
        ramp = self.rule.warm_up
        if ramp is None:
            return maximum
        past = max(0, day - self.begun) // ramp.days if self.begun is not None else 0
        return min(maximum, ramp.start << min(past, _DOUBLINGS))

    def at(self, moment: int) -> tuple[int, int | None]:
        """The maximum at a moment, and until when it is so at least; None: for ever. Microseconds since 1970."""
        if self.is_constant:
            return self.rule.maximum, None
        day = self.day(moment)
        following = next((change for change in self._changes(day) if change > day), None)
        return self.on(day), None if following is None else self.midnight(following)

    def override(self, day: int) -> Override | None:
        """The exception that has a say on this day."""
        return next((one for first, last, one in self.overrides if first <= day <= last), None)

    def least(self) -> int:
        """The lowest that it ever is."""
        ramp = self.rule.warm_up
        lowest = [int(self.rule.maximum * one.volume_factor) for _, _, one in self.overrides]
        return min([self.rule.maximum, *lowest, *([ramp.start] if ramp else [])])

    def day(self, moment: int) -> int:
        """The shop's day that a moment lies in."""
        return (_EPOCH + moment * _MICROSECOND).astimezone(self.zone).toordinal()

    def midnight(self, day: int) -> int:
        """The moment with which a day of the shop begins."""
        start = from_local(datetime.combine(date.fromordinal(day), time()), self.zone.key)
        return (start - _EPOCH) // _MICROSECOND

    def _changes(self, day: int) -> Iterator[int]:
        """Days after this one on which the maximum may be another, in order as far as the next of them matters."""
        ramp = self.rule.warm_up
        edges = [edge for first, last, _ in self.overrides for edge in (first, last + 1)]
        if ramp is not None and self.begun is not None and self.on(day) < self.rule.maximum:
            past = max(0, day - self.begun) // ramp.days
            edges.append(self.begun + (past + 1) * ramp.days)
        yield from sorted(edges)
