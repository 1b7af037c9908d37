"""The report as JSON, as rows of a table, and as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from engine.insight.figures import ChannelFigures, DefinitionReport, LinkFigures, Report, rate
from engine.pages.frame import render
from engine.settings import ShopSettings

_MOST_POINTS = 96
"""Hours that a line shows one by one (four days); longer ones are drawn by day."""


def as_json(found: Report) -> dict[str, Any]:
    """One JSON document. Rates are between 0 and 1, null where they cannot be known; times are ISO 8601, UTC."""
    return {
        "schema_version": 1,
        "at": found.now.isoformat(),
        "definitions": [_definition_json(one) for one in found.definitions],
    }


def _definition_json(one: DefinitionReport) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "class": one.message_class,
        "planned": one.planned,
        "holdout": one.holdout,
        "open": one.open,
        "sent": one.sent,
        "delivered": one.delivered,
        "opened": one.opened,
        "clicked": one.clicked,
        "unsubscribed": one.unsubscribed,
        "complained": one.complained,
        "bounced": one.bounced,
        "failed": one.failed,
        "uncertain": one.uncertain,
        "cancelled": one.cancelled,
        "deferred": one.deferred,
        "skipped": dict(one.skipped),
        "rates": {
            "opened": one.open_rate,
            "clicked": one.click_rate,
            "unsubscribed": one.unsubscribe_rate,
            "bounced": one.bounce_rate,
        },
        "scanners": dict(one.scanners),
        "first_sent_at": one.first_sent_at.isoformat() if one.first_sent_at else None,
        "last_sent_at": one.last_sent_at.isoformat() if one.last_sent_at else None,
        "channels": [_channel_json(channel) for channel in one.channels],
        "links": [_link_json(link) for link in one.links],
        "steps": [asdict(step) for step in one.steps],
        "groups": [asdict(group) for group in one.groups],
    }


def _channel_json(one: ChannelFigures) -> dict[str, Any]:
    return {
        "channel": one.channel,
        "sent": one.sent,
        "delivered": one.delivered,
        "opened": one.opened,
        "clicked": one.clicked,
        "unsubscribed": one.unsubscribed,
        "complained": one.complained,
        "bounced": one.bounced,
        "rates": {"opened": one.open_rate, "clicked": one.click_rate},
    }


def _link_json(one: LinkFigures) -> dict[str, Any]:
    return {
        "url": one.url,
        "label": one.label,
        "personal": one.personal,
        "people": one.people,
        "clicks": one.clicks,
        "scanners": one.scanners,
    }


COLUMNS = (
    "id", "planned", "sent", "opened", "clicked", "unsubscribed", "bounced", "failed", "uncertain",
    "skipped", "deferred", "open_rate", "click_rate",
)  # fmt: skip


def as_rows(found: Report) -> list[dict[str, str | int | float | None]]:
    """One flat row per definition with the keys of `COLUMNS`; `skipped` is the sum over all reasons."""
    rows: list[dict[str, str | int | float | None]] = []
    for one in found.definitions:
        row = {name: getattr(one, name) for name in COLUMNS}
        row["skipped"] = sum(one.skipped.values())
        rows.append(row)
    return rows


@dataclass(frozen=True, slots=True)
class Point:
    """One place of a line: its label, and the two figures drawn there."""

    label: str
    opened: int
    clicked: int


def report_page(found: Report, shop: ShopSettings, timezone: str = "Asia/Shanghai") -> str:
    """The report as a self-contained HTML file in the shop's language; times are shown in `timezone`."""
    zone = ZoneInfo(timezone)
    return render(
        "report",
        shop.language,
        shop=shop.name,
        now=_local(found.now, zone),
        definitions=found.definitions,
        moments={one.id: _moments(one, zone) for one in found.definitions},
        lines={one.id: timeline(one, zone) for one in found.definitions},
        totals=_totals(found.definitions),
    )


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def _moments(one: DefinitionReport, zone: ZoneInfo) -> tuple[str, str] | None:
    if one.first_sent_at is None or one.last_sent_at is None:
        return None
    return _local(one.first_sent_at, zone), _local(one.last_sent_at, zone)


def _totals(definitions: Sequence[DefinitionReport]) -> dict[str, Any]:
    def total(name: str) -> int:
        return sum(getattr(one, name) for one in definitions)

    mails = [
        figures for one in definitions for figures in one.channels if figures.channel == "email"
    ]
    sent = total("sent")
    return {
        "planned": total("planned"),
        "sent": sent,
        "open_rate": rate(sum(one.opened for one in mails), sum(one.sent for one in mails)),
        "click_rate": rate(total("clicked"), sent),
        "unsubscribe_rate": rate(total("unsubscribed"), sent),
        "opened": total("opened"),
        "clicked": total("clicked"),
        "unsubscribed": total("unsubscribed"),
    }


def timeline(one: DefinitionReport, zone: ZoneInfo) -> list[Point]:
    """Opens and clicks from the first to the last, without gaps: by hour, or by local day where that is too long.

    By day a message that was opened in two hours of it counts in each of them. Empty without any.
    """
    if not one.hours:
        return []
    hour = timedelta(hours=1)
    span = (one.hours[-1].at - one.hours[0].at) // hour + 1
    by_day = span > _MOST_POINTS
    label = "%m-%d" if by_day else "%m-%d %H:00"
    figures = {moment.at: moment for moment in one.hours}
    points: dict[str, Point] = {}
    for offset in range(span):
        at = one.hours[0].at + offset * hour
        found = figures.get(at)
        local = at.astimezone(zone)
        key = f"{local:%Y-%m-%d}" if by_day else at.isoformat()
        before = points.get(key, Point(local.strftime(label), 0, 0))
        points[key] = Point(
            before.label,
            before.opened + (found.opened if found else 0),
            before.clicked + (found.clicked if found else 0),
        )
    return list(points.values())
