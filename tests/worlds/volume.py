"""Budgets and volume rules, summed up over all rows: docs/policy.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.worlds.calendars import DAY, in_days, lasting, local, midnight
from tests.worlds.frequency import factor, is_spared
from tests.worlds.people import Spec, words
from tests.worlds.planning import start_of_next_month
from tests.worlds.quiet import Quiet
from tests.worlds.rows import Row

AHEAD = timedelta(seconds=2)
PROVIDERS = {"email": "relay", "sms": "gateway"}
PRICES = {"email": 20_000, "sms": 45_000}  # millionths; of a text message each part


def is_rate(rule: Spec) -> bool:
    return bool(rule["per"].endswith("s"))


def narrow(rule: Spec) -> bool:
    """Such rules bind every class: the wire's, or a mailbox provider's."""
    return is_rate(rule) or "domain" in rule or "provider" in rule


def binds(rule: Spec, row: Row, channel: str) -> bool:
    if rule.get("channel", channel) != channel:
        return False
    if "provider" in rule and PROVIDERS[channel] != rule["provider"]:
        return False
    if ("domain" in rule or "sender" in rule) and channel != "email":
        return False
    if rule.get("domain", row.person.domain) != row.person.domain or rule.get("sender", row.sender) != row.sender:  # fmt: skip
        return False
    if "class" in rule:
        return row.message_class in words(rule["class"])
    return row.message_class != "transactional" or narrow(rule)


@dataclass
class Volume:
    """`begun`: the day of the shop on which each warm-up was first used, by the rule's place."""

    quiet: Quiet
    rows: list[Row]
    begun: dict[int, date] = field(default_factory=dict)

    def judge(self, row: Row, channel: str, now: datetime) -> tuple[str, Any]:
        """("send", stamp), ("skip", reason) or ("wait", None)."""
        policy = self.quiet.world.policy
        rules = [
            (place, rule)
            for place, rule in enumerate(policy.get("volume", []))
            if binds(rule, row, channel) and (narrow(rule) or not is_spared(self.quiet.world, row))
        ]
        stamp = self._stamp(rules, now, now + AHEAD)
        if stamp is None:
            final = [
                one
                for one in rules
                if not is_rate(one[1])
                and one[1].get("overflow", policy.get("overflow", "defer")) == "skip"
                and self._stamp([one], now, now + AHEAD) is None
            ]
            hopeless = final or not self._may_wait(rules, row, channel, now)
            return ("skip", "volume") if hopeless else ("wait", None)
        return ("skip", "expired") if stamp > row.not_after else ("send", stamp)

    def _may_wait(
        self, rules: list[tuple[int, Spec]], row: Row, channel: str, now: datetime
    ) -> bool:
        """Whether room opens up before it expires. For a rate it always waits."""
        room = {place: self._stamp([(place, rule)], now, row.not_after) for place, rule in rules}
        slowest = max(rules, key=lambda one: room[one[0]] or row.not_after + DAY)
        if is_rate(slowest[1]):
            return True
        free = self._stamp(rules, now, row.not_after)
        opens = free and self.quiet.opening(row, channel, free, row.not_after)
        return opens is not None and opens <= row.not_after

    def admitted(self, row: Row, channel: str, stamp: datetime) -> None:
        for place, rule in enumerate(self.quiet.world.policy.get("volume", [])):
            if binds(rule, row, channel):
                self.begun.setdefault(place, self.quiet.world.day(stamp))

    def _stamps(self, rule: Spec) -> list[datetime]:
        return sorted(
            row.send_at
            for row in self.rows
            if row.committed and row.definition and row.send_at is not None and binds(rule, row, row.channels[0])
        )  # fmt: skip

    def _most(self, place: int, rule: Spec, moment: datetime) -> int:
        """An exception's factor, and beneath it what a warm-up has come to."""
        maximum, today = rule["max"], self.quiet.world.day(moment)
        if not narrow(rule):
            maximum = int(maximum * factor(self.quiet.exception(moment), "volume_factor"))
        if "warm_up" not in rule:
            return int(maximum)
        ramp, days = rule["warm_up"]["start"], lasting(rule["warm_up"]["double_every"])
        day = self.begun.get(place, today)
        while (day := day + days) <= today:
            ramp *= 2
        return int(min(maximum, ramp))

    def _passes(self, place: int, rule: Spec, moment: datetime) -> bool:
        found, per = self._stamps(rule), lasting(rule["per"])
        maximum = self._most(place, rule, moment)
        if is_rate(rule):
            spaced = not found or moment >= found[-1] + _gap(rule)
            return spaced and sum(stamp > moment - per for stamp in found) < rule["max"]
        if not in_days(rule["per"]):
            return sum(_up_to_step(stamp, per) + per > moment for stamp in found) < maximum
        zone, today = self.quiet.world.zone, self.quiet.world.day(moment)
        return all(
            sum(midnight(today - n * DAY, zone) <= stamp < midnight(today - n * DAY + per, zone) for stamp in found) < maximum
            for n in range(per.days)
        )  # fmt: skip

    def _stamp(
        self, rules: list[tuple[int, Spec]], now: datetime, until: datetime
    ) -> datetime | None:
        """The first moment at which all these rules let it pass, as things stand; None if later than `until`."""
        zone, edges = self.quiet.world.zone, {now}
        days = range(1, (until - now).days + 3)
        edges |= {midnight(local(now, zone).date() + n * DAY, zone) for n in days}
        for _, rule in rules:
            per = lasting(rule["per"])
            for stamp in self._stamps(rule):
                edges |= {stamp + _gap(rule), stamp + per, _up_to_step(stamp, per) + per}
        for moment in sorted(edge for edge in edges if now <= edge <= until):
            if all(self._passes(*each, moment) for each in rules):
                return moment
        return None


def _gap(rule: Spec) -> timedelta:
    return timedelta(microseconds=-(-int(lasting(rule["per"]).total_seconds()) * 1_000_000 // rule["max"]))  # fmt: skip


def _up_to_step(stamp: datetime, per: timedelta) -> datetime:
    """Rolling windows are counted in steps of a 3,600th: the end of the one in which it was stamped."""
    width = max(1, int(per.total_seconds()) // 3600)
    return datetime.fromtimestamp((int(stamp.timestamp()) // width + 1) * width, UTC)


def budget(quiet: Quiet, rows: list[Row], row: Row, channel: str, cost: int, now: datetime) -> Any:
    """None, "skip", or the moment to which it is deferred: each budget that pays for it, summed up over everything that
    was ever admitted."""
    world = quiet.world
    if is_spared(world, row):
        return None
    paid = [one for one in rows if one.definition and one.committed and one.admitted_at]
    month = world.day(now).replace(day=1)
    this_month = [one for one in paid if one.admitted_at and world.day(one.admitted_at).replace(day=1) == month]  # fmt: skip
    overflow, answers = world.policy.get("overflow", "defer"), set()
    for rule in world.policy.get("budget", []):

        def concerns(one: Row, its: str, rule: Spec = rule) -> bool:
            return one.message_class in words(rule.get("class"), ("marketing", "care")) and its in words(rule.get("channel"), (its,))  # fmt: skip

        if concerns(row, channel):
            taken = sum(one.cost for one in this_month if concerns(one, one.channels[0]))
            if taken + cost > Decimal(str(rule["amount"])) * 1_000_000:
                answers.add(rule.get("overflow", overflow))
    own = world.definitions[row.definition].get("budget")
    if own is not None:
        taken = sum(one.cost for one in (this_month if "per" in own else paid) if one.definition == row.definition)  # fmt: skip
        if taken + cost > Decimal(str(own["amount"])) * 1_000_000:
            answers.add(overflow if "per" in own else "skip")
    if not answers:
        return None
    start = start_of_next_month(now, world.zone)
    opens = quiet.opening(row, channel, start, max(row.not_after, start))
    return "skip" if "skip" in answers or opens is None or opens > row.not_after else opens
