"""The festivals and solar terms that may be named, and by which rule each is found in a year. No dates here.

A festival is known by its slug, which stands in the anchor of every message for it and never changes. It may be written
by its slug or by any of its names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.definitions.report import clipped
from engine.errors import did_you_mean


@dataclass(frozen=True, slots=True)
class Lunar:
    """A day of the lunar calendar; `day` 0 is the month's last."""

    month: int
    day: int


@dataclass(frozen=True, slots=True)
class Solar:
    """The same date every year."""

    month: int
    day: int


@dataclass(frozen=True, slots=True)
class Weekday:
    """The `nth` such weekday of a month (0 is Monday), and `later` days after it."""

    month: int
    nth: int
    weekday: int
    later: int = 0


@dataclass(frozen=True, slots=True)
class Term:
    """The day of a solar term, by its place in the year: 0 is 小寒, 23 is 冬至."""

    index: int


@dataclass(frozen=True, slots=True)
class Festival:
    """`names`: the first is shown."""

    slug: str
    names: tuple[str, ...]
    rule: Lunar | Solar | Weekday | Term


TERMS: tuple[tuple[str, str], ...] = (
    ("xiaohan", "小寒"), ("dahan", "大寒"), ("lichun", "立春"), ("yushui", "雨水"),
    ("jingzhe", "惊蛰"), ("chunfen", "春分"), ("qingming", "清明"), ("guyu", "谷雨"),
    ("lixia", "立夏"), ("xiaoman", "小满"), ("mangzhong", "芒种"), ("xiazhi", "夏至"),
    ("xiaoshu", "小暑"), ("dashu", "大暑"), ("liqiu", "立秋"), ("chushu", "处暑"),
    ("bailu", "白露"), ("qiufen", "秋分"), ("hanlu", "寒露"), ("shuangjiang", "霜降"),
    ("lidong", "立冬"), ("xiaoxue", "小雪"), ("daxue", "大雪"), ("dongzhi", "冬至"),
)  # fmt: skip
"""The 24 solar terms in the order of the year, as slug and name."""

_FESTIVALS = (
    Festival("chunjie", ("春节", "正月初一", "spring-festival"), Lunar(1, 1)),
    Festival("yuanxiao", ("元宵", "元宵节", "lantern-festival"), Lunar(1, 15)),
    Festival("longtaitou", ("龙抬头", "二月二"), Lunar(2, 2)),
    Festival("duanwu", ("端午", "端午节", "dragon-boat"), Lunar(5, 5)),
    Festival("qixi", ("七夕", "七夕节"), Lunar(7, 7)),
    Festival("zhongyuan", ("中元", "中元节"), Lunar(7, 15)),
    Festival("zhongqiu", ("中秋", "中秋节", "mid-autumn"), Lunar(8, 15)),
    Festival("chongyang", ("重阳", "重阳节"), Lunar(9, 9)),
    Festival("laba", ("腊八", "腊八节"), Lunar(12, 8)),
    Festival("xiaonian", ("小年", "北方小年"), Lunar(12, 23)),
    Festival("xiaonian-south", ("南方小年",), Lunar(12, 24)),
    Festival("chuxi", ("除夕", "年三十"), Lunar(12, 0)),
    Festival("qingming", ("清明", "清明节"), Term(6)),
    Festival("dongzhi", ("冬至", "冬至节"), Term(23)),
    Festival("yuandan", ("元旦", "new-year"), Solar(1, 1)),
    Festival("valentine", ("情人节",), Solar(2, 14)),
    Festival("women", ("妇女节", "女神节", "三八节"), Solar(3, 8)),
    Festival("arbor", ("植树节",), Solar(3, 12)),
    Festival("labour", ("劳动节", "五一"), Solar(5, 1)),
    Festival("youth", ("青年节",), Solar(5, 4)),
    Festival("mother", ("母亲节",), Weekday(5, 2, 6)),
    Festival("520", ("五二〇",), Solar(5, 20)),
    Festival("children", ("儿童节", "六一"), Solar(6, 1)),
    Festival("father", ("父亲节",), Weekday(6, 3, 6)),
    Festival("618", ("六一八",), Solar(6, 18)),
    Festival("teacher", ("教师节",), Solar(9, 10)),
    Festival("guoqing", ("国庆", "国庆节", "national-day"), Solar(10, 1)),
    Festival("halloween", ("万圣夜", "万圣节前夜"), Solar(10, 31)),
    Festival("double11", ("双十一", "双11"), Solar(11, 11)),
    Festival("thanksgiving", ("感恩节",), Weekday(11, 4, 3)),
    Festival("black-friday", ("黑五", "黑色星期五"), Weekday(11, 4, 3, later=1)),
    Festival("double12", ("双十二", "双12"), Solar(12, 12)),
    Festival("christmas-eve", ("平安夜",), Solar(12, 24)),
    Festival("christmas", ("圣诞", "圣诞节"), Solar(12, 25)),
)
FESTIVALS: Mapping[str, Festival] = MappingProxyType({one.slug: one for one in _FESTIVALS})
"""By slug."""
SOLAR_TERMS: Mapping[str, Festival] = MappingProxyType(
    {slug: Festival(slug, (name,), Term(index)) for index, (slug, name) in enumerate(TERMS)}
)
"""By slug."""


def festival(name: str) -> Festival:
    """The festival of this name. Raises ValueError with the nearest name.

    >>> festival("七夕节").slug
    'qixi'
    """
    return _find(name, FESTIVALS, "festival")


def solar_term(name: str) -> Festival:
    """The solar term of this name. Raises ValueError with the nearest name.

    >>> solar_term("lichun").names
    ('立春',)
    """
    return _find(name, SOLAR_TERMS, "solar term")


def _find(name: str, known: Mapping[str, Festival], what: str) -> Festival:
    for one in known.values():
        if name == one.slug or name in one.names:
            return one
    words = [word for one in known.values() for word in (*one.names, one.slug)]
    hint = did_you_mean(clipped(name), words) or _alike(name, words)
    shown = ", ".join(f"{one.names[0]} ({one.slug})" for one in list(known.values())[:3])
    raise ValueError(f"unknown {what} {clipped(name)!r}{hint or f'; known are {shown} and others'}")


def _alike(name: str, words: list[str]) -> str:
    """Names of two characters are too short for the usual measure: one in common will do."""
    same = [word for word in words if len(word) == len(name) == 2 and set(word) & set(name)]
    return f"; did you mean {' or '.join(map(repr, same[:3]))}?" if same else ""
