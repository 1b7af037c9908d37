"""Every trigger of the trade, as the example shop writes it: whom it reaches, on which exact date, and that it is once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete, insert, select, update

from engine.customers.profiles.freshness import refresh
from engine.definitions.loader import read_files
from engine.gate.candidates import load_candidates
from engine.gate.qualification import no_longer_qualified
from engine.planning.expansion import Expanded, expand_for
from engine.planning.expansion import expand as expand_ahead
from engine.store.catalog import Catalog, CatalogReader
from engine.store.session import Store
from engine.store.tables import (
    customers,
    definitions,
    deliveries,
    events,
    grade_changes,
    memberships,
    order_items,
    orders,
    runs,
    tags,
)
from tests.shop import add_customer, add_order, put_in_force

ROOT = Path(__file__).resolve().parents[2]
SHANGHAI = ZoneInfo("Asia/Shanghai")


def expand(store: Store, catalog: Catalog, now: datetime) -> Expanded:
    """A day ahead: the example shop's policy would look further."""
    return expand_ahead(store, catalog, now, timedelta(days=1))


def local(text: str) -> datetime:
    """A moment in the shop's zone."""
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


def in_force(connection: Connection, *kept: str, applied: datetime | None = None) -> Catalog:
    """These definitions of the example shop, with its policy, membership, segments and templates."""
    files = {**read_files(ROOT / "config"), **read_files(ROOT)}
    wanted = {
        path: text
        for path, text in files.items()
        if not path.startswith(("care/", "campaigns/")) or Path(path).stem in kept
    }
    return put_in_force(connection, wanted, applied or datetime(2020, 1, 1, tzinfo=UTC))


def due(store: Store, definition: str) -> list[str]:
    """`anchor ref local-time` of every delivery, in order."""
    with store.read() as connection:
        rows = connection.execute(
            select(deliveries.c.anchor, customers.c.ref, deliveries.c.due_at)
            .join(customers, customers.c.id == deliveries.c.customer_id)
            .where(deliveries.c.definition == definition)
        )
        return sorted(
            f"{row.anchor} {row.ref} {row.due_at.astimezone(SHANGHAI):%Y-%m-%d %H:%M}"
            for row in rows
        )


def born(connection: Connection, ref: str, month: int, day: int, calendar: str, **more: Any) -> int:
    text = f"{more.pop('year', '-')}-{month:02}-{day:02}"
    return add_customer(
        connection, ref, birthday=text, birthday_month=month, birthday_day=day,
        birthday_calendar=calendar, **more,
    )  # fmt: skip


def test_birthdays_are_kept_on_each_customers_own_calendar(store: Store) -> None:
    with store.write() as connection:
        catalog = in_force(connection, "birthday", "birthday-lunar")
        born(connection, "solar", 8, 19, "solar", year=1990)
        born(connection, "sixth", 6, 10, "lunar")  # no year: nobody need know it
        born(connection, "qixi", 7, 7, "lunar", year=1985, timezone="America/New_York")
        born(connection, "thirtieth", 12, 30, "lunar", year=1991)
    # 2025 has the sixth month twice: 06-10 is 2025-07-04, and not again on 2025-08-03.
    for day in ("2025-07-04", "2025-08-03", "2026-08-19", "2026-02-16", "2027-02-05", "2028-01-25"):
        expand(store, catalog, local(f"{day}T08:00"))
        expand(store, catalog, local(f"{day}T08:00"))
    assert due(store, "birthday") == [
        "birthday:2025 sixth 2025-07-04 09:00",
        "birthday:2025 thirtieth 2026-02-16 09:00",  # the year ends with 29 days
        "birthday:2026 qixi 2026-08-19 21:00",  # nine o'clock in New York
        "birthday:2026 solar 2026-08-19 09:00",
        "birthday:2026 thirtieth 2027-02-05 09:00",
        "birthday:2027 thirtieth 2028-01-25 09:00",
    ]
    expand(store, catalog, local("2027-02-02T08:00"))
    expand(store, catalog, local("2026-08-16T08:00"))
    ahead = [
        each for each in due(store, "birthday-lunar") if "qixi" in each or "2027-02-02" in each
    ]
    assert ahead == [
        "birthday:2026 qixi 2026-08-16 21:00",
        "birthday:2026 thirtieth 2027-02-02 09:00",
    ]


def test_anniversaries_come_every_year_on_the_date_where_the_customer_lives(store: Store) -> None:
    with store.write() as connection:
        catalog = in_force(connection, "anniversary-first-order", "anniversary-joining")
        first = add_customer(connection, "first", joined_at=local("2024-05-03T12:00"))
        leap = add_customer(connection, "leap")
        # 23:30 of 28 February in New York is the 29th in the shop's zone, where leap years have it.
        abroad = add_customer(connection, "abroad", timezone="America/New_York")
        add_customer(connection, "never-bought", joined_at=local("2024-05-03T12:00"))
        add_order(connection, first, "F", local("2023-02-28T20:00"))
        add_order(connection, leap, "L", local("2024-02-29T09:00"))
        add_order(connection, abroad, "A", datetime(2024, 2, 29, 4, 30, tzinfo=UTC))
        refresh(connection, catalog.policy, local("2025-02-27T10:00"))
    for day in ("2025-02-28", "2026-02-28", "2028-02-28", "2028-02-29", "2025-05-02"):
        expand(store, catalog, local(f"{day}T11:00"))
    assert due(store, "anniversary-first-order") == [
        "anniversary:first_order:2025 abroad 2025-02-28 23:00",
        "anniversary:first_order:2025 first 2025-02-28 10:00",
        "anniversary:first_order:2025 leap 2025-02-28 10:00",
        "anniversary:first_order:2026 abroad 2026-02-28 23:00",
        "anniversary:first_order:2026 first 2026-02-28 10:00",
        "anniversary:first_order:2026 leap 2026-02-28 10:00",
        "anniversary:first_order:2028 abroad 2028-02-28 23:00",
        "anniversary:first_order:2028 first 2028-02-28 10:00",
        "anniversary:first_order:2028 leap 2028-02-29 10:00",
    ]
    assert due(store, "anniversary-joining") == ["anniversary:joining:2025 first 2025-05-03 10:00"]
    with store.read() as connection:
        seen = {(row.definition, row.occurrence): row.expanded_at for row in connection.execute(select(runs))}  # fmt: skip
    assert seen["anniversary-first-order", "day:2026-02-28"] == local("2026-02-28T11:00")
    assert seen["anniversary-joining", "day:2025-05-03"] == local("2025-05-03T00:00")  # ahead


def test_festivals_and_solar_terms_reach_everybody_once_on_their_own_clock(store: Store) -> None:
    names = (
        "festival-greetings",
        "solar-terms",
        "mid-autumn-gifts",
        "start-of-spring",
        "member-day",
    )
    with store.write() as connection:
        catalog = in_force(connection, *names, applied=local("2026-01-20T10:00"))
        for ref, zone in (("sh", None), ("ny", "America/New_York")):
            someone = add_customer(connection, ref, timezone=zone)
            order = add_order(connection, someone, f"O{ref}", local("2026-01-02T10:00"))
            connection.execute(insert(order_items).values(order_id=order, position=1, category="茶", quantity=1))  # fmt: skip
            add_membership(connection, someone, "会员", "2025-06-01", "2026-12-01")
            tag(connection, someone, "purpose", "gift", local("2025-06-01T10:00"))
        refresh(connection, catalog.policy, local("2026-02-01T10:00"))
    for day in ("2026-01-27", "2026-02-03", "2026-02-16", "2026-02-17", "2026-06-18", "2026-09-15"):
        now = local(f"{day}T20:00")
        with store.write() as connection:
            refresh(connection, catalog.policy, now)
        expand(store, catalog, now)
        expand(store, catalog, now + timedelta(minutes=1))
    assert due(store, "festival-greetings") == [
        "festival:2025-chuxi ny 2026-02-16 22:00",
        "festival:2025-chuxi sh 2026-02-16 09:00",  # found late, and not stale yet
        "festival:2026-duanwu ny 2026-06-19 21:00",
        "festival:2026-duanwu sh 2026-06-19 09:00",
    ]
    assert due(store, "solar-terms") == [
        "solar_term:2026-yushui ny 2026-02-18 21:30",
        "solar_term:2026-yushui sh 2026-02-18 08:30",
    ]
    spring = [each.split()[0] for each in due(store, "start-of-spring")]
    assert spring == ["solar_term:2026-lichun"] * 2
    assert [each.split()[0] for each in due(store, "mid-autumn-gifts")] == ["festival:2026-zhongqiu"] * 2  # fmt: skip
    assert {each.split()[0] for each in due(store, "member-day")} == {"cron:2026-01-28T10:00+08:00"}


def test_an_occurrence_that_had_begun_before_the_file_was_applied_is_not_joined_midway(
    store: Store,
) -> None:
    with store.write() as connection:
        add_customer(connection, "1")
        catalog = in_force(connection, "member-day", applied=local("2026-01-28T10:01"))
        add_membership(connection, 1, "会员", "2025-06-01", "2026-12-01")
    assert expand(store, catalog, local("2026-01-28T10:01")).total == 0
    with store.write() as connection:
        connection.execute(update(definitions).values(applied_at=local("2026-01-20T10:00")))
        catalog = CatalogReader().read(connection)
    assert expand(store, catalog, local("2026-01-28T12:00")).total == 1, "the daemon was down"


def add_membership(connection: Connection, who: int, level: str, start: str, end: str, **more: Any) -> int:  # fmt: skip
    values = {
        "customer_id": who, "level": level, "state": "active",
        "starts_at": local(f"{start}T00:00"), "expires_at": local(f"{end}T00:00"), **more,
    }  # fmt: skip
    made = connection.execute(insert(memberships).values(**values))
    assert made.inserted_primary_key is not None
    return int(made.inserted_primary_key[0])


def test_a_cards_end_is_announced_as_membership_yaml_says_unless_it_is_renewed(
    store: Store,
) -> None:
    with store.write() as connection:
        catalog = in_force(connection, "membership-expires")
        ending, renewed = add_customer(connection, "ending"), add_customer(connection, "renewed")
        one = add_membership(connection, ending, "VIP", "2025-12-01", "2026-12-01")
        two = add_membership(connection, renewed, "VIP", "2025-12-01", "2026-12-01")
    expand(store, catalog, local("2026-10-31T12:00"))
    expand(store, catalog, local("2026-11-01T12:00"))
    assert due(store, "membership-expires") == [
        f"expiry:{one}:2026-12-01 ending 2026-11-01 10:00",
        f"expiry:{two}:2026-12-01 renewed 2026-11-01 10:00",
    ]
    with store.write() as connection:
        add_membership(connection, renewed, "VIP", "2026-12-01", "2027-12-01", renews_id=two)
    assert skipped(store, catalog, local("2026-11-01T12:00")) == ["renewed"]


def test_a_card_of_a_higher_level_starts_a_rule_and_a_renewal_does_not(store: Store) -> None:
    with store.write() as connection:
        catalog = in_force(connection, "membership-vip")
        risen, same, new = (add_customer(connection, ref) for ref in ("risen", "same", "new"))
        for who, before in ((risen, "会员"), (same, "VIP")):
            add_membership(connection, who, before, "2025-11-01", "2026-11-01", state="renewed")
            add_membership(connection, who, "VIP", "2026-11-01", "2027-11-01")
        add_membership(connection, new, "VIP", "2026-11-01", "2027-11-01")
        add_membership(connection, new, "会员", "2026-11-01", "2027-11-01", state="declined")
    expand(store, catalog, local("2026-11-01T12:00"))
    assert [each.split(":")[2] for each in due(store, "membership-vip")] == [
        "VIP risen 2026-11-02 10",
        "VIP new 2026-11-02 10",
    ]


def test_who_falls_from_gold_is_written_to_and_who_rises_is_not(store: Store) -> None:
    now = local("2026-11-02T12:00")
    with store.write() as connection:
        catalog = in_force(connection, "fell-from-gold")
        for ref, before, after in (("fell", "G", "S"), ("lost", "P", None), ("rose", "S", "G"), ("low", "S", "B"), ("among", "P", "G")):  # fmt: skip
            who = add_customer(connection, ref)
            for days in (1, 30):  # the other one is stale
                connection.execute(insert(grade_changes).values(customer_id=who, at=now - timedelta(days=days), before=before, after=after))  # fmt: skip
    expand(store, catalog, now)
    expand(store, catalog, now + timedelta(hours=1))
    assert due(store, "fell-from-gold") == [
        "grade:G>S:2026-11-01 fell 2026-11-02 10:00",
        "grade:P>G:2026-11-01 among 2026-11-02 10:00",
        "grade:P>none:2026-11-01 lost 2026-11-02 10:00",
    ]


def test_an_unpaid_order_is_reminded_of_and_left_alone_once_it_is_paid(store: Store) -> None:
    now = local("2026-11-02T12:00")
    with store.write() as connection:
        catalog = in_force(connection, "unpaid")
        who = add_customer(connection, "1")
        for ref, minutes, status in (("late", 20, "placed"), ("stays", 20, "placed"), ("paid", 20, "paid"), ("stale", 1000, "placed")):  # fmt: skip
            paid = now if status == "paid" else None
            add_order(connection, who, ref, now - timedelta(minutes=minutes), status=status, received_at=None, paid_at=paid)  # fmt: skip
    expand(store, catalog, now)
    assert due(store, "unpaid") == [
        "order:late:unpaid 1 2026-11-02 12:10",
        "order:stays:unpaid 1 2026-11-02 12:10",
    ]
    with store.write() as connection:
        connection.execute(update(orders).where(orders.c.ref == "late").values(status="paid", paid_at=now))  # fmt: skip
    assert skipped(store, catalog, now, by="anchor") == ["order:late:unpaid"]


def test_replenishment_is_due_when_the_measured_cycle_times_the_factor_has_passed(
    store: Store,
) -> None:
    def buy(connection: Connection, who: int, ref: str, day: str, category: str = "咖啡") -> None:
        order = add_order(connection, who, ref, local(f"{day}T15:00"))
        connection.execute(insert(order_items).values(order_id=order, position=1, category=category, quantity=1))  # fmt: skip

    with store.write() as connection:
        catalog = in_force(connection, "replenish-coffee")
        one, two = add_customer(connection, "one"), add_customer(connection, "two")
        buy(connection, one, "A", "2026-08-01")
        buy(connection, one, "B", "2026-08-31")  # a cycle of 30 days, of which 0.9 are 27
        buy(connection, two, "C", "2026-09-01")
        buy(connection, two, "D", "2026-09-01", "家具")
        refresh(connection, catalog.policy, local("2026-09-20T10:00"))
    for day in ("2026-09-26", "2026-09-27", "2026-09-28"):
        expand(store, catalog, local(f"{day}T12:00"))
    assert due(store, "replenish-coffee") == [
        "replenishment:B:咖啡 one 2026-09-27 10:00",
        "replenishment:C:咖啡 two 2026-09-28 10:00",
    ]
    with store.write() as connection:
        buy(connection, two, "E", "2026-09-27")
        refresh(connection, catalog.policy, local("2026-09-28T10:00"))
    assert skipped(store, catalog, local("2026-09-28T10:00")) == ["two"]


def tag(connection: Connection, who: int, dimension: str, value: str, at: datetime) -> None:
    connection.execute(insert(tags).values(customer_id=who, dimension=dimension, value=value, tagged_at=at))  # fmt: skip


def test_a_tag_that_was_put_on_starts_a_rule_unless_it_is_taken_off_again(store: Store) -> None:
    with store.write() as connection:
        catalog = in_force(connection, "tagged-picky")
        for ref, value in (("picky", "picky"), ("off", "picky"), ("calm", "loyal")):
            tag(connection, add_customer(connection, ref), "temper", value, local("2026-11-01T23:30"))  # fmt: skip
    expand(store, catalog, local("2026-11-02T09:00"))
    assert due(store, "tagged-picky") == [
        "tag:temper=picky:2026-11-01 off 2026-11-02 10:00",
        "tag:temper=picky:2026-11-01 picky 2026-11-02 10:00",
    ]
    with store.write() as connection:
        connection.execute(delete(tags).where(tags.c.customer_id.in_(select(customers.c.id).where(customers.c.ref == "off"))))  # fmt: skip
    assert skipped(store, catalog, local("2026-11-02T10:00")) == ["off"]


def test_an_event_that_the_shop_sends_in_starts_a_rule_by_its_data_and_the_customers_region(
    store: Store,
) -> None:
    now = local("2027-03-10T08:00")
    with store.write() as connection:
        catalog = in_force(connection, "damp-in-guangdong")
        for ref, province, state, hours in (("gd", "广东", "damp", 1), ("dry", "广东", "dry", 1), ("zj", "浙江", "damp", 1), ("stale", "广西", "damp", 13)):  # fmt: skip
            who = add_customer(connection, ref, province=province)
            connection.execute(insert(events).values(ref=f"w-{ref}", customer_id=who, kind="weather", at=now - timedelta(hours=hours), data={"state": state}))  # fmt: skip
    assert expand_for(store, catalog, now, [who], timedelta(days=1)).total == 0
    assert expand_for(store, catalog, now, [1, 2, 3], timedelta(days=1)).total == 1
    expand(store, catalog, now)
    assert due(store, "damp-in-guangdong") == ["event:w-gd gd 2027-03-10 07:00"]
    with store.read() as connection:
        found = select(deliveries.c.event_id, events.c.id).join(events, events.c.ref == "w-gd")
        assert [one == two for one, two in connection.execute(found)] == [True]


def test_every_trigger_can_be_asked_of_some_customers_only(store: Store) -> None:
    """As when something about them was pushed."""
    with store.write() as connection:
        names = [path.stem for path in (ROOT / "config" / "care").glob("*.yaml")]
        catalog = in_force(connection, *names)
        someone = add_customer(connection, "1")
    assert expand_for(store, catalog, local("2026-11-02T12:00"), [someone], timedelta(days=40)).total == 0  # fmt: skip


def test_much_that_is_due_at_once_lands_in_bounded_pieces(store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr("engine.planning.rows.CHUNK", 3)
    with store.write() as connection:
        catalog = in_force(connection, "tagged-picky")
        for number in range(10):
            tag(connection, add_customer(connection, f"{number}"), "temper", "picky", local("2026-11-01T12:00"))  # fmt: skip
    assert expand(store, catalog, local("2026-11-02T09:00")).total == 10
    assert expand(store, catalog, local("2026-11-02T09:00")).total == 0
    with store.read() as connection:
        assert len(connection.execute(select(runs.c.id)).all()) == 1


def skipped(store: Store, catalog: Catalog, now: datetime, by: str = "ref") -> list[str]:
    """Whom the gate would leave out, since what started their message is over."""
    with store.read() as connection:
        candidates = load_candidates(connection, connection.execute(select(deliveries.c.id)).scalars())  # fmt: skip
        versions = {version.digest: version for version in catalog.current.values()}
        skips = no_longer_qualified(connection, catalog.policy, candidates, versions, now)
        refs = {
            row.id: row.ref for row in connection.execute(select(customers.c.id, customers.c.ref))
        }
    left = [one for one in candidates if one.id in skips]
    return sorted(one.anchor if by == "anchor" else refs[one.customer_id] for one in left)
