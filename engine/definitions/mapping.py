"""A mapping: how another system's export becomes the columns that an import knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.definitions.values import Duration
from engine.errors import Position

FOLDER = "mappings"


@dataclass(frozen=True, slots=True)
class Word:
    """A word of ours, and where it is written."""

    text: str
    position: Position


@dataclass(frozen=True, slots=True)
class Choice:
    """`word` where each of these columns of theirs holds one of its patterns (`*` stands for anything)."""

    when: Mapping[str, tuple[str, ...]]
    word: Word


@dataclass(frozen=True, slots=True)
class Expiry:
    """A number dies `wait` after the first of these moments of the order that is known; only those that begin with
    one of `prefixes`, if any are named."""

    after: tuple[str, ...]
    wait: Duration
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Where one column of ours comes from. One of `columns`, `constant`, `choices`, `expiry` is given.

    `columns`: of theirs; the first that is there and not blank, or all of them with `join` between. `values`: their
    words → ours; `otherwise`: for words that are not among them. `part`: of a Chinese address. `properties`: names in
    a text such as `颜色分类：红色；参考身高：120cm`, of which the first counts. `region`: of phone numbers without a
    country code. `needed`: whether a file without it does not fit.
    """

    position: Position
    columns: tuple[str, ...] = ()
    join: str | None = None
    constant: Word | None = None
    values: Mapping[str, Word] = field(default_factory=dict)
    otherwise: Word | None = None
    choices: tuple[Choice, ...] = ()
    expiry: Expiry | None = None
    part: Literal["province", "city"] | None = None
    properties: tuple[str, ...] = ()
    lower: bool = False
    region: str | None = None
    needed: bool | None = None

    def words(self) -> tuple[Word, ...]:
        """The words of ours that it may give."""
        found = [*self.values.values(), *(choice.word for choice in self.choices)]
        return (*found, *(word for word in (self.constant, self.otherwise) if word))

    def theirs(self) -> frozenset[str]:
        """Every column of theirs that it looks at."""
        return frozenset((*self.columns, *(name for one in self.choices for name in one.when)))


@dataclass(frozen=True, slots=True)
class Amounts:
    """How amounts are written: decimal mark, mark between thousands, signs that may stand with them."""

    decimal: str = "."
    thousands: str | None = None
    signs: tuple[str, ...] = ()


Section = Mapping[str, Source]
"""Columns of ours → where they come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportMapping:
    """`mappings/ID.yaml`. `of`: the kind of import. `rows`: whether a row is an order, or an item of one.

    `customer`: None where orders do not create customers. `match`: an address of the buyer by which a customer with
    another id is found. `leave_out`: columns of theirs that do not become attributes (`*` stands for anything).
    """

    id: str
    of: str
    columns: Section
    encodings: tuple[str, ...] = ("utf-8",)
    delimiter: str = ","
    timezone: str | None = None
    times: tuple[str, ...] = ()
    amounts: Amounts = Amounts()
    blank: frozenset[str] = frozenset()
    rows: Literal["order", "item"] = "order"
    items: Section = field(default_factory=dict)
    customer: Section | None = None
    match: Literal["email", "phone"] | None = None
    attributes: Section = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    position: Position

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.id}.yaml"

    def theirs(self) -> frozenset[str]:
        """Every column of theirs that is used."""
        sections = (self.columns, self.items, self.customer or {}, self.attributes)
        return frozenset(
            name for section in sections for source in section.values() for name in source.theirs()
        )
