"""`mappings/NAME.yaml` → ImportMapping."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Any

from engine.definitions import import_columns
from engine.definitions.import_columns import BUYER, BY_KIND, ITEMS, WORDS
from engine.definitions.mapping import Amounts, Choice, Expiry, ImportMapping, Source, Word
from engine.definitions.reading import (
    Fields,
    Key,
    Reader,
    Record,
    list_of,
    map_of,
    one_or_more,
    wrong_type,
)
from engine.definitions.report import Report
from engine.definitions.scalars import boolean, choice, duration, matching, text, zone
from engine.definitions.sendable import stem
from engine.definitions.yaml_nodes import Entries, Node, Scalar

ENCODINGS = ("utf-8", "gb18030", "gbk", "big5", "shift_jis", "windows-1252", "iso-8859-1")
"""Those in which a line's end is one byte that stands for nothing else."""
_DELIMITERS = {",": ",", ";": ";", "|": "|", "tab": "\t"}
_DIRECTIVE = re.compile(r"%(.)")
_TIME_DIRECTIVES = frozenset("YymdHMSfzpIbB%")


def _any_text(node: Node, report: Report) -> str | None:
    """Text as it is written, an empty one too."""
    if isinstance(node, Scalar) and (not node.plain or node.value):
        return node.value.strip()
    wrong_type(node, "text", report)
    return None


def _between(node: Node, report: Report) -> str | None:
    """What stands between two cells: blanks count."""
    return node.value if isinstance(node, Scalar) and not node.plain else _any_text(node, report)


def _located(node: Node, report: Report) -> Word | None:
    read = _any_text(node, report)
    return None if read is None else Word(read, node.span.position)


def _time_format(written: str) -> str:
    """One of `strptime`, with at least a year, a month and a day."""
    used = set(_DIRECTIVE.findall(written))
    unknown = sorted(used - _TIME_DIRECTIVES)
    if unknown:
        raise ValueError(f"{written!r}: %{unknown[0]} is not known; write it as in %Y/%m/%d %H:%M")
    if not used & set("Yy") or not used & set("mbB") or "d" not in used:
        raise ValueError(f"{written!r} lacks the year, the month or the day, as in %Y/%m/%d")
    return written


_text_or_none: Reader[str] = Reader(_any_text, {"type": "string"})
_word: Reader[Word] = Reader(_located, {"type": "string"})
_theirs = one_or_more(text(most=200))

CHOICE: Reader[Choice] = Record(
    {
        "when": Key(map_of(str, one_or_more(_text_or_none)), "Columns of theirs, and what each holds; * is anything.", required=True),
        "is": Key(_word, "What it then is.", required=True),
    }
).build(lambda fields: Choice(fields.get("when"), fields.get("is")))  # fmt: skip

EXPIRY: Reader[Expiry] = Record(
    {
        "after": Key(one_or_more(choice(*(name for name in import_columns.ORDERS.known if name.endswith("_at")))), "The first of these that is known,", required=True),
        "wait": Key(duration(), "and so long after it.", required=True),
        "prefixes": Key(one_or_more(matching("[0-9]{1,11}", "digits, quoted")), "Only numbers that begin so."),
    }
).build(lambda fields: Expiry(**fields.values))  # fmt: skip


def _check_source(fields: Fields, report: Report) -> None:
    given = [name for name in ("from", "value", "choose", "expires") if name in fields]
    if len(given) != 1:
        what = " and ".join(f"`{name}`" for name in given) + " together" if given else "nothing"
        message = f"{what}; write one of `from`, `value`, `choose`, `expires`"
        report.error(fields.span.position, message, "bad-value")
        return
    for name in ("join", "values", "part", "property", "lower", "region"):
        if name in fields and "from" not in fields:
            report.error(fields.at(name).position, f"`{name}` goes with `from`", "bad-value")
    if "otherwise" in fields and not {"values", "choose"} & set(fields.nodes):
        where = fields.at("otherwise").position
        report.error(where, "`otherwise` goes with `values` or `choose`", "bad-value")


SOURCE: Reader[Source] = Record(
    {
        "from": Key(_theirs, "Columns of theirs: the first that is there and not blank."),
        "join": Key(Reader(_between, {"type": "string"}), "All of them, with this between."),
        "value": Key(_word, "The same for every row."),
        "values": Key(map_of(str, _word, most=200), "Their words, and ours."),
        "otherwise": Key(_word, "For every other word; without it such a row is rejected."),
        "choose": Key(list_of(CHOICE, least=1, most=100), "By several columns: the first that fits."),
        "expires": Key(EXPIRY, "When a platform's virtual number dies."),
        "part": Key(choice("province", "city"), "That of a Chinese address."),
        "property": Key(_theirs, "Names in a text such as 颜色分类：红色；尺码：L."),
        "lower": Key(boolean(), "In lower case."),
        "region": Key(matching("[A-Z]{2}", "a country such as FR"), "Of phone numbers without a country code."),
        "needed": Key(boolean(), "Whether a file without it does not fit."),
    },
    check=_check_source,
).build(
    lambda fields: Source(
        position=fields.span.position,
        columns=fields.get("from", ()),
        join=fields.get("join"),
        constant=fields.get("value"),
        values=fields.get("values", {}),
        otherwise=fields.get("otherwise"),
        choices=fields.get("choose", ()),
        expiry=fields.get("expires"),
        part=fields.get("part"),
        properties=fields.get("property", ()),
        lower=fields.get("lower", False),
        region=fields.get("region"),
        needed=fields.get("needed"),
    )
)  # fmt: skip


def _source(node: Node, report: Report) -> Source | None:
    """A column's name, several, or a map that says more."""
    if isinstance(node, Entries):
        return SOURCE.read(node, report)
    columns = _theirs.read(node, report)
    return None if columns is None else Source(node.span.position, columns)


_section: Reader[dict[str, Source]] = map_of(
    str, Reader(_source, {"anyOf": [_theirs.schema, SOURCE.schema]}), most=200
)


def _check_amounts(fields: Fields, report: Report) -> None:
    if fields.get("thousands") == fields.get("decimal", "."):
        message = "the decimal mark cannot stand between thousands too"
        report.error(fields.span.position, message, "bad-value")


AMOUNTS: Reader[Amounts] = Record(
    {
        "decimal": Key(choice(".", ","), "The decimal mark; . by default."),
        "thousands": Key(choice(",", ".", "'", " "), "Between thousands; nothing by default."),
        "signs": Key(one_or_more(text(most=5)), "Signs of money that may stand with an amount."),
    },
    check=_check_amounts,
).build(lambda fields: Amounts(**fields.values))


def _encoding(written: str) -> str:
    wanted = codecs.lookup(written).name if _is_codec(written) else written
    for name in ENCODINGS:
        if codecs.lookup(name).name == wanted:
            return name
    if wanted == "utf-8-sig":
        return "utf-8"
    raise ValueError(f"{written!r} is not supported; one of {', '.join(ENCODINGS)}")


def _is_codec(name: str) -> bool:
    try:
        codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return True


def _check_mapping(fields: Fields, report: Report) -> None:
    kind = fields.get("of")
    if kind is None:
        return
    columns = BY_KIND[kind]
    _check_section(fields, "columns", columns.known, report)
    _check_section(fields, "items", ITEMS.known, report)
    _check_section(fields, "customer", BUYER, report)
    given = fields.nodes.get("columns")
    for name in columns.required if isinstance(given, Entries) else ():
        if isinstance(given, Entries) and given.get(name) is None:
            where = fields.at("columns").position
            report.error(where, f"`columns` does not say where {name!r} comes from", "missing-key")
    _check_orders_only(fields, kind, report)


def _check_orders_only(fields: Fields, kind: str, report: Report) -> None:
    for name in ("rows", "items", "creates_customers", "customer", "match"):
        if name in fields and kind != "orders":
            report.error(fields.at(name).position, f"`{name}` goes with of: orders", "bad-value")
    is_items = fields.get("rows") == "item"
    if is_items != ("items" in fields):
        at, other = ("rows", "items") if is_items else ("items", "rows: item")
        report.error(fields.at(at).position, f"`{at}` needs `{other}`", "missing-key")
    for name in ("customer", "match"):
        if name in fields and not fields.get("creates_customers"):
            message = f"`{name}` needs `creates_customers: true`"
            report.error(fields.at(name).position, message, "missing-key")
    if "match" in fields and fields.get("match") not in fields.get("customer", {}):
        message = f"`customer` does not say where {fields.get('match')!r} comes from"
        report.error(fields.at("match").position, message, "missing-key")


def _check_section(fields: Fields, section: str, known: tuple[str, ...], report: Report) -> None:
    node = fields.nodes.get(section)
    for key, child in node.pairs if isinstance(node, Entries) else ():
        if key.value not in known:
            report.unknown(key.span.position, "column", key.value, known, "unknown-key")
        source = fields.get(section, {}).get(key.value)
        if source is None:
            continue
        for word in source.words() if key.value in WORDS else ():
            if word.text not in WORDS[key.value]:
                report.unknown(word.position, "word", word.text, WORDS[key.value], "bad-value")
        if source.expiry and (section, key.value) != ("customer", "phone_valid_until"):
            message = "`expires` stands under `customer`, `phone_valid_until`"
            report.error(child.span.position, message, "bad-value")


def _mapping(fields: Fields) -> ImportMapping:
    values: dict[str, Any] = dict(fields.values)
    creates = values.pop("creates_customers", False)
    customer = values.pop("customer", {}) if creates else None
    values["blank"] = frozenset(values.get("blank", ()))
    values.pop("kind", None)
    position = fields.span.position
    return ImportMapping(**values, id=stem(position.file), customer=customer, position=position)


def _delimiter(written: str) -> str:
    return _DELIMITERS[written]


_check: Callable[[Fields, Report], None] = _check_mapping
MAPPING: Reader[ImportMapping] = Record(
    {
        "kind": Key(choice("mapping"), required=True),
        "of": Key(choice(*BY_KIND), "What the file's rows are.", required=True),
        "encodings": Key(one_or_more(text().then(_encoding)), "Those that the file may have; utf-8 by default."),
        "delimiter": Key(choice(*_DELIMITERS).then(_delimiter), "Between cells; a comma by default."),
        "timezone": Key(zone(), "Of times without an offset; the shop's by default."),
        "times": Key(one_or_more(text().then(_time_format)), "How times are written, beside ISO 8601."),
        "amounts": Key(AMOUNTS, "How amounts are written; as in 1234.50 by default."),
        "blank": Key(one_or_more(text()), "Words that mean nothing, such as null and --."),
        "rows": Key(choice("order", "item"), "What one row is; order by default."),
        "columns": Key(_section, "Our columns, and where each comes from.", required=True),
        "items": Key(_section, "The columns of items, where one row is an item."),
        "creates_customers": Key(boolean(), "Whether orders make their customers."),
        "customer": Key(_section, "What an order says of its customer."),
        "match": Key(choice("email", "phone"), "Find the customer by this address, if not by the id."),
        "attributes": Key(_section, "Attributes under names of ours."),
        "leave_out": Key(one_or_more(text()), "Columns that are not kept; * is anything."),
    },
    check=_check,
).build(_mapping)  # fmt: skip
