"""Where customers live: province and city as given, else as their address begins, in short names; and their zone.

`place` fills the temporary table `placed`, one row per customer. What the files give is believed; only its spelling is
made one (`广东省` is 广东). An address is read from its beginning alone: a street may be called 上海路 anywhere.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    null,
    or_,
    select,
)

from engine.audience.home import zone_of_province
from engine.definitions.regions import (
    city_spellings,
    province_spellings,
    provinces,
    zones,
)
from engine.store.tables import customers, orders, zone_offsets
from engine.store.temporary import drop, is_there, make, make_of
from engine.store.types import BigId, epoch_seconds
from engine.store.zones import ensure_zones

_metadata = MetaData()
placed = Table(
    "placed", MetaData(),
    Column("customer_id", BigId, primary_key=True, autoincrement=False),
    Column("province", Text),
    Column("city", Text),
    Column("zone", Text),
    Column("seconds", BigId),  # ahead of UTC, where that never changed since the first order
    prefixes=["TEMPORARY"],
)  # fmt: skip
_provinces = Table(
    "known_provinces", _metadata,
    Column("beginning", Text, primary_key=True), Column("name", Text),
    Column("first", Text), Column("second", Text), Column("third", Text),
    Column("is_city", BigId),
    prefixes=["TEMPORARY"],
)  # fmt: skip
_cities = Table(
    "known_cities", _metadata,
    Column("beginning", Text, primary_key=True),
    Column("province", Text, primary_key=True), Column("name", Text, primary_key=True),
    Column("full", Text),
    prefixes=["TEMPORARY"],
)  # fmt: skip
_spellings = Table(
    "known_spellings", _metadata,
    Column("kind", Text, primary_key=True), Column("spelling", Text, primary_key=True),
    Column("province", Text), Column("city", Text),
    prefixes=["TEMPORARY"],
)  # fmt: skip
_UNTIL: BindParameter[int] = bindparam("until", type_=BigId)
_ROADS = ("路", "街", "道")
_BLANKS = ("\u3000", ",", "，")


def place(connection: Connection, shop: str, now: datetime) -> None:
    """Fill `placed` for all customers; `shop` is the shop's zone."""
    know_places(connection, shop, None)
    make_of(connection, placed, places(shop, None), moment_of_places(now))


def know_places(connection: Connection, shop: str, chosen: Select[Any] | None) -> None:
    """Lay down what `places` needs: the names, and the clocks of these customers' zones."""
    _lay_down_names(connection)
    named = select(customers.c.timezone).distinct()
    if chosen is not None:
        named = named.where(customers.c.id.in_(chosen))
    there = {zone for zone in connection.execute(named).scalars() if zone}
    ensure_zones(connection, {*there, *zones(), shop})


def forget(connection: Connection) -> None:
    """Drop what `place` made, but for the names."""
    drop(connection, placed)


def _lay_down_names(connection: Connection) -> None:
    """Once for a connection: they never change, and were half of the work for a single customer on PostgreSQL."""
    if is_there(connection, _spellings):
        return
    make(connection, _provinces, _cities, _spellings)
    for table, rows in zip((_provinces, _cities, _spellings), _rows_of_names(), strict=True):
        connection.execute(insert(table), rows)


@cache
def _rows_of_names() -> tuple[list[dict[str, Any]], ...]:
    """The rows of provinces, cities and spellings."""
    known = provinces().values()
    of_provinces = [
        dict(zip(("first", "second", "third"), (*one.spellings[:-1], None, None), strict=False))
        | {"beginning": one.name[:2], "name": one.name, "is_city": int(one.is_city)}
        for one in known
    ]  # fmt: skip
    of_cities = [
        {"province": one.name, "name": city, "full": full, "beginning": city[:2]}
        for one in known
        for city, full in one.cities.items()
    ]
    names = province_spellings()
    rows: list[dict[str, Any]] = [
        {"kind": "province", "spelling": spelling, "province": name, "city": None}
        for spelling, name in names.items()
    ]
    rows += [
        {"kind": "city", "spelling": spelling, "province": found[0][0], "city": found[0][1]}
        for spelling, found in city_spellings().items()
        # 海南 alone is the province, not the prefecture in Qinghai.
        if len(found) == 1 and names.get(spelling, found[0][0]) == found[0][0]
    ]
    return of_provinces, of_cities, rows


def moment_of_places(now: datetime) -> dict[str, int]:
    """The parameter of `places`."""
    return {_UNTIL.key: int(now.timestamp())}


@cache
def places(shop: str, chosen: Select[Any] | None) -> Select[Any]:
    """The rows of `placed`. Kept: a province each, to spell it is much of the work for a single customer."""
    home = _homes(_read(_in_province(_written(chosen))))
    zone = func.coalesce(home.c.timezone, zone_of_province(home.c.province), literal(shop, Text))
    steady = _steady()
    return select(
        home.c.customer_id, home.c.province, home.c.city, zone.label("zone"), steady.c.seconds
    ).join(steady, steady.c.zone == zone, isouter=True)


def _written(chosen: Select[Any] | None) -> CTE:
    """What is given, trimmed, and the address with plain blanks, without the country."""
    address: ColumnElement[Any] = customers.c.address
    for blank in _BLANKS:
        address = func.replace(address, blank, " ")
    address = func.trim(address)
    country = func.substr(address, 1, 2) == "中国"
    query = select(
        customers.c.id.label("customer_id"),
        customers.c.timezone,
        func.nullif(func.trim(customers.c.province), "").label("given_province"),
        func.nullif(func.trim(customers.c.city), "").label("given_city"),
        case((country, func.ltrim(func.substr(address, 3))), else_=address).label("address"),
    )
    if chosen is not None:
        query = query.where(customers.c.id.in_(chosen))
    return query.cte("written").prefix_with("MATERIALIZED")


def _in_province(written: CTE) -> CTE:
    """The province that the address begins with, and what follows it (all of it, where there is none)."""
    address, known = written.c.address, _provinces.c
    after = func.substr(address, func.length(known.name) + 1, 2)
    bare = and_(
        _begins(address, known.name),
        func.substr(after, 1, 1) != "市",  # 吉林市 is a city of the province 吉林
        after != "藏族",  # 海南藏族自治州 lies in 青海
        *[func.replace(after, road, "") == after for road in _ROADS],
    )
    length = case(
        *[(_begins(address, spelling), func.length(spelling)) for spelling in _longer()],
        (bare, func.length(known.name)),
    )
    rest = func.ltrim(func.substr(address, length + 1))
    again = case(
        (_begins(rest, known.first), func.ltrim(func.substr(rest, func.length(known.first) + 1))),
        else_=rest,
    )
    query = (
        select(
            *written.c,
            known.name.label("province"),
            known.is_city,
            func.coalesce(again, address).label("rest"),
        )
        .select_from(written)
        .join(
            _provinces,
            and_(
                known.beginning == func.substr(address, 1, 2),
                or_(*[_begins(address, spelling) for spelling in _longer()], bare),
            ),
            isouter=True,
        )
    )
    return query.cte("in_province").prefix_with("MATERIALIZED")


def _read(found: CTE) -> CTE:
    """The city as well. Without a province only a city that is called one counts: 中山路 is a road."""
    rest, known = found.c.rest, _cities.c
    after = func.substr(rest, func.length(known.name) + 1, 2)
    is_called = or_(_begins(rest, known.full), _begins(rest, known.name + "市"))
    is_no_road = and_(*[func.replace(after, road, "") == after for road in _ROADS])
    city = case((found.c.is_city == 1, found.c.province), else_=known.name)
    query = (
        select(
            *[
                found.c[name]
                for name in ("customer_id", "timezone", "given_province", "given_city")
            ],
            func.coalesce(found.c.province, known.province).label("province"),
            city.label("city"),
        )
        .select_from(found)
        .join(
            _cities,
            and_(
                known.beginning == func.substr(rest, 1, 2),
                _begins(rest, known.name),
                or_(
                    and_(found.c.province == known.province, or_(is_called, is_no_road)),
                    and_(found.c.province.is_(None), is_called),
                ),
            ),
            isouter=True,
        )
    )
    return query.cte("read").prefix_with("MATERIALIZED")


def _homes(read: CTE) -> CTE:
    """What is given goes before what was read; both in short names where they are known."""
    by_province, by_city = _spellings.alias("by_province"), _spellings.alias("by_city")
    province = case(
        (
            read.c.given_province.is_not(None),
            func.coalesce(by_province.c.province, read.c.given_province),
        ),
        (read.c.given_city.is_not(None), func.coalesce(by_city.c.province, read.c.province)),
        else_=read.c.province,
    )
    agrees = or_(read.c.given_province.is_(None), by_province.c.province == read.c.province)
    is_city = by_province.c.province.in_([one.name for one in provinces().values() if one.is_city])
    city = case(
        (read.c.given_city.is_not(None), func.coalesce(by_city.c.city, read.c.given_city)),
        (agrees, read.c.city),
        (is_city, by_province.c.province),
        else_=null(),
    )
    query = (
        select(read.c.customer_id, read.c.timezone, province.label("province"), city.label("city"))
        .select_from(read)
        .join(
            by_province,
            and_(by_province.c.kind == "province", by_province.c.spelling == read.c.given_province),
            isouter=True,
        )
        .join(
            by_city,
            and_(by_city.c.kind == "city", by_city.c.spelling == read.c.given_city),
            isouter=True,
        )
    )
    return query.cte("homes").prefix_with("MATERIALIZED")


def _steady() -> Any:
    """The zones whose clocks were never changed since the shop's first order: most are, and need no look per order."""
    first = select(func.min(orders.c.placed_at)).scalar_subquery()
    return (
        select(zone_offsets.c.zone, func.min(zone_offsets.c.seconds).label("seconds"))
        .where(
            zone_offsets.c.to_epoch > func.coalesce(epoch_seconds(first), 0),
            zone_offsets.c.from_epoch <= _UNTIL,
        )
        .group_by(zone_offsets.c.zone)
        .having(func.count() == 1)
        .subquery("steady")
    )


def _longer() -> tuple[ColumnElement[Any], ...]:
    return (_provinces.c.first, _provinces.c.second, _provinces.c.third)


def _begins(text: ColumnElement[Any], word: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.substr(text, 1, func.length(word)) == word
