"""`tagging.yaml` → Tagging: dimensions, allowed values, rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from engine.definitions.order_conditions import STATUS
from engine.definitions.reading import (
    Fields,
    Key,
    Reader,
    Record,
    list_of,
    map_of,
    one_or_more,
)
from engine.definitions.regions import (
    city_spellings,
    provinces,
    short_city,
    short_province,
)
from engine.definitions.report import Report, clipped
from engine.definitions.scalars import (
    boolean,
    decimal,
    duration,
    hours,
    integer,
    matching,
    percent,
    text,
)
from engine.definitions.tagging import (
    AddressRule,
    AmountRule,
    Dimension,
    OrderedRule,
    RegionRule,
    Tagging,
    TagRule,
)
from engine.errors import Position, did_you_mean

NAME = r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?"
MAX_DIMENSIONS, MAX_VALUES, MAX_RULES, MAX_WORDS = 100, 500, 500, 100


def _dimension_name(written: str) -> str:
    if not re.fullmatch(NAME, written):
        raise ValueError(f"{clipped(written)!r} is not a dimension's name: a-z, 0-9, _ and -")
    return written


def _value(written: str) -> str:
    if "=" in written:
        raise ValueError(f"{clipped(written)!r}: a value has no =")
    return written


DIMENSION: Reader[Dimension] = Record(
    {
        "values": Key(
            one_or_more(text(most=100).then(_value)), "The values it may have.", required=True
        ),
        "several": Key(boolean(), "May a customer have several of them? false by default."),
    }
).build(lambda fields: Dimension(values=fields.get("values"), several=fields.get("several", False)))

_words = one_or_more(text())


def _some(*names: str) -> Callable[[Fields, Report], None]:
    def check(fields: Fields, report: Report) -> None:
        if not fields.refused and not any(name in fields for name in names):
            written = ", ".join(f"`{name}`" for name in names)
            report.error(fields.span.position, f"one of {written} is missing", "missing-key")

    return check


ADDRESS: Reader[AddressRule] = Record(
    {
        "contains": Key(_words, "One of these words stands in the address.", required=True),
        "without": Key(_words, "And none of these."),
    }
).build(lambda fields: AddressRule(words=fields.get("contains"), without=fields.get("without", ())))

ORDERED: Reader[OrderedRule] = Record(
    {
        "category": Key(_words, "An item of one of these categories."),
        "brand": Key(_words, "Of one of these brands."),
        "sku": Key(_words, "One of these products."),
        "size": Key(_words, "In one of these sizes."),
        "status": Key(STATUS, "Of one of these statuses; by default completed ones."),
        "hours": Key(hours(), 'Placed in these hours of the shop\'s clock: "22:00-02:00".'),
        "count": Key(integer(1, 10_000), "At least so many such orders; 1 by default."),
        "share": Key(percent(), "And at least this share of all orders placed in that time."),
        "within": Key(duration(), "In this time; ever by default."),
    },
    check=_some("category", "brand", "sku", "size", "status", "hours", "count"),
).build(
    lambda fields: OrderedRule(
        categories=fields.get("category", ()),
        brands=fields.get("brand", ()),
        skus=fields.get("sku", ()),
        sizes=fields.get("size", ()),
        statuses=fields.get("status", ()),
        hours=fields.get("hours"),
        count=fields.get("count", 1),
        share=fields.get("share"),
        within=fields.get("within"),
    )
)


def _near(written: str, names: Iterable[str]) -> str:
    """The nearest name; names of two characters are too short for the usual measure, so one in common will do."""
    known = list(names)
    hint = did_you_mean(clipped(written), known)
    alike = [name for name in known if len(name) == len(written) == 2 and name[0] == written[0]]
    return hint or (f"; did you mean {' or '.join(map(repr, alike[:3]))}?" if alike else "")


def _province(written: str) -> str:
    short = short_province(written)
    if short is None:
        raise ValueError(
            f"{clipped(written)!r} is no province of China{_near(written, provinces())}"
        )
    return short


def _city(written: str) -> str:
    short = short_city(written)
    if short is None:
        raise ValueError(
            f"{clipped(written)!r} is no city of China{_near(written, city_spellings())}"
        )
    return short


REGION: Reader[RegionRule] = Record(
    {
        "province": Key(one_or_more(text().then(_province)), f"Such as {next(iter(provinces()))}."),
        "city": Key(one_or_more(text().then(_city)), "Such as 杭州."),
    },
    check=_some("province", "city"),
).build(
    lambda fields: RegionRule(provinces=fields.get("province", ()), cities=fields.get("city", ()))
)

AMOUNT: Reader[AmountRule] = Record(
    {
        "gte": Key(decimal(), "At least, in units of the currency."),
        "lte": Key(decimal(), "At most."),
        "within": Key(duration(), "Of orders in this time; ever by default."),
    },
    check=_some("gte", "lte"),
).build(lambda fields: AmountRule(**fields.values))


def _tag(written: str) -> tuple[str, str]:
    dimension, sign, value = written.partition("=")
    if not sign or not dimension.strip() or not value.strip():
        raise ValueError(f"{clipped(written)!r} is not a tag; write DIMENSION=VALUE")
    return dimension.strip(), value.strip()


_CONDITIONS = ("address", "ordered", "region", "amount")
RULE: Reader[TagRule] = Record(
    {
        "name": Key(matching(NAME, "a name: a-z, 0-9, _ and -"), required=True),
        "tag": Key(text().then(_tag), "DIMENSION=VALUE, what it puts.", required=True),
        "address": Key(ADDRESS, "What stands in the address."),
        "ordered": Key(ORDERED, "What was ordered, and when."),
        "region": Key(REGION, "Where the customer lives."),
        "amount": Key(AMOUNT, "What completed orders add up to."),
    },
    check=_some(*_CONDITIONS),
).build(
    lambda fields: TagRule(
        name=fields.get("name"),
        dimension=fields.get("tag")[0],
        value=fields.get("tag")[1],
        **{condition: fields.get(condition) for condition in _CONDITIONS},
        position=fields.span.position,
    )
)


def _check(fields: Fields, report: Report) -> None:
    """Rules put only tags that there are, each under a name of its own."""
    dimensions: dict[str, Dimension] | None = fields.get("dimensions", {})
    if dimensions is None or ("dimensions" in fields and "dimensions" not in fields.values):
        return
    seen: dict[str, int] = {}
    for rule in fields.get("rules", ()):
        if rule.name in seen:
            message = f"the rule {rule.name!r} stands here twice; first in line {seen[rule.name]}"
            report.error(rule.position, message, "duplicate-id")
        seen.setdefault(rule.name, rule.position.line)
        check_tag(rule.dimension, [rule.value], rule.position, dimensions, report)


def check_tag(
    dimension: str,
    values: Iterable[str],
    position: Position,
    dimensions: Mapping[str, Dimension],
    report: Report,
) -> None:
    """What is said of a tag must be one that somebody can have."""
    if dimension not in dimensions:
        report.unknown(position, "dimension", dimension, dimensions, "unknown-tag")
        return
    known = dimensions[dimension].values
    for value in values:
        if value not in known:
            report.unknown(position, f"value of {dimension}", value, known, "unknown-tag")


TAGGING: Reader[Tagging] = Record(
    {
        "dimensions": Key(
            map_of(_dimension_name, DIMENSION, most=MAX_DIMENSIONS), "What tags there are."
        ),
        "rules": Key(list_of(RULE, most=MAX_RULES), "What is put by itself."),
    },
    check=_check,
).build(
    lambda fields: Tagging(dimensions=fields.get("dimensions", {}), rules=fields.get("rules", ()))
)
