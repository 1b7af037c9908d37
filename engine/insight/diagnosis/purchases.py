"""The ground of the chapters about time: a purchase is all that a customer bought on one day of the shop.

Two orders on one day are one purchase, since people split a basket; else the second order would look like a return.
The purchases are laid down once, in a temporary table, and each chapter asks it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Select,
    Subquery,
    Table,
    func,
    insert,
    select,
)

from engine.audience.money import worth
from engine.audience.scope import COMPLETED
from engine.store.tables import orders, zone_offsets
from engine.store.types import BigId, epoch_seconds

DAY = 86_400
_WEEKS = 7 * 100_000  # days added before a division: both databases cut off towards zero
_EPOCH = date(1970, 1, 1).toordinal()
_metadata = MetaData()

purchases = Table(
    "diagnosis_purchases",
    _metadata,
    Column("customer_id", BigId, nullable=False),
    Column("day", BigId, nullable=False),  # since 1970, of the shop's clock
    Column("place", BigId, nullable=False),  # 1 for the customer's first
    Column("gap", BigId),  # days until the next one; NULL: there is none yet
    Column("first_day", BigId, nullable=False),
    Column("orders", BigId, nullable=False),
    Column("amount", BigId, nullable=False),
    prefixes=["TEMPORARY"],
)
calendar = Table(
    "diagnosis_days",
    _metadata,
    Column("day", BigId, primary_key=True, autoincrement=False),
    Column("month", BigId, nullable=False),  # year · 12 + month − 1
    prefixes=["TEMPORARY"],
)


@contextmanager
def laid_down(connection: Connection, zone: str, currency: str, now: datetime) -> Iterator[None]:
    """The tables `purchases` and `calendar` of completed orders up to `now`, for the time of the block.

    The rows of `zone` must stand in zone_offsets. Only orders in `currency` add to amounts.
    """
    _metadata.create_all(connection, checkfirst=False)
    names = [column.name for column in purchases.c]
    connection.execute(
        insert(purchases).from_select(names, _in_order(_by_day(zone, currency, now)))
    )
    days = connection.execute(select(purchases.c.day).distinct()).scalars().all()
    if days:
        connection.execute(
            insert(calendar), [{"day": day, "month": month_of(day_of(day))} for day in days]
        )
    yield
    # After a failure the rollback has taken them away already.
    _metadata.drop_all(connection, checkfirst=False)


def _in_order(bought: Subquery) -> Select[tuple[int, ...]]:
    c = bought.c
    return select(
        c.customer_id,
        c.day,
        func.row_number().over(partition_by=c.customer_id, order_by=c.day),
        func.lead(c.day).over(partition_by=c.customer_id, order_by=c.day) - c.day,
        func.first_value(c.day).over(partition_by=c.customer_id, order_by=c.day),
        c.orders,
        c.amount,
    )


def _by_day(zone: str, currency: str, now: datetime) -> Subquery:
    timed = local_orders(zone, now)
    amount = worth(timed, currency)
    day = days_of(timed.c.seconds).label("day")
    return (
        select(
            timed.c.customer_id,
            day,
            func.count().label("orders"),
            func.sum(amount).label("amount"),
        )
        .group_by(timed.c.customer_id, day)
        .subquery("bought")
    )


def local_orders(zone: str, now: datetime) -> Subquery:
    """Completed orders up to `now`: id, customer_id, amount, currency, and `seconds` of the shop's wall clock since 1970."""
    epoch = epoch_seconds(orders.c.placed_at)
    offset = zone_offsets.alias()
    # Stretches have no gaps between them: the last that began holds the moment, and the index finds it in one step.
    seconds = (
        select(offset.c.seconds)
        .where(offset.c.zone == zone, offset.c.from_epoch <= epoch)
        .order_by(offset.c.from_epoch.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(
            orders.c.id,
            orders.c.customer_id,
            orders.c.amount,
            orders.c.currency,
            (epoch + seconds).label("seconds"),
        )
        .where(orders.c.status.in_(COMPLETED), orders.c.placed_at <= now)
        .subquery("timed")
    )


def days_of(seconds: ColumnElement[int]) -> ColumnElement[int]:
    """SQL: whole days of these seconds, rounded down, before 1970 too."""
    return (seconds + _WEEKS * DAY) // DAY - _WEEKS


def hour_of_week(seconds: ColumnElement[int]) -> ColumnElement[int]:
    """SQL: 0 for Monday's first hour … 167 for Sunday's last. (1 January 1970 was a Thursday.)"""
    return (seconds + (_WEEKS + 3) * DAY) % (7 * DAY) // 3600


def day_of(number: int) -> date:
    """The date so many days after 1 January 1970.

    >>> day_of(10407)
    datetime.date(1998, 6, 30)
    """
    return date.fromordinal(_EPOCH + number)


def number_of(day: date) -> int:
    """The days from 1 January 1970 to this date.

    >>> number_of(date(1998, 6, 30))
    10407
    """
    return day.toordinal() - _EPOCH


def month_of(day: date) -> int:
    """Months since the year 0: calendar arithmetic on whole numbers.

    >>> month_of(date(1998, 6, 30)), start_of_month(month_of(date(1998, 6, 30)))
    (23981, datetime.date(1998, 6, 1))
    """
    return day.year * 12 + day.month - 1


def start_of_month(month: int) -> date:
    """The first day of a month counted as by `month_of`."""
    return date(month // 12, month % 12 + 1, 1)
