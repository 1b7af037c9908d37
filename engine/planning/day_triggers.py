"""What a customer's own days start: birthdays on either calendar, anniversaries, the end of a card."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import CTE, BigInteger, ColumnClause, Select, Text, column, func, text

from engine.customers.membership.levels import expiring
from engine.definitions.values import Duration
from engine.planning.due import ZONE_SLACK, Ask, number_of, whole_days, zone_of_customer
from engine.planning.festivals import lunar_day
from engine.planning.local_time import DAY, local_seconds
from engine.store import anchors
from engine.store.tables import customers, profiles
from engine.store.types import epoch_seconds, from_epoch_seconds

_FIRST_YEAR = 1990
"""No shop's customers go back further."""
_AHEAD, _BEHIND = 14 * 3600, 12 * 3600
"""How far clocks are ahead of UTC and behind it, in seconds."""
_ANNOUNCE = Duration(30, "d")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Birthday:
    """Who celebrates on `day` (days since 1970), and in which year of their calendar."""

    calendar: str
    month: int
    date: int
    year: int
    day: int


def birthday(ask: Ask) -> Select[Any]:
    """On the birthday of each customer's own calendar; the year of birth need not be known."""
    only = ask.trigger.arguments.get("calendar")
    rows = [
        (born.calendar, born.month, born.date, born.year, born.day)
        for real in ask.dates()
        for born in (*_solar(real), *_lunar(real))
        if only in (None, born.calendar)
    ]
    days = _table("birthdays", ("month", "date", "year", "day"), rows, "calendar")
    mine = func.coalesce(customers.c.birthday_calendar, "solar")
    query = ask.select(customers.c.id, anchors.birthday(days.c.year)).join_from(
        customers,
        days,
        (customers.c.birthday_month == days.c.month)
        & (customers.c.birthday_day == days.c.date)
        & (mine == days.c.calendar),
    )
    return ask.on_day(query, days.c.day + ask.offset)


def _solar(real: date) -> Iterator[_Birthday]:
    """In a common year 28 February is also the birthday of those born on the 29th."""
    day = number_of(real)
    yield _Birthday("solar", real.month, real.day, real.year, day)
    if _stands_for_the_29th(real):
        yield _Birthday("solar", 2, 29, real.year, day)


def _stands_for_the_29th(real: date) -> bool:
    return (real.month, real.day) == (2, 28) and (real + _DAY).day == 1


def _lunar(real: date) -> Iterator[_Birthday]:
    """Kept in the month itself, never again in the leap month after it; who was born on the 30th keeps the 29th where
    the month ends there."""
    lunar = lunar_day(real)
    if lunar is None or lunar.in_leap_month:
        return
    day = number_of(real)
    yield _Birthday("lunar", lunar.month, lunar.day, lunar.year, day)
    if lunar.is_last and lunar.day == 29:
        yield _Birthday("lunar", lunar.month, 30, lunar.year, day)


def anniversary(ask: Ask) -> Select[Any]:
    """On the date of the first completed order, or of joining, one or more years later, on the customer's clock."""
    of = ask.trigger.arguments.get("of", "first_order")
    began = profiles.c.first_order_at if of == "first_order" else customers.c.joined_at
    days = _table("anniversaries", ("origin", "year", "day"), list(_origins(ask)))
    # For an index to find; whose clock it was then is looked up only for these.
    low = from_epoch_seconds(days.c.origin * DAY - _AHEAD)
    high = from_epoch_seconds((days.c.origin + 1) * DAY + _BEHIND)
    local = local_seconds(epoch_seconds(began), zone_of_customer(ask.policy))
    query = (
        ask.select(customers.c.id, anchors.anniversary(of, days.c.year))
        .join_from(days, began.table, (began >= low) & (began < high))
        .where(whole_days(local) == days.c.origin)
    )
    if of == "first_order":
        query = query.join(customers, customers.c.id == profiles.c.customer_id)
    return ask.on_day(query, days.c.day + ask.offset)


def _origins(ask: Ask) -> Iterator[tuple[int, int, int]]:
    """Which day it began that has its anniversary when: `origin, year, day`. Of 29 February it is the 28th in common years."""
    for real in ask.dates():
        for year in range(_FIRST_YEAR, real.year):
            began = [date(year, real.month, real.day)] if _exists(year, real) else []
            if _stands_for_the_29th(real) and isleap(year):
                began.append(date(year, 2, 29))
            for origin in began:
                yield number_of(origin), real.year, number_of(real)


def _exists(year: int, real: date) -> bool:
    return (real.month, real.day) != (2, 29) or isleap(year)


def membership_expires(ask: Ask) -> Select[Any]:
    """Days before a card's end, by default as many as membership.yaml announces it ahead; with an offset after it, of cards
    that were not renewed."""
    offset = ask.trigger.offset
    if offset is None:
        offset = -(ask.membership.announce if ask.membership else _ANNOUNCE).delta.days
    shift = timedelta(days=offset)
    ending = expiring(
        ask.span.earliest - shift - ZONE_SLACK, ask.span.latest - shift + ZONE_SLACK, ended=True
    ).subquery("ending")
    day = ask.shop_day(ending.c.expires_at)
    query = ask.select(ending.c.customer_id, anchors.expiry(ending.c.id, day)).join(
        customers, customers.c.id == ending.c.customer_id
    )
    if "level" in ask.trigger.arguments:
        query = query.where(ending.c.level.in_(ask.trigger.arguments["level"]))
    return ask.on_day(query, day + offset)


def _table(name: str, numbers: tuple[str, ...], rows: list[Any], word: str = "") -> CTE:
    """Rows of ours as a table. Written out, not bound: a long horizon has more of them than a statement has places; and as
    text, since SQLAlchemy takes a third of a second for the birthdays of forty days.

    Where there are none (a span within a leap month) a row stands for nobody: SQL has no table without rows.
    """
    names = (*([word] if word else []), *numbers)
    nobody = (*([""] if word else []), *[-1_000_000 for _ in numbers])
    written = ", ".join(f"({', '.join(map(repr, row))})" for row in rows or [nobody])
    picks = ", ".join(f"column{place} AS {each}" for place, each in enumerate(names, 1))
    columns: list[ColumnClause[Any]] = [
        column(each, Text if each == word else BigInteger) for each in names
    ]
    query = f"SELECT {picks} FROM (VALUES {written}) AS written"  # noqa: S608  # whole numbers, and words of ours
    return text(query).columns(*columns).cte(name)
