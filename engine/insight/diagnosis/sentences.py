"""What each chart says, in one plain sentence: for the page in the shop's language, for the terminal in English."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise, product

from engine.audience.money import decimals_of
from engine.insight.diagnosis.figures import (
    Cohorts,
    Diagnosis,
    GradeFigures,
    Hours,
    Region,
    Repurchase,
    share,
)
from engine.pages.frame import number, percent

_SYMBOLS = {"CNY": "¥", "JPY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "HKD": "HK$", "TWD": "NT$"}
Words = Mapping[str, str]


def money(amount: int, currency: str) -> str:
    """Whole units with their thousands parted: nobody reads the cents of a year.

    >>> money(250031563, "CNY"), money(1999, "KWD"), money(-50, "USD")
    ('¥2,500,316', 'KWD 2', '$-1')
    """
    whole = _rounded(amount, 10 ** decimals_of(currency))
    return f"{_SYMBOLS.get(currency, currency + ' ')}{whole:,}"


def part(value: float | None) -> str:
    """A share for a column of them: one decimal always, so that the points stand under each other.

    >>> part(0.03), part(0.0004), part(0.0), part(1.0), part(None)
    ('3.0%', '<0.1%', '0.0%', '100.0%', '–')
    """
    if value is None:
        return "–"
    return "<0.1%" if 0 < value < 0.0005 else f"{value * 100:.1f}%"


def _rounded(amount: int, unit: int) -> int:
    """Half away from zero, in whole numbers."""
    whole = (abs(amount) + unit // 2) // unit
    return whole if amount >= 0 else -whole


def period_name(start: date, unit: str) -> str:
    """A month or quarter by its first day.

    >>> period_name(date(1997, 4, 1), "quarter"), period_name(date(1997, 4, 1), "month")
    ('1997 Q2', '1997-04')
    """
    return f"{start.year} Q{(start.month + 2) // 3}" if unit == "quarter" else f"{start:%Y-%m}"


def sentences(found: Diagnosis, t: Words) -> dict[str, str]:
    """The sentence of each chapter by its name, filled in; where a chapter is left out, the reason."""
    return {
        "people": _people(found, t),
        "grades": _grades(found, t),
        "rfm": _rfm(found, t),
        "repurchase": _repurchase(found.repurchase, t),
        "second": _second(found.second, t),
        "steps": _steps(found, t),
        "cohorts": _cohorts(found.cohorts, t),
        "revenue": _revenue(found, t),
        "hours": _hours(found.hours, t),
        "regions": _regions(found, t),
        "goods": _goods(found, t),
        "reach": _reach(found, t),
    }


def advice_texts(found: Diagnosis, t: Words) -> list[str]:
    """Each piece of advice as a paragraph."""
    texts = []
    for one in found.advice:
        figures = {name: _shown(value, t) for name, value in one.figures.items()}
        texts.append(t[f"advice {one.code}"].format(**figures))
        if figures.get("rare_grades"):
            texts[-1] = _joined(texts[-1], t["advice rare"].format(**figures))
    return texts


def _shown(value: int | str | tuple[str, ...], t: Words) -> str:
    if isinstance(value, tuple):
        return _listed(value, t)
    return number(value) if isinstance(value, int) else value


def _joined(first: str, second: str) -> str:
    """Two sentences in one paragraph; after a Chinese full stop comes no space."""
    return first + ("" if first.endswith("。") else " ") + second


def _people(found: Diagnosis, t: Words) -> str:
    who = found.people
    current = sum(cell.customers for cell in who.rfm)
    dormant = who.stages.get("dormant", 0)
    return t["say_people"].format(
        ordering=number(who.ordering),
        current=number(current),
        current_share=percent(share(current, who.ordering)),
        months=who.period_months,
        dormant=number(dormant),
        dormant_share=percent(share(dormant, who.ordering)),
        days=who.dormant_after_days,
    )


def _grades(found: Diagnosis, t: Words) -> str:
    """The best grades that bring more than half of the revenue together."""
    who = found.people
    graded = [one for one in who.grades if one.grade is not None]
    people = sum(one.customers for one in graded)
    if not people:
        return t["no_grades"].format(months=who.period_months)
    best: list[GradeFigures] = []
    for one in graded:
        best.append(one)
        if sum(each.amount for each in best) * 2 > who.period_amount:
            break
    return t["say_grades"].format(
        graded=number(people),
        names=_listed((one.grade or "" for one in best if one.customers), t),
        share=percent(sum(one.customers for one in best) / people),
        amount_share=percent(share(sum(one.amount for one in best), who.period_amount)),
        months=who.period_months,
    )


def _rfm(found: Diagnosis, t: Words) -> str:
    who = found.people
    best = [cell for cell in who.rfm if cell.r >= 4 and cell.f >= 4]
    return t["say_rfm"].format(
        months=who.recency_months[1],
        orders=who.frequency[1],
        share=percent(sum(cell.share for cell in best)),
        amount_share=percent(share(sum(cell.amount for cell in best), who.period_amount)),
    )


def _repurchase(found: Repurchase, t: Words) -> str:
    if not found.purchases:
        return t["no_orders"]
    median = (
        t["say_no_median"]
        if found.median_days is None
        else t["say_median"].format(days=number(found.median_days))
    )
    return t["say_repurchase"].format(
        w30=_of_hundred(found.within[30]), w90=_of_hundred(found.within[90]), median=median
    )


def _of_hundred(part: float | None) -> str:
    return "–" if part is None else f"{part * 100:.0f}"


def _second(found: Repurchase, t: Words) -> str:
    if found.returned_median_days is None:
        return ""
    return t["say_second"].format(
        w90=percent(found.within[90]), days=f"{found.returned_median_days:g}"
    )


def _steps(found: Diagnosis, t: Words) -> str:
    if not found.steps:
        return t["no_orders"]
    *known, first = (step for step in found.steps if step.purchase <= 1)
    last = found.steps[-1]
    said = t["say_steps"].format(
        customers=number(first.customers),
        share=percent(first.share),
        last=last.purchase,
        last_share=percent(last.share),
    )
    shares = [step.share or 0 for step in found.steps if step.purchase]
    if len(shares) > 1 and all(later > earlier for earlier, later in pairwise(shares)):
        said = _joined(said, t["say_rising"])
    if not known:
        return _joined(said, t["no_prospects"])
    buyers = {"customers": number(known[0].customers), "share": percent(known[0].share)}
    return _joined(t["say_prospects"].format(**buyers), said)


def _cohorts(found: Cohorts, t: Words) -> str:
    """Of the cohort that was watched longest; its last column is not over yet."""
    complete = [row for row in found.rows if len(row.retention) > 1]
    if not complete:
        return t["no_cohorts"].format(unit=t[f"unit_{found.unit}"])
    row = complete[0]
    return t[f"say_cohorts_{found.unit}"].format(
        start=period_name(row.start, found.unit),
        customers=number(row.customers),
        first=percent(row.retention[0]),
        last=percent(row.retention[-2]),
    )


def _revenue(found: Diagnosis, t: Words) -> str:
    all_of_it = found.revenue
    if not all_of_it.quarters:
        return t["no_orders"]
    last = all_of_it.quarters[-1]
    said = t["say_revenue"].format(
        amount=money(all_of_it.amount, found.currency),
        share=percent(all_of_it.old_share),
        start=period_name(last.start, "quarter"),
        last_share=percent(last.old_share),
    )
    if found.other_currencies:
        others = (f"{name} {number(count)}" for name, count in found.other_currencies.items())
        said = _joined(said, t["other_currencies"].format(currency=found.currency, others=t["list_comma"].join(others)))  # fmt: skip
    return said


def _hours(found: Hours, t: Words) -> str:
    if found.orders is None:
        return t["hours_dates"] if found.without_hour else t["no_orders"]
    total = sum(map(sum, found.orders))
    week = found.orders
    day, hour = max(product(range(7), range(24)), key=lambda at: week[at[0]][at[1]])
    by_hour = [sum(row[each] for row in week) for each in range(24)]
    most = sorted(range(24), key=lambda each: -by_hour[each])[:3]
    best = sorted(each for each in most if by_hour[each])
    said = t["say_hours"].format(
        weekday=t["weekdays"].split()[day],
        hour=hour,
        next=hour + 1,
        best=_listed((t["hour_clock"].format(hour=each) for each in best), t),
        share=percent(sum(by_hour[each] for each in best) / total),
    )
    if found.without_hour:
        said = _joined(said, t["hours_partly"].format(count=number(found.without_hour)))
    return said


def _regions(found: Diagnosis, t: Words) -> str:
    where = found.regions
    if where.provinces_known:
        return t["say_regions"].format(
            known=percent(share(where.provinces_known, found.people.total)),
            **_most(where.provinces, where.provinces_known, t),
        )
    if where.cities_known:
        return t["say_cities"].format(**_most(where.cities, where.cities_known, t))
    return t["no_regions"]


def _most(places: Sequence[Region], known: int, t: Words) -> dict[str, str]:
    most = [one for one in places if one.name is not None][:3]
    return {
        "names": _listed((one.name or "" for one in most), t),
        "share": percent(share(sum(one.customers for one in most), known)),
    }


def _goods(found: Diagnosis, t: Words) -> str:
    best = (found.categories or found.brands)[:1]
    if not best:
        return t["no_goods"]
    return t["say_goods"].format(
        name=best[0].name,
        customers=number(best[0].customers),
        repeat=percent(best[0].repeat_share),
    )


def _reach(found: Diagnosis, t: Words) -> str:
    total = found.people.total
    email, sms = (found.reach[channel]["marketing"] for channel in ("email", "sms"))
    return t["say_reach"].format(
        email=number(email),
        email_share=percent(share(email, total)),
        sms=number(sms),
        sms_share=percent(share(sms, total)),
    )


def _listed(names: Iterable[str], t: Words) -> str:
    return t["list_comma"].join(names)
