"""What `report` shows on a terminal, and where its page goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from engine.cli.context import Session
from engine.cli.writing import write_whole
from engine.errors import YanshuError, did_you_mean
from engine.insight.funnel import DefinitionReport, Report, report
from engine.insight.report import as_rows, report_page
from engine.insight.steps import WINDOW
from engine.pages.frame import percent
from engine.pages.terminal import plain, table
from engine.store.tables import definitions

_FUNNEL = (
    "planned", "sent", "opened", "clicked", "unsubscribed", "bounced", "failed", "uncertain",
    "skipped",
)  # fmt: skip
_RATES = ("open_rate", "click_rate")


def figures(session: Session, ids: Sequence[str] | None) -> Report:
    """The figures of these definitions, or of all. Raises YanshuError for an id that was never applied."""
    with session.store.read() as connection:
        if ids:
            known = set(
                connection.execute(
                    select(definitions.c.name).where(definitions.c.kind.in_(("campaign", "care")))
                ).scalars()
            )
            for name in ids:
                if name not in known:
                    hint = did_you_mean(name, known)
                    raise YanshuError(f"no campaign or care rule {name!r} was ever applied{hint}")
        return report(connection, ids, session.now())


def write_page(session: Session, found: Report, path: Path) -> None:
    """The report as one HTML file."""
    page = report_page(found, session.settings.shop, session.zone)
    write_whole(path, page)


def as_text(found: Report) -> str:
    """The funnel of each definition, why messages were not sent, and the links that were clicked."""
    if not found.definitions:
        return "nothing was planned yet"
    parts = [_funnel(found)]
    parts += [text for one in found.definitions if (text := _steps(one))]
    parts += [text for one in found.definitions if (text := _groups(one))]
    parts += [text for one in found.definitions if (text := _skipped(one))]
    parts += [text for one in found.definitions if (text := _links(one))]
    return "\n\n".join(parts)


def _funnel(found: Report) -> str:
    rows = [
        [
            row["id"],
            *(row[name] for name in _FUNNEL),
            *(percent(_number(row[name])) for name in _RATES),
        ]
        for row in as_rows(found)
    ]
    headings = ["", *_FUNNEL, "opened %", "clicked %"]
    return table(headings, rows, right=range(1, len(headings)))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _skipped(one: DefinitionReport) -> str:
    if not one.skipped:
        return ""
    rows = sorted(one.skipped.items(), key=lambda item: -item[1])
    return table(["not sent because", ""], rows, right={1}, title=plain(one.id))


def _steps(one: DefinitionReport) -> str:
    """Only where there are several, or several wordings of one."""
    if len({step.step for step in one.steps}) < 2 and not any(s.variant for s in one.steps):
        return ""
    shown = ("planned", "open", "sent", "opened", "clicked", "unsubscribed", "bounced", "skipped")
    rows = [
        [step.step, step.variant or "", *(getattr(step, name) for name in shown)]
        for step in one.steps
    ]
    headings = ["step", "variant", *shown]
    return table(headings, rows, right=range(2, len(headings)), title=plain(one.id))


def _groups(one: DefinitionReport) -> str:
    """What those who were held out ordered, beside the others."""
    if not one.groups:
        return ""
    rows = [
        [each.group, each.people, each.buyers, percent(each.buyers / each.people), each.orders]
        for each in one.groups
    ]
    headings = [f"within {WINDOW.days} days", "people", "ordered", "ordered %", "orders"]
    return table(headings, rows, right=range(1, len(headings)), title=plain(one.id))


def _links(one: DefinitionReport) -> str:
    if not one.links:
        return ""
    rows = [
        [link.label or "", link.url, link.people, link.clicks, link.scanners] for link in one.links
    ]
    headings = ["link", "to", "people", "clicks", "machines"]
    return table(headings, rows, right={2, 3, 4}, title=plain(one.id))
