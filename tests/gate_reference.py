"""An evaluator of the gate's rules that knows nothing but their wording, for comparison.

It walks every row for every window, one candidate at a time, and knows neither sets nor shortcuts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from engine.clock import from_local
from engine.definitions.campaign import Campaign, Channel, MessageClass
from engine.definitions.policy import FrequencyRule, Override, Policy, VolumeRule

MICROSECOND, MINUTE, DAY = timedelta(microseconds=1), timedelta(minutes=1), timedelta(days=1)
COMMITTED = ("queued", "sending", "sent", "uncertain")
AHEAD = timedelta(seconds=2)


@dataclass(frozen=True)
class Person:
    number: int
    zone: str | None
    addresses: dict[Channel, str]
    domain: str
    spared: bool  # never capped


@dataclass
class Row:
    """A delivery, or a message of another system (`definition` None)."""

    number: int
    person: Person
    message_class: MessageClass
    channels: tuple[Channel, ...]
    state: str
    priority: int
    first: datetime
    last: datetime
    definition: str | None = None
    admitted_at: datetime | None = None
    send_at: datetime | None = None
    address: str | None = None
    by_gate: bool = False

    @property
    def committed(self) -> bool:
        return self.state in COMMITTED

    def goes_to(self, address: str) -> bool:
        """Whether it went to this address, or could."""
        if self.address is not None:
            return self.address == address
        return any(self.person.addresses.get(channel) == address for channel in self.channels)


@dataclass
class World:
    policy: Policy
    people: list[Person]
    rows: dict[int, Row] = field(default_factory=dict)
    others: list[Row] = field(default_factory=list)
    definitions: dict[str, Campaign] = field(default_factory=dict)
    begun: dict[VolumeRule, date] = field(default_factory=dict)  # warm-ups

    @property
    def all(self) -> Iterator[Row]:
        yield from self.rows.values()
        yield from self.others


def zone_of(world: World, name: str | None) -> ZoneInfo:
    return ZoneInfo(name if name not in (None, "Mars/Olympus") else world.policy.timezone)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return from_local(datetime.combine(day, time()), zone.key)


def counted_in(rule: FrequencyRule, row: Row) -> bool:
    classes = rule.classes or {"marketing", "care"}
    return row.message_class in classes and (
        not rule.channels or bool(rule.channels & set(row.channels))
    )


def override_at(world: World, moment: datetime) -> Override | None:
    """The exception of the shop's day."""
    day = moment.astimezone(ZoneInfo(world.policy.timezone)).date()
    return next((one for one in world.policy.calendar if one.first <= day <= one.last), None)


def maximum_at(world: World, rule: FrequencyRule, moment: datetime) -> int:
    override = override_at(world, moment)
    return rule.maximum if override is None else int(rule.maximum * override.frequency_factor)


def least_maximum(world: World, rule: FrequencyRule, now: datetime) -> int:
    """The lowest from now on: places kept for others can only matter where so many count."""
    day = now.astimezone(ZoneInfo(world.policy.timezone)).date()
    ahead = [one for one in world.policy.calendar if one.last >= day]
    return min([rule.maximum, *(int(rule.maximum * one.frequency_factor) for one in ahead)])


@dataclass
class Pool:
    """What one rule counts for one candidate, by customer or by address."""

    world: World
    rule: FrequencyRule
    committed: list[Row]
    reserved: list[Row]
    zones: list[ZoneInfo]

    def fits(self, moment: datetime, now: datetime, heed_reserved: bool) -> bool:
        maximum = maximum_at(self.world, self.rule, moment)
        return all(
            self.count(start, end, now, heed_reserved) + 1 <= maximum
            for zone in self.zones
            for start, end in self.windows(moment, now, zone)
        )

    def count(self, start: datetime, end: datetime, now: datetime, heed_reserved: bool) -> int:
        """Rows in a window from `start` to before `end`."""
        used = sum(start <= row.first < end for row in self.committed)
        if not heed_reserved:
            return used
        return used + sum(max(row.first, now) < end and row.last >= start for row in self.reserved)

    def windows(
        self, moment: datetime, now: datetime, zone: ZoneInfo
    ) -> Iterable[tuple[datetime, datetime]]:
        per = self.rule.per
        if per.is_days:
            today = moment.astimezone(zone).date()
            for back in range(per.amount):
                first = today - timedelta(days=back)
                yield midnight(first, zone), midnight(first + timedelta(days=per.amount), zone)
            return
        starts = {moment}
        for row in self.committed + self.reserved:
            for edge in (row.first, max(row.first, now), row.last):
                starts |= {
                    edge,
                    edge + MICROSECOND,
                    edge - per.delta,
                    edge - per.delta + MICROSECOND,
                }
        for start in starts:
            if start <= moment < start + per.delta:
                yield start, start + per.delta

    def moments(self, now: datetime, until: datetime) -> Iterable[datetime]:
        """Where room may open up."""
        for row in self.committed + self.reserved:
            yield max(row.first, now) + self.rule.per.delta
            yield row.last + self.rule.per.delta
        for zone in (*self.zones, ZoneInfo(self.world.policy.timezone)):
            day = now.astimezone(zone).date()
            while midnight(day, zone) <= until:
                yield midnight(day, zone)
                day += timedelta(days=1)


def pools(world: World, row: Row, channel: Channel, now: datetime) -> list[Pool]:
    """The rules that bind it, once for its customer and once for its address."""
    if row.person.spared:
        return []
    found = []
    address = row.person.addresses[channel]
    for rule in world.policy.frequency:
        if not counted_in(rule, replace(row, channels=(channel,))):
            continue
        matching = [other for other in world.all if counted_in(rule, other)]
        for by_address in (False, True):
            mine = [
                other
                for other in matching
                if (other.goes_to(address) if by_address else other.person is row.person)
            ]
            committed = [other for other in mine if other.committed]
            reserved = [
                other
                for other in mine
                if other.state in ("planned", "waiting")
                and other.priority > row.priority
                and max(other.first, now) <= other.last
            ]
            zones = {zone_of(world, row.person.zone)}
            if by_address:
                zones |= {
                    zone_of(world, person.zone)
                    for person in world.people
                    if address in person.addresses.values()
                }
            found.append(Pool(world, rule, committed, reserved, list(zones)))
    return found


def is_quiet_day(world: World, row: Row, channel: Channel, moment: datetime) -> bool:
    override = override_at(world, moment)
    rules = world.policy.quiet_days
    if override is not None and override.quiet_days is not None:
        rules = override.quiet_days
    weekday = moment.astimezone(zone_of(world, row.person.zone)).weekday()
    return any(
        weekday in rule.weekdays
        and row.message_class in rule.classes
        and (not rule.channels or channel in rule.channels)
        for rule in rules
    )


def is_quiet_hour(world: World, row: Row, channel: Channel, moment: datetime) -> bool:
    override = override_at(world, moment)
    rules = [rule for rule in world.policy.quiet_hours if rule.channel == channel]
    if override is not None:
        rules = [rule for rule in override.quiet_hours if rule.channel == channel] or rules
    local = moment.astimezone(zone_of(world, row.person.zone)).time()
    return row.message_class != "transactional" and any(rule.hours.holds(local) for rule in rules)


def is_quiet(world: World, row: Row, channel: Channel, moment: datetime) -> bool:
    return is_quiet_day(world, row, channel, moment) or is_quiet_hour(world, row, channel, moment)


def quiet_ends(world: World, row: Row, now: datetime, until: datetime) -> Iterator[datetime]:
    """Where quiet may end: windows', days' and exceptions' ends."""
    zone, shop = zone_of(world, row.person.zone), ZoneInfo(world.policy.timezone)
    windows = [rule.hours.end for rule in world.policy.quiet_hours]
    windows += [rule.hours.end for one in world.policy.calendar for rule in one.quiet_hours]
    day = now.astimezone(zone).date() - 2 * DAY
    while midnight(day, zone) <= until + 2 * DAY:
        yield midnight(day, zone)
        yield midnight(day, shop)
        for end in windows:
            yield from_local(datetime.combine(day, end), zone.key)
            yield datetime.combine(day, end).replace(tzinfo=zone, fold=1).astimezone(UTC)
        day += timedelta(days=1)


def frequency(world: World, row: Row, channel: Channel, now: datetime) -> Any:
    """None, "skip", or the moment to which it is deferred."""
    binding = pools(world, row, channel, now)
    full = [pool for pool in binding if not pool.fits(now, now, True)]
    if not full:
        return None
    if any((pool.rule.overflow or world.policy.overflow) == "skip" for pool in full):
        return "skip"
    edges = {now, *quiet_ends(world, row, now, row.last)}
    for pool in binding:
        edges |= set(pool.moments(now, row.last))

    def first(heed_reserved: bool) -> datetime | None:
        for moment in sorted(edge for edge in edges if now <= edge <= row.last):
            if not is_quiet(world, row, channel, moment) and all(
                pool.fits(moment, now, heed_reserved) for pool in binding
            ):
                return moment
        return None

    at = first(True)
    if at is not None:
        return at
    unreserved = first(False)
    return "skip" if unreserved is None else settled(world, row, channel, now, binding, unreserved)


def settled(
    world: World,
    row: Row,
    channel: Channel,
    now: datetime,
    binding: list[Pool],
    unreserved: datetime,
) -> Any:
    """Only places kept for others stand in the way: the first moment at which one of them may be free."""
    tight = [
        pool
        for pool in binding
        if len(pool.committed) + len(pool.reserved) >= least_maximum(world, pool.rule, now)
    ]
    moments = {unreserved}
    for pool in tight:
        for other in pool.reserved:
            moments |= {max(other.first, now), other.last + MICROSECOND}
    opened = []
    for moment in moments:
        if now < moment <= row.last:
            ends = [end for end in quiet_ends(world, row, moment, row.last) if end > moment]
            candidates = sorted([moment, *ends])
            opened += [at for at in candidates if not is_quiet(world, row, channel, at)][:1]
    opened = [moment for moment in opened if moment <= row.last]
    if opened:
        return min(opened)
    half = (row.last - now) / 2
    return now + half if half >= MINUTE else "skip"


def bound(rule: VolumeRule, message_class: MessageClass, channel: Channel, domain: str) -> bool:
    if rule.channel not in (None, channel):
        return False
    if rule.domain is not None and (channel, domain) != ("email", rule.domain):
        return False
    if rule.classes:
        return message_class in rule.classes
    return message_class != "transactional" or rule.per.unit == "s" or rule.domain is not None


def stamps(world: World, rule: VolumeRule, *, spared: bool = True) -> list[datetime]:
    return sorted(
        row.send_at
        for row in world.rows.values()
        if row.committed
        and row.send_at is not None
        and (spared or rule.is_rate or not row.person.spared)
        and bound(rule, row.message_class, row.channels[0], row.person.domain)
    )


def up_to_step(stamp: datetime, rule: VolumeRule) -> datetime:
    """The end of the step of a rolling window in which it was stamped."""
    width = max(1, rule.per.seconds // 3600)
    return datetime.fromtimestamp((int(stamp.timestamp()) // width + 1) * width, UTC)


def most_at(world: World, rule: VolumeRule, moment: datetime) -> int:
    """The maximum of a volume rule then: an exception's factor, and beneath it what a warm-up has come to."""
    override, maximum = override_at(world, moment), rule.maximum
    if override is not None and not rule.is_rate:
        maximum = int(maximum * override.volume_factor)
    if rule.warm_up is None:
        return maximum
    ramp, today = rule.warm_up.start, moment.astimezone(ZoneInfo(world.policy.timezone)).date()
    day = world.begun.get(rule, today)
    while (day := day + timedelta(days=rule.warm_up.days)) <= today:
        ramp *= 2
    return min(maximum, ramp)


def passes(world: World, rule: VolumeRule, moment: datetime) -> bool:
    found = stamps(world, rule)
    per, maximum = rule.per, most_at(world, rule, moment)
    if per.unit == "s":
        gap = timedelta(microseconds=-(-per.seconds * 1_000_000 // rule.maximum))
        spaced = not found or moment >= found[-1] + gap
        return spaced and sum(stamp > moment - per.delta for stamp in found) < rule.maximum
    if not per.is_days:
        return sum(up_to_step(stamp, rule) + per.delta > moment for stamp in found) < maximum
    zone = ZoneInfo(world.policy.timezone)
    today = moment.astimezone(zone).date()
    for back in range(per.amount):
        start = midnight(today - timedelta(days=back), zone)
        end = midnight(today - timedelta(days=back - per.amount), zone)
        if sum(start <= stamp < end for stamp in found) >= maximum:
            return False
    return True


def volume_rules(world: World, row: Row, channel: Channel) -> list[VolumeRule]:
    return [
        rule
        for rule in world.policy.volume
        if bound(rule, row.message_class, channel, row.person.domain)
        and (rule.is_rate or not row.person.spared)
    ]


def stamp_of(world: World, rules: list[VolumeRule], now: datetime) -> datetime | None:
    """The first moment at which all these rules let it pass; None if later than the look-ahead."""
    edges = {now}
    for rule in rules:
        gap = timedelta(microseconds=-(-rule.per.seconds * 1_000_000 // rule.maximum))
        for stamp in stamps(world, rule):
            edges |= {stamp + gap, stamp + rule.per.delta, up_to_step(stamp, rule) + rule.per.delta}
    zone = ZoneInfo(world.policy.timezone)
    edges.add(midnight(now.astimezone(zone).date() + timedelta(days=1), zone))
    for moment in sorted(edge for edge in edges if now <= edge <= now + AHEAD):
        if all(passes(world, rule, moment) for rule in rules):
            return moment
    return None


def reference(world: World, row: Row, now: datetime) -> tuple[str, Any]:
    """(verdict and reason, detail); a detail of None is not compared."""
    if now > row.last:
        return "skip expired", None
    channel = next((one for one in row.channels if one in row.person.addresses), None)
    if channel is None:
        return "skip no address", None
    if is_quiet(world, row, channel, now):
        ends = sorted(end for end in quiet_ends(world, row, now, row.last + 2 * DAY) if end > now)
        end = next((end for end in ends if not is_quiet(world, row, channel, end)), None)
        days = is_quiet_day(world, row, channel, now)
        if end is None or end > row.last:
            return f"skip quiet {'days' if days else 'hours'} until after expiry", None
        return f"defer quiet {'day' if days else 'hours'}", end
    answer = frequency(world, row, channel, now)
    if answer is not None:
        return ("skip frequency", None) if answer == "skip" else ("defer frequency", answer)
    unpaid = budget(world, row, channel, now)
    return unpaid or _stamped(world, row, channel, now)


def cost_of(channel: Channel) -> int:
    """Millionths: an email 0.02, a text message 0.045 a part, of which it may have ten."""
    return 20_000 if channel == "email" else 450_000


def budget(world: World, row: Row, channel: Channel, now: datetime) -> tuple[str, Any] | None:
    """Each budget that pays for it, summed up over everything that was ever admitted."""
    if row.person.spared:
        return None
    zone = ZoneInfo(world.policy.timezone)
    month = now.astimezone(zone).strftime("%Y-%m")
    committed = [one for one in world.rows.values() if one.committed and one.admitted_at]
    this_month = [
        one
        for one in committed
        if one.admitted_at is not None
        and one.admitted_at.astimezone(zone).strftime("%Y-%m") == month
    ]
    cost, waits, ends = cost_of(channel), False, False
    for rule in world.policy.budget:
        if row.message_class in rule.classes and (not rule.channels or channel in rule.channels):
            taken = sum(
                cost_of(one.channels[0])
                for one in this_month
                if one.message_class in rule.classes
                and (not rule.channels or one.channels[0] in rule.channels)
            )
            if taken + cost > rule.budget.millionths:
                skips = (rule.overflow or world.policy.overflow) == "skip"
                waits, ends = waits or not skips, ends or skips
    own = world.definitions[row.definition or ""].budget
    if own is not None:
        mine = this_month if own.monthly else committed
        taken = sum(cost_of(one.channels[0]) for one in mine if one.definition == row.definition)
        if taken + cost > own.millionths:
            skips = not own.monthly or world.policy.overflow == "skip"
            waits, ends = waits or not skips, ends or skips
    if ends:
        return "skip budget", None
    if not waits:
        return None
    first = (now.astimezone(zone).date().replace(day=1) + timedelta(days=32)).replace(day=1)
    start = midnight(first, zone)
    moments = sorted(
        {start, *(end for end in quiet_ends(world, row, start, row.last) if end > start)}
    )
    opens = next((one for one in moments if not is_quiet(world, row, channel, one)), None)
    late = opens is None or opens > row.last
    return ("skip budget", None) if late else ("defer budget", opens)


def _stamped(world: World, row: Row, channel: Channel, now: datetime) -> tuple[str, Any]:
    rules = volume_rules(world, row, channel)
    stamp = stamp_of(world, rules, now)
    if stamp is None:
        final = [
            rule
            for rule in rules
            if rule.per.unit != "s"
            and (rule.overflow or world.policy.overflow) == "skip"
            and stamp_of(world, [rule], now) is None
        ]
        return ("skip volume" if final else "wait"), None
    if stamp > row.last:
        return "skip expired", None
    if is_quiet(world, row, channel, stamp):
        return "quiet ahead", None
    return "send", (channel, stamp)
