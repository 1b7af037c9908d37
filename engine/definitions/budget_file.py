"""`budget` of a campaign or care rule, and those of the policy: how much may be spent. In millionths of the currency."""

from __future__ import annotations

from decimal import Decimal

from engine.definitions.campaign import Budget
from engine.definitions.cap_file import OVERFLOW
from engine.definitions.policy import BudgetRule
from engine.definitions.quiet_file import CHANNEL, CLASS
from engine.definitions.reading import Fields, Key, Reader, Record, list_of, one_or_more
from engine.definitions.scalars import choice, decimal, matching

MILLION = 1_000_000


def _millionths(amount: Decimal) -> int:
    if amount == 0:
        raise ValueError("a budget of 0 would let nothing go, ever")
    return int(amount * MILLION)


_AMOUNT = Key(decimal().then(_millionths), "At most so much, in the shop's currency", required=True)
_CURRENCY = Key(matching("[A-Z]{3}", "a currency such as CNY"), "That of the prices.")


def _budget(fields: Fields) -> Budget:
    return Budget(
        millionths=fields.get("amount"),
        currency=fields.get("currency"),
        monthly=fields.get("per") == "month",
        position=fields.span.position,
    )


BUDGET: Reader[Budget] = Record(
    {
        "amount": _AMOUNT,
        "currency": _CURRENCY,
        "per": Key(choice("month"), "in a calendar month; without it over the whole life."),
    }
).build(_budget)

_RULE: Reader[BudgetRule] = Record(
    {
        "amount": _AMOUNT,
        "currency": _CURRENCY,
        "per": Key(choice("month"), "in a calendar month of the shop.", required=True),
        "class": Key(one_or_more(CLASS), "Marketing and care where it is not given."),
        "channel": Key(one_or_more(CHANNEL), "Any where it is not given."),
        "overflow": Key(OVERFLOW, "When it is spent; as the policy says where it is not given."),
    }
).build(
    lambda fields: BudgetRule(
        budget=_budget(fields),
        classes=frozenset(fields.get("class", ("marketing", "care"))),
        channels=frozenset(fields.get("channel", ())),
        overflow=fields.get("overflow"),
        position=fields.span.position,
        text=fields.span.text,
    )
)
BUDGETS: Reader[tuple[BudgetRule, ...]] = list_of(_RULE, most=20)
