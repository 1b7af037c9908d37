"""The condition `ordered`: which orders and items are meant, and what they must add up to.

Arguments: `category brand sku size` tuples of str (of one and the same item); `coupon source` tuples of str; `status` tuple
(nothing: the completed ones); `within older_than` Duration, `before after` date, `hours` Hours (the shop's zone), all of
`placed_at`; `only` first or last, of the orders of that status; and what is asked of them: `count` and `quantity`
(`gte lte eq` int), `sum` and `avg` (`gte lte` Decimal). Without any of these: that there is one.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.definitions.operators import (
    AGES,
    COUNT,
    DAYS,
    MAX_LIST,
    MONEY,
    Arguments,
    bounds,
    dates_meet,
    narrowed,
)
from engine.definitions.reading import Reader, list_of, one_or_more
from engine.definitions.scalars import choice, hours, text
from engine.definitions.values import STATUSES
from engine.definitions.yaml_nodes import Items

ITEM_KEYS = ("category", "brand", "sku", "size")
ORDER_KEYS = ("coupon", "source")
TOTALS = ("count", "sum", "avg", "quantity")
ANY = "any"


def _names() -> Reader[tuple[str, ...]]:
    """One name, or a list of them."""
    one, several = text(), list_of(text(), least=1, most=MAX_LIST)

    def read(node, report):  # type: ignore[no-untyped-def]
        if isinstance(node, Items):
            return several.read(node, report)
        value = one.read(node, report)
        return None if value is None else (value,)

    return Reader(read, {"anyOf": [one.schema, several.schema]})


STATUS = one_or_more(choice(*STATUSES, ANY)).then(lambda names: STATUSES if ANY in names else names)

ORDERED: Reader[Arguments] = narrowed(
    {
        **{name: _names() for name in (*ITEM_KEYS, *ORDER_KEYS)},
        "status": STATUS,
        **AGES,
        **DAYS,
        "hours": hours(),
        "only": choice("first", "last"),
        "count": bounds(COUNT),
        "sum": bounds(MONEY),
        "avg": bounds(MONEY),
        "quantity": bounds(COUNT),
    },
    dates_meet,
)
CONDITIONS: Mapping[str, Reader[Arguments]] = {"ordered": ORDERED}
