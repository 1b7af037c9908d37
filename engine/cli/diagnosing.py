"""What `diagnose` shows on a terminal, and where its page goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.cli.context import Session
from engine.cli.writing import write_whole
from engine.insight.diagnosis import Diagnosis, diagnose
from engine.insight.diagnosis.figures import Goods, Region
from engine.insight.diagnosis.page import diagnosis_page, frequency_labels, recency_labels
from engine.insight.diagnosis.sentences import advice_texts, money, part, period_name, sentences
from engine.pages.frame import number
from engine.pages.terminal import plain, table
from engine.pages.words import words

_ROWS = 10
_COLUMNS = 8


def figures(session: Session) -> Diagnosis:
    """The diagnosis of this project's shop, as of now, by the policy in the files."""
    return diagnose(session.store, session.policy, session.now(), keeps=session.is_now)


def as_json(found: Diagnosis) -> dict[str, Any]:
    """All figures of all chapters."""
    return asdict(found)


def write_page(session: Session, found: Diagnosis, path: Path) -> None:
    """The diagnosis as one HTML file."""
    page = diagnosis_page(found, session.settings.shop)
    write_whole(path, page)


def as_text(found: Diagnosis) -> str:
    """Each chapter as its heading, its sentence and its tables."""
    t = words("en")
    if found.since is None:
        return t["no_orders"]
    say = {name: plain(text) for name, text in sentences(found, t).items()}
    chapters = [_chapter(t["advice"], "\n".join(f"- {text}" for text in advice_texts(found, t)))]
    chapters += [_chapter(t[f"chapter_{name}"], say[name], *more) for name, more in _tables(found, say, t)]  # fmt: skip
    return "\n\n".join(chapter for chapter in chapters if chapter)


def _chapter(heading: str, *parts: str) -> str:
    return "\n\n".join([f"# {heading}", *filter(None, parts)]) if any(parts) else ""


def _tables(
    found: Diagnosis, say: Mapping[str, str], t: Mapping[str, str]
) -> Iterator[tuple[str, list[str]]]:
    yield "people", [_counts(found, "class", t), _counts(found, "stage", t)]
    yield "grades", [_grades(found, t), say["rfm"], _grid(found, t)] if found.people.rfm else []
    yield "repurchase", [_within(found, t), say["second"], t["how_repurchase"]]
    yield "steps", [_steps(found)]
    yield "cohorts", [_cohorts(found)]
    yield "revenue", [_quarters(found)]
    yield "hours", [_week(found, t)]
    yield "regions", [_places(found, where, t) for where in ("provinces", "cities")]
    yield "goods", [_goods(found, kind, t) for kind in ("categories", "brands")]
    yield "reach", [_reach(found, t)]


def _counts(found: Diagnosis, kind: str, t: Mapping[str, str]) -> str:
    counts = found.people.classes if kind == "class" else found.people.stages
    total = found.people.total
    rows = [
        [t.get(f"{kind} {name}", name), number(count), part(count / total)]
        for name, count in counts.items()
    ]
    return table([kind, "customers", "share"], rows, right={1, 2})


def _grades(found: Diagnosis, t: Mapping[str, str]) -> str:
    rows = [
        [one.grade or t["no_grade"], number(one.customers), part(one.share), money(one.amount, found.currency), part(one.amount_share)]
        for one in found.people.grades
    ]  # fmt: skip
    headings = ["grade", "customers", "share", "revenue", "share of revenue"]
    return table(headings, rows, right={1, 2, 3, 4})


def _grid(found: Diagnosis, t: Mapping[str, str]) -> str:
    rows = [
        [label, *(f"{part(cell.share)} / {part(cell.amount_share)}" for cell in found.people.rfm if cell.r == 5 - place)]
        for place, label in enumerate(recency_labels(found, t))
    ]  # fmt: skip
    return table(["customers / revenue", *frequency_labels(found, t)], rows, right=range(1, 6))


def _within(found: Diagnosis, t: Mapping[str, str]) -> str:
    curves = (("after_any", found.repurchase), ("after_first", found.second))
    rows = [[t[name], *map(part, one.within.values())] for name, one in curves]
    headings = ["bought again", *(f"{days} days" for days in found.repurchase.within)]
    return table(headings, rows, right=range(1, len(headings)))


def _steps(found: Diagnosis) -> str:
    rows = [
        [step.purchase or "all customers", number(step.customers), number(step.went_on), part(step.share), "–" if step.median_days is None else f"{step.median_days:g}"]
        for step in found.steps
    ]  # fmt: skip
    headings = ["purchase", "customers", "made one more", "share", "median days"]
    return table(headings, rows, right=range(5))


def _cohorts(found: Diagnosis) -> str:
    rows = [row for row in found.cohorts.rows if row.retention][-_ROWS:]
    if not rows:
        return ""
    width = max(len(row.retention[:_COLUMNS]) for row in rows)
    cells = [
        [period_name(row.start, found.cohorts.unit), number(row.customers), *map(part, row.retention[:width])]
        for row in rows
    ]  # fmt: skip
    padded = [row + [""] * (width + 2 - len(row)) for row in cells]
    headings = ["first bought", "customers", *(f"+{n}" for n in range(1, width + 1))]
    return table(headings, padded, right=range(1, width + 2))


def _quarters(found: Diagnosis) -> str:
    rows = [
        [period_name(one.start, "quarter"), number(one.orders), number(one.new_customers), money(one.amount, found.currency), part(one.old_share)]
        for one in found.revenue.quarters[-_ROWS:]
    ]  # fmt: skip
    headings = ["quarter", "orders", "new customers", "revenue", "from old customers"]
    return table(headings, rows, right={1, 2, 3, 4})


def _week(found: Diagnosis, t: Mapping[str, str]) -> str:
    if found.hours.orders is None:
        return ""
    days = t["weekdays_short"].split()
    rows = [
        [f"{hour:02}:00", *(number(day[hour]) for day in found.hours.orders)] for hour in range(24)
    ]
    return table(["", *days], rows, right=range(1, 8))


def _places(found: Diagnosis, kind: str, t: Mapping[str, str]) -> str:
    places: tuple[Region, ...] = getattr(found.regions, kind)
    named = [one for one in places if one.name is not None][:_ROWS]
    if not named:
        return ""
    rows = [
        [one.name or t["unknown"], number(one.customers), number(one.orders), money(one.amount, found.currency)]
        for one in [*named, *(one for one in places if one.name is None)]
    ]  # fmt: skip
    return table([kind, "customers", "orders", "revenue"], rows, right={1, 2, 3})


def _goods(found: Diagnosis, kind: str, t: Mapping[str, str]) -> str:
    sold: tuple[Goods, ...] = getattr(found, kind)
    if not sold:
        return ""
    rows = [
        [one.name, money(one.amount, found.currency), number(one.orders), number(one.customers), part(one.repeat_share)]
        for one in sold[:_ROWS]
    ]  # fmt: skip
    headings = [kind, "revenue", "orders", "customers", t["repeat_share"]]
    return table(headings, rows, right={1, 2, 3, 4})


def _reach(found: Diagnosis, t: Mapping[str, str]) -> str:
    total = found.people.total
    rows = [
        [plain(t[f"channel_{channel}"]), name, number(count), part(count / total)]
        for channel, classes in found.reach.items()
        for name, count in classes.items()
    ]
    return table(["channel", "class", "customers", "share"], rows, right={2, 3})
