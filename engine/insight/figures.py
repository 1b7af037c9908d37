"""The figures of a report: what is counted, what each count means, and the rates that follow from them.

A message counts once however often it was opened or clicked. Machines are counted apart and stand in no rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFigures:
    """Messages of one channel. `opened` holds those viewed in the browser too; `delivered` is None where no provider
    reports it."""

    channel: str
    sent: int
    delivered: int | None
    opened: int
    clicked: int
    unsubscribed: int
    complained: int
    bounced: int

    @property
    def open_rate(self) -> float | None:
        """Opened ÷ sent; None where it cannot be known (text messages have no pixel)."""
        return rate(self.opened, self.sent) if self.channel == "email" else None

    @property
    def click_rate(self) -> float | None:
        return rate(self.clicked, self.sent)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFigures:
    """One link over all versions of a definition. `people`: customers who clicked, each once; `clicks`: how often they
    did; `scanners`: clicks of machines, in neither of the two."""

    url: str
    label: str | None
    personal: bool
    people: int
    clicks: int
    scanners: int


@dataclass(frozen=True, slots=True)
class Hour:
    """Messages opened and clicked by people in the hour that begins `at` (UTC)."""

    at: datetime
    opened: int
    clicked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """One step's messages of one wording; `variant` None: those that have none, or that were never admitted."""

    step: str
    variant: str | None
    planned: int
    open: int
    sent: int
    opened: int
    clicked: int
    unsubscribed: int
    bounced: int
    skipped: int


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """People who were `sent` the first message, or were held out (`holdout`): how many, and what they ordered in the time
    that is compared."""

    group: str
    people: int
    buyers: int
    orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionReport:
    """The figures of one campaign or care rule. `planned`: every message that was meant to go (not the holdout);
    `deferred`: those that the gate put off at least once, whatever became of them."""

    id: str
    kind: str
    message_class: str
    planned: int
    holdout: int
    open: int
    sent: int
    failed: int
    uncertain: int
    cancelled: int
    deferred: int
    skipped: Mapping[str, int]
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    channels: tuple[ChannelFigures, ...]
    links: tuple[LinkFigures, ...]
    hours: tuple[Hour, ...]
    scanners: Mapping[str, int]  # events of machines by kind: opened, clicked, viewed
    steps: tuple[StepFigures, ...] = ()
    groups: tuple[GroupFigures, ...] = ()  # only where people are held out

    @property
    def delivered(self) -> int | None:
        """None unless every channel that sent something reports it: half a figure beside a whole one misleads."""
        known = [one.delivered for one in self.channels if one.sent]
        if not known or None in known:
            return None
        return sum(one for one in known if one is not None)

    @property
    def opened(self) -> int:
        return sum(one.opened for one in self.channels)

    @property
    def clicked(self) -> int:
        return sum(one.clicked for one in self.channels)

    @property
    def unsubscribed(self) -> int:
        return sum(one.unsubscribed for one in self.channels)

    @property
    def complained(self) -> int:
        return sum(one.complained for one in self.channels)

    @property
    def bounced(self) -> int:
        return sum(one.bounced for one in self.channels)

    @property
    def open_rate(self) -> float | None:
        """Opened ÷ sent, of emails only."""
        mails = [one for one in self.channels if one.channel == "email"]
        return rate(sum(one.opened for one in mails), sum(one.sent for one in mails))

    @property
    def click_rate(self) -> float | None:
        return rate(self.clicked, self.sent)

    @property
    def unsubscribe_rate(self) -> float | None:
        return rate(self.unsubscribed, self.sent)

    @property
    def bounce_rate(self) -> float | None:
        return rate(self.bounced, self.sent)


@dataclass(frozen=True, slots=True)
class Report:
    """All figures as of `now` (UTC), definitions in the order of their first message, then by name."""

    now: datetime
    definitions: tuple[DefinitionReport, ...]


def rate(part: int, whole: int) -> float | None:
    """A share between 0 and 1; None of nothing."""
    return part / whole if whole else None
