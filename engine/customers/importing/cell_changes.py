"""What a mapping does to one cell: clean it, read its amounts and times as they are written there, look words up."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache

from engine.clock import from_local
from engine.definitions.mapping import Amounts, Source
from engine.errors import did_you_mean

Change = Callable[[str], str]
"""Takes a cell that is not blank; raises ValueError."""

_BLANKS = " \t\r\n\N{NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}\N{ZERO WIDTH NO-BREAK SPACE}"
_QUOTED = re.compile(r"'[-+=@\d]")
_PAIR = re.compile(r"[;；\n]")


def cleaner(blank: Collection[str]) -> Change:
    """What spreadsheets put around a cell comes off: `="123"`, `'123`, blanks; words that mean nothing become blank.

    >>> clean = cleaner({"null"})
    >>> clean('="00123"'), clean("'138 "), clean("null"), clean("'t Hart"), clean("=1+1")
    ('00123', '138', '', "'t Hart", '=1+1')
    """

    def clean(cell: str) -> str:
        found = cell.strip(_BLANKS)
        if found.startswith('="') and found.endswith('"') and len(found) > 2:
            found = found[2:-1].strip(_BLANKS)
        elif found.startswith("'") and (len(found) == 1 or _QUOTED.match(found)):
            found = found[1:].strip(_BLANKS)
        return "" if found in blank else found

    return clean


def amounts(written: Amounts) -> Change:
    """Amounts as `1234.50`; what is not written so is refused, never guessed.

    >>> amounts(Amounts(decimal=",", thousands=".", signs=("€",)))("€ 1.234,50")
    '1234.50'
    """
    mark, thousands = re.escape(written.decimal), written.thousands
    whole = rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|\d+" if thousands else r"\d+"
    pattern = re.compile(rf"(-?)({whole})(?:{mark}(\d*))?", re.ASCII)
    example = f"1{thousands or ''}234{written.decimal}50"

    def change(cell: str) -> str:
        bare = cell
        for sign in written.signs:
            bare = bare.replace(sign, "")
        match = pattern.fullmatch(bare.strip(_BLANKS))
        if match is None:
            raise ValueError(f"{_shown(cell)} is not an amount; the mapping says they are written as in {example}")  # fmt: skip
        units = match[2].replace(thousands, "") if thousands else match[2]
        return f"{match[1]}{units}.{match[3]}" if match[3] else match[1] + units

    return change


def times(formats: Sequence[str], zone: str | None) -> Change:
    """Moments in ISO 8601. `formats`: those of `strptime` that are tried too. `zone`: of those without an offset.

    >>> times(["%Y/%m/%d %H:%M"], "Europe/Paris")("2026/5/1 10:00")
    '2026-05-01T08:00:00+00:00'
    """
    if not formats and zone is None:
        return lambda cell: cell

    @lru_cache(maxsize=4096)
    def change(cell: str) -> str:
        moment = _moment(cell, formats)
        if moment is None:
            return cell  # ISO 8601 with a spaced offset, or nothing that anybody reads: the import says so
        if zone is not None and moment.tzinfo is None:
            moment = from_local(moment, zone)
        return moment.isoformat()

    return change


def _moment(cell: str, formats: Sequence[str]) -> datetime | None:
    for one in formats:
        try:
            return datetime.strptime(cell, one)  # noqa: DTZ007 - the zone comes after
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def property_of(cell: str, names: Collection[str]) -> str:
    """The value of the first of these names in a text such as `颜色分类：红色；参考身高：120cm`; blank where none is.

    >>> property_of("颜色分类：红色；参考身高：120cm", ["尺码", "参考身高"])
    '120cm'
    """
    pairs: dict[str, str] = {}
    for pair in _PAIR.split(cell):
        name, colon, value = pair.replace("：", ":").partition(":")
        if colon:
            pairs.setdefault(name.strip(), value.strip())
    return next((pairs[name] for name in names if pairs.get(name)), "")


def valued(source: Source) -> Change:
    values = {theirs: word.text for theirs, word in source.values.items()}
    otherwise = source.otherwise.text if source.otherwise else None

    def change(cell: str) -> str:
        found = values.get(cell, otherwise)
        if found is None:
            hint = did_you_mean(cell, values)
            raise ValueError(f"{_shown(cell)} is not among the mapping's values{hint}")
        return found

    return change


def fits(cell: str, patterns: Sequence[str]) -> bool:
    return any(cell == one or ("*" in one and _matches(cell, one)) for one in patterns)


def _matches(cell: str, pattern: str) -> bool:
    """`*` stands for anything; nothing else is special."""
    return fnmatchcase(cell, pattern.replace("[", "[[]").replace("?", "[?]"))


def _shown(cell: str, longest: int = 40) -> str:
    return repr(cell if len(cell) <= longest else cell[:longest] + "…")
