"""Amounts between the units that people write and the whole smallest units that the database keeps."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy import ColumnElement, FromClause, case

_WITHOUT_DECIMALS = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
     "VUV", "XAF", "XOF", "XPF")
)  # fmt: skip
_WITH_THREE = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))


def worth(
    of: FromClause, currency: str, amount: ColumnElement[Any] | None = None
) -> ColumnElement[Any]:
    """SQL: what an order (a row of `of`) adds to a sum in the shop's currency. One in another currency, from before the
    shop changed its own, counts as an order and adds nothing: nobody knows a rate. `amount`: instead of the order's."""
    return case((of.c.currency == currency, of.c.amount if amount is None else amount), else_=0)


def decimals_of(currency: str) -> int:
    """How many decimals a currency has (ISO 4217).

    >>> decimals_of("CNY"), decimals_of("JPY"), decimals_of("KWD")
    (2, 0, 3)
    """
    if currency in _WITHOUT_DECIMALS:
        return 0
    return 3 if currency in _WITH_THREE else 2


def in_units(amount: int, currency: str) -> str:
    """Smallest units as people write them, without a sign for the currency.

    >>> in_units(199999, "CNY"), in_units(5, "JPY"), in_units(-50, "KWD")
    ('1999.99', '5', '-0.050')
    """
    return f"{Decimal(amount).scaleb(-decimals_of(currency)):f}"


def at_least(amount: Decimal, currency: str) -> int:
    """The smallest whole number of smallest units that is no less than `amount`.

    >>> at_least(Decimal("10.001"), "CNY")
    1001
    """
    return int(amount.scaleb(decimals_of(currency)).to_integral_value(ROUND_CEILING))


def at_most(amount: Decimal, currency: str) -> int:
    """The greatest whole number of smallest units that is no more than `amount`.

    >>> at_most(Decimal("10.009"), "CNY")
    1000
    """
    return int(amount.scaleb(decimals_of(currency)).to_integral_value(ROUND_FLOOR))


def as_ratio(amount: Decimal, currency: str) -> tuple[int, int]:
    """`amount` in smallest units as numerator and denominator, so that averages are compared without a division.

    >>> as_ratio(Decimal("99.995"), "CNY")
    (19999, 2)
    """
    ratio = Fraction(amount) * 10 ** decimals_of(currency)
    return ratio.numerator, ratio.denominator
