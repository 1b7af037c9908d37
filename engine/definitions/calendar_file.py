"""`calendar` of the policy: named exceptions that end by themselves, on whole days of the shop."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

from engine.definitions.policy import FrequencyRule, Override, VolumeRule
from engine.definitions.quiet_file import QUIET_DAYS, QUIET_HOURS
from engine.definitions.reading import Fields, Key, Reader, Record, list_of
from engine.definitions.report import Report
from engine.definitions.scalars import decimal, iso_date, text

_CHANGES = ("quiet_hours", "quiet_days", "frequency_factor", "volume_factor")
MOST = 100


def _factor(value: Decimal) -> Decimal:
    if not 0 < value <= MOST:
        raise ValueError(
            f"{value} is out of range: a factor is above 0 and at most {MOST}; a factor of 0 would let nothing through"
        )
    return value


def _check(fields: Fields, report: Report) -> None:
    first, last = fields.get("from"), fields.get("to")
    if first is not None and last is not None and last < first:
        message = f"it ends on {last}, before it begins on {first}"
        report.error(fields.at("to").position, message, "bad-value")
    if not any(key in fields for key in _CHANGES):
        message = f"it changes nothing: write {', '.join(f'`{key}`' for key in _CHANGES)}"
        report.error(fields.span.position, message, "missing-key")


_OVERRIDE: Reader[Override] = Record(
    {
        "name": Key(text(most=100), "What it is for, as `explain` shows it.", required=True),
        "from": Key(iso_date(), "Its first day, the shop's.", required=True),
        "to": Key(iso_date(), "Its last day, inclusive.", required=True),
        "quiet_hours": Key(QUIET_HOURS, "Instead of the policy's, on the channels named here."),
        "quiet_days": Key(QUIET_DAYS, "Instead of the policy's; [] is none."),
        "frequency_factor": Key(decimal().then(_factor), "Times `max` of frequency rules."),
        "volume_factor": Key(decimal().then(_factor), "Times `max` of volume rules, but rates."),
    },
    check=_check,
).build(
    lambda fields: Override(
        name=fields.get("name"),
        first=fields.get("from"),
        last=fields.get("to"),
        quiet_hours=fields.get("quiet_hours", ()),
        quiet_days=fields.get("quiet_days"),
        frequency_factor=fields.get("frequency_factor", Decimal(1)),
        volume_factor=fields.get("volume_factor", Decimal(1)),
        position=fields.span.position,
        text=fields.span.text,
    )
)
CALENDAR: Reader[tuple[Override, ...]] = list_of(_OVERRIDE, most=100).then(
    lambda found: tuple(sorted(found, key=lambda one: one.first))
)


def check_calendar(fields: Fields, report: Report) -> None:
    """Exceptions of the same day would leave open which holds; a factor that makes a cap nothing lets nothing go."""
    found: Sequence[Override] = fields.get("calendar", ())
    for one, following in pairwise(found):
        if following.first <= one.last:
            message = (
                f"{following.name} begins on {following.first}, when {one.name} still holds"
                f" ({one.position}): two exceptions on one day"
            )
            report.error(following.position, message, "bad-value")
    for override in found:
        _check_factor(override, override.frequency_factor, fields.get("frequency", ()), report)
        capped = [rule for rule in fields.get("volume", ()) if not rule.is_rate]
        _check_factor(override, override.volume_factor, capped, report)


def _check_factor(
    override: Override,
    factor: Decimal,
    rules: Sequence[FrequencyRule | VolumeRule],
    report: Report,
) -> None:
    for rule in rules:
        if int(rule.maximum * factor) < 1:
            message = (
                f"{override.name}: {factor} times a maximum of {rule.maximum} ({rule.position})"
                " is less than one message: nothing would go"
            )
            report.error(override.position, message, "bad-value")
            return
