"""A random share of the customers that is always the same: arithmetic on the internal id that both databases do alike.

x = ((id mod P)·a + b) mod P, then x⁵ mod P, with P = 2³¹ − 1 and a, b from the salt. x → x⁵ is a permutation (5 does not
divide P − 1) and not linear, so that two salts draw independently of each other; no step exceeds 62 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from hashlib import sha256
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, literal

from engine.definitions.segment import Condition
from engine.store.tables import customers

_P = 2**31 - 1


def sample(condition: Condition) -> ColumnElement[bool]:
    """Whether the customer is drawn. The salt is the file's id, so that each file draws people of its own."""
    return drawn(customers.c.id, salt_of(condition), condition.arguments["share"])


def is_drawn(customer_id: int, condition: Condition) -> bool:
    """The same, of one customer, in Python."""
    return place_of(customer_id, salt_of(condition)) < up_to(condition.arguments["share"])


def drawn(customer_id: ColumnElement[Any], salt: str, share: Decimal) -> ColumnElement[bool]:
    """SQL: whether the customer of this internal id is among the `share` percent that the salt draws."""
    factor, shift = _mix(salt)
    number = (customer_id % _big(_P) * _big(factor) + _big(shift)) % _big(_P)
    square = number * number % _big(_P)
    return square * square % _big(_P) * number % _big(_P) < _big(up_to(share))


def place_of(customer_id: int, salt: str) -> int:
    """Where the salt places a customer between 0 and `up_to(100)`: evenly, and always the same."""
    factor, shift = _mix(salt)
    return pow((customer_id % _P * factor + shift) % _P, 5, _P)


def up_to(share: Decimal) -> int:
    """The first place that is beyond `share` percent."""
    return int((share * _P / 100).to_integral_value(ROUND_HALF_EVEN))


def salt_of(condition: Condition) -> str:
    arguments: Mapping[str, Any] = condition.arguments
    stem = condition.position.file.rsplit("/", 1)[-1].removesuffix(".yaml")
    return str(arguments.get("salt", stem))


def _mix(salt: str) -> tuple[int, int]:
    """
    >>> _mix("a") == _mix("a") != _mix("b")
    True
    """
    digest = sha256(salt.encode()).digest()
    factor, shift = (int.from_bytes(part, "big") % (_P - 1) for part in (digest[:8], digest[8:16]))
    return factor + 1, shift


def _big(number: int) -> ColumnElement[int]:
    return literal(number, BigInteger)
