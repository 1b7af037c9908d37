"""Who meets a level, and the way from there to a card, its renewal and its end; figures of the trade, both databases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from engine.clock import from_local
from engine.customers.membership.claims import claim
from engine.customers.membership.evaluation import Evaluated, ensure_evaluated, evaluate
from engine.customers.membership.figures import figures, goods, listed
from engine.customers.membership.levels import end_of, expiring, reached
from engine.customers.membership.tasks import finish
from engine.customers.membership.tasks import listed as listed_tasks
from engine.definitions.membership import Goods, Level, Membership, Threshold
from engine.definitions.policy import Grading, Policy
from engine.errors import YanshuError
from engine.store.session import Store
from engine.store.tables import customers, memberships, order_items, orders, products, tasks
from tests.shop import add_customer, add_order, mark_malicious

ZONE = "Asia/Shanghai"
POLICY = Policy(timezone=ZONE, unknown_consent={})
VIP = Level(
    name="VIP",
    threshold=Threshold(orders=3, items=10, amount=Decimal(10_000)),
    discount=Decimal(10),
)
SILVER = Level(name="会员", threshold=Threshold(amount=Decimal(1000)), claim="self")
ONLY_VIP = Membership(levels=(VIP,))
BOTH = Membership(levels=(SILVER, VIP))


def day(text: str, hour: int = 0) -> datetime:
    return from_local(datetime.fromisoformat(text) + timedelta(hours=hour), ZONE)


YEARLY = day("2027-01-01")


def buy(store: Store, ref: str, at: datetime, amount: int, items: int, **more: Any) -> None:
    """An order of `amount` fen with so many items, in two lines where it can be."""
    with store.write() as connection:
        found = connection.execute(select(customers.c.id).where(customers.c.ref == ref)).scalar()
        customer = found or add_customer(connection, ref)
        count = len(connection.execute(select(orders.c.id)).all())
        order = add_order(connection, customer, f"{ref}-{count}", at, amount=amount, **more)
        lines = [1, items - 1] if items > 1 else [items]
        for position, quantity in enumerate(lines, 1):
            connection.execute(
                insert(order_items).values(order_id=order, position=position, quantity=quantity)
            )


def vip(store: Store, ref: str, year: str = "2026", at: datetime | None = None) -> None:
    """Exactly the rule: 3 orders, 10 items, 10,000.00."""
    for amount, items in ((3333_33, 3), (3333_33, 3), (3333_34, 4)):
        buy(store, ref, at or day(f"{year}-06-01"), amount, items)


def ranks(
    store: Store, membership: Membership = ONLY_VIP, until: datetime = YEARLY
) -> dict[str, int]:
    with store.read() as connection:
        found = reached(membership, POLICY, until).subquery()
        rows = connection.execute(
            select(customers.c.ref, found.c.rank).join(found, found.c.customer_id == customers.c.id)
        )
        return {row[0]: row[1] for row in rows}


def run(store: Store, now: datetime, membership: Membership = ONLY_VIP) -> Evaluated:
    with store.write() as connection:
        return evaluate(connection, membership, POLICY, now)


def states(store: Store) -> list[tuple[str, str, str]]:
    with store.read() as connection:
        rows = listed(connection, state="all")
    return [(row["customer_id"], row["level"], row["state"]) for row in rows]


def open_tasks(store: Store) -> list[tuple[str, str]]:
    with store.read() as connection:
        return [(row["kind"], row["customer_id"]) for row in listed_tasks(connection)]


def do(store: Store, kind: str, now: datetime, outcome: Any = "done", who: str = "c") -> list[str]:
    with store.write() as connection:
        (number,) = [
            row["id"] for row in listed_tasks(connection, kind=kind) if row["customer_id"] == who
        ]
        return finish(
            connection, [number], outcome=outcome, note=None, membership=ONLY_VIP, policy=POLICY,
            now=now,
        )  # fmt: skip


def confirm(store: Store, ref: str, now: datetime, membership: Membership = ONLY_VIP) -> Any:
    with store.write() as connection:
        return claim(connection, membership, POLICY, ref, now)


def enrol(store: Store, ref: str, now: datetime) -> None:
    """All the way: called, carded, confirmed."""
    for kind in ("call", "card", "reply"):
        do(store, kind, now, who=ref)


# -- the VIP rule --


def test_the_vip_rule_holds_at_exactly_three_orders_ten_items_and_ten_thousand(
    store: Store,
) -> None:
    vip(store, "exact")
    for ref, lines in {
        "two orders": [(5000_00, 5), (5000_00, 5)],
        "nine items": [(3333_33, 3), (3333_33, 3), (3333_34, 3)],
        "a fen short": [(3333_33, 3), (3333_33, 3), (3333_33, 4)],
    }.items():
        for amount, items in lines:
            buy(store, ref, day("2026-06-01"), amount, items)
    assert ranks(store) == {"exact": 1}


def test_the_year_is_counted_back_on_the_calendar_inclusively(store: Store) -> None:
    vip(store, "first day", at=day("2026-01-01"))
    vip(store, "the day before", at=day("2026-01-01") - timedelta(seconds=1))
    vip(store, "later", at=YEARLY + timedelta(seconds=1))
    assert ranks(store) == {"first day": 1}


@pytest.mark.parametrize("status", ["refunded", "closed", "placed"])
def test_refunded_closed_and_unpaid_orders_do_not_count(store: Store, status: str) -> None:
    buy(store, "c", day("2026-06-01"), 5000_00, 5)
    buy(store, "c", day("2026-06-02"), 5000_00, 5)
    buy(store, "c", day("2026-06-03"), 9000_00, 9, status=status)
    assert ranks(store) == {}
    for counted in ("paid", "shipped", "arrived", "received"):
        buy(store, counted, day("2026-06-01"), 5000_00, 5)
        buy(store, counted, day("2026-06-02"), 5000_00, 5)
        buy(store, counted, day("2026-06-03"), 1, 1, status=counted)
    assert set(ranks(store)) == {"paid", "shipped", "arrived", "received"}


def test_items_of_an_order_without_lines_are_its_quantity_else_one(store: Store) -> None:
    with store.write() as connection:
        for ref, quantities in {"ten": (4, 5, None), "nine": (4, 4, None)}.items():
            customer = add_customer(connection, ref)
            for number, quantity in enumerate(quantities):
                add_order(
                    connection, customer, f"{ref}{number}", day("2026-06-01"), amount=4000_00,
                    quantity=quantity,
                )  # fmt: skip
    assert ranks(store) == {"ten": 1}


def test_the_malicious_meet_no_level(store: Store) -> None:
    for ref, by_tag in (("bad", False), ("rude", True)):
        vip(store, ref)
        with store.write() as connection:
            whose = select(customers.c.id).where(customers.c.ref == ref)
            mark_malicious(connection, connection.execute(whose).scalar_one(), by_tag=by_tag)
    assert ranks(store) == {}


def test_the_highest_level_that_is_met_counts(store: Store) -> None:
    vip(store, "vip")
    buy(store, "silver", day("2026-06-01"), 1000_00, 1)
    buy(store, "short", day("2026-06-01"), 999_99, 1)
    assert ranks(store, BOTH) == {"vip": 2, "silver": 1}


def test_a_seeded_shop_agrees_with_a_loop_in_plain_python(store: Store) -> None:
    random = Random(20261126)
    levels = (
        Level(name="a", threshold=Threshold(orders=2)),
        Level(name="b", threshold=Threshold(orders=3, amount=Decimal(500))),
        Level(name="c", threshold=Threshold(orders=4, amount=Decimal("900.50"), items=12)),
    )
    bought: dict[str, list[tuple[datetime, str, int, int]]] = {}
    statuses = ["paid", "received", "received", "refunded", "closed", "placed"]
    blank = {"currency": "CNY", "attributes": {}}
    with store.write() as connection:
        for number in range(300):
            ref = f"{number:03}"
            customer = add_customer(connection, ref)
            bought[ref] = []
            for _ in range(random.randint(0, 8)):
                at = day("2025-10-01") + timedelta(hours=random.randint(0, 480 * 24))
                one = (at, random.choice(statuses), random.randint(1, 400_00), random.randint(1, 5))
                bought[ref].append(one)
                connection.execute(
                    insert(orders).values(
                        ref=f"{ref}/{len(bought[ref])}", customer_id=customer, placed_at=at,
                        status=one[1], amount=one[2], quantity=one[3], **blank,
                    )
                )  # fmt: skip

    def by_hand(lines: Sequence[tuple[datetime, str, int, int]]) -> int:
        counted = [
            line for line in lines
            if day("2026-01-01") <= line[0] <= YEARLY and line[1] in ("paid", "received")
        ]  # fmt: skip
        count, amount, items = (
            len(counted), sum(line[2] for line in counted), sum(line[3] for line in counted)
        )  # fmt: skip
        if count >= 4 and amount >= 900_50 and items >= 12:
            return 3
        return 2 if count >= 3 and amount >= 500_00 else 1 if count >= 2 else 0

    expected = {ref: by_hand(lines) for ref, lines in bought.items() if by_hand(lines)}
    assert set(expected.values()) == {1, 2, 3}
    assert ranks(store, Membership(levels=levels)) == expected


# -- from the threshold to the card --


def test_the_way_to_a_card_is_call_parcel_and_reply_slip(store: Store) -> None:
    vip(store, "c")
    assert run(store, YEARLY) == Evaluated(eligible=1, tasks=1)
    assert (states(store), open_tasks(store)) == ([("c", "VIP", "eligible")], [("call", "c")])
    assert do(store, "call", day("2027-01-04", 10)) == ["task 1 (call for c): done; next: card"]
    assert (states(store), open_tasks(store)) == ([("c", "VIP", "called")], [("card", "c")])
    do(store, "card", day("2027-01-05", 10))
    assert (states(store), open_tasks(store)) == ([("c", "VIP", "carded")], [("reply", "c")])
    claimed = confirm(store, "c", day("2027-01-20", 15))
    assert claimed.expires_at == day("2028-01-20")
    assert (states(store), open_tasks(store)) == ([("c", "VIP", "active")], [])
    with store.read() as connection:
        row = connection.execute(select(memberships)).one()
    assert (row.evaluated_at, row.called_at) == (YEARLY, day("2027-01-04", 10))
    assert (row.carded_at, row.claimed_at) == (day("2027-01-05", 10), day("2027-01-20", 15))
    assert (row.starts_at, row.expires_at) == (row.claimed_at, claimed.expires_at)


def test_the_reply_slip_may_be_recorded_as_a_task(store: Store) -> None:
    vip(store, "c")
    run(store, YEARLY)
    enrol(store, "c", day("2027-01-20"))
    assert states(store) == [("c", "VIP", "active")]
    with pytest.raises(YanshuError, match="meets no threshold, or has the card"):
        confirm(store, "c", day("2027-01-21"))


def test_nobody_is_a_member_before_the_card_is_claimed(store: Store) -> None:
    vip(store, "c")
    for name, message in (("nobody", "no customer"), ("c", "c: meets no threshold")):
        with pytest.raises(YanshuError, match=message):
            confirm(store, name, YEARLY)
    run(store, YEARLY)
    with pytest.raises(YanshuError, match="c: VIP: the call is not done yet"):
        confirm(store, "c", YEARLY)
    do(store, "call", YEARLY)
    with pytest.raises(YanshuError, match="c: VIP: the card is not on its way yet"):
        confirm(store, "c", YEARLY)
    assert states(store) == [("c", "VIP", "called")]


def test_no_card_without_the_threshold_even_after_the_parcel(store: Store) -> None:
    vip(store, "c")
    run(store, YEARLY)
    do(store, "call", YEARLY)
    do(store, "card", YEARLY)
    with store.write() as connection:
        connection.execute(
            update(orders).where(orders.c.amount == 3333_34).values(status="refunded")
        )
    with pytest.raises(YanshuError, match="does not meet the threshold of 'VIP' any more"):
        confirm(store, "c", day("2027-01-20"))


def test_a_self_claimed_level_needs_no_call(store: Store) -> None:
    buy(store, "c", day("2026-06-01"), 1000_00, 1)
    assert run(store, YEARLY, BOTH) == Evaluated(eligible=1)
    assert open_tasks(store) == []
    assert confirm(store, "c", day("2027-02-01"), BOTH).level == "会员"


def test_evaluating_twice_asks_once(store: Store) -> None:
    vip(store, "c")
    assert run(store, YEARLY) == Evaluated(eligible=1, tasks=1)
    assert run(store, YEARLY + timedelta(hours=1)) == Evaluated()
    do(store, "call", YEARLY)
    assert run(store, YEARLY + timedelta(hours=2)) == Evaluated()
    assert open_tasks(store) == [("card", "c")]


def test_who_declines_is_asked_again_a_year_later(store: Store) -> None:
    vip(store, "c")
    run(store, YEARLY)
    do(store, "call", YEARLY, outcome="declined")
    assert (states(store), open_tasks(store)) == ([("c", "VIP", "declined")], [])
    assert run(store, day("2027-06-01")) == Evaluated()
    vip(store, "c", "2027")
    assert run(store, day("2028-01-01")) == Evaluated(eligible=1, tasks=1)


def test_an_open_call_is_withdrawn_once_the_threshold_is_not_met(store: Store) -> None:
    vip(store, "c")
    run(store, YEARLY)
    assert run(store, day("2028-01-01")) == Evaluated(withdrawn=1)
    assert (states(store), open_tasks(store)) == ([("c", "VIP", "withdrawn")], [])


def test_a_done_task_cannot_be_done_again_and_several_are_done_together_or_not_at_all(
    store: Store,
) -> None:
    for ref in ("a", "b"):
        vip(store, ref)
    run(store, YEARLY)
    asked: dict[str, Any] = {
        "outcome": "done", "note": "很高兴", "membership": ONLY_VIP, "policy": POLICY, "now": YEARLY,
    }  # fmt: skip
    with pytest.raises(YanshuError, match="no task 99"), store.write() as connection:
        finish(connection, [1, 99], **asked)
    assert {row[2] for row in states(store)} == {"eligible"}
    with store.write() as connection:
        finish(connection, [1, 2], **asked)
    with pytest.raises(YanshuError, match="task 1 is done already"), store.write() as connection:
        finish(connection, [1], **asked)
    with store.read() as connection:
        done = listed_tasks(connection, state="done")
    assert [row["data"]["note"] for row in done] == ["很高兴", "很高兴"]
    assert {row[2] for row in states(store)} == {"called"}


def test_a_task_of_something_else_is_simply_done(store: Store) -> None:
    with store.write() as connection:
        customer = add_customer(connection, "c")
        connection.execute(
            insert(tasks).values(
                customer_id=customer, kind="gift", state="open", data={}, created_at=YEARLY
            )
        )
    assert do(store, "gift", YEARLY) == ["task 1 (gift for c): done"]


# -- a year later --


def member(store: Store, claimed: datetime) -> None:
    vip(store, "c")
    run(store, YEARLY)
    enrol(store, "c", claimed)


def test_a_card_is_renewed_in_its_last_week_for_who_meets_the_threshold_again(
    store: Store,
) -> None:
    member(store, day("2027-03-10", 12))
    vip(store, "c", "2027")
    early, in_time = day("2028-03-02"), day("2028-03-03")
    assert run(store, early).renewed == 0
    assert run(store, in_time) == Evaluated(renewed=1)
    assert run(store, in_time) == Evaluated()
    assert states(store) == [("c", "VIP", "active"), ("c", "VIP", "active")]
    with store.read() as connection:
        old, new = connection.execute(select(memberships).order_by(memberships.c.id)).all()
    assert (old.expires_at, new.starts_at, new.expires_at) == (
        day("2028-03-10"), day("2028-03-10"), day("2029-03-10")
    )  # fmt: skip
    assert new.renews_id == old.id
    assert run(store, day("2028-03-10")) == Evaluated()
    assert states(store) == [("c", "VIP", "renewed"), ("c", "VIP", "active")]


def test_a_card_lapses_at_its_end_and_not_before(store: Store) -> None:
    member(store, day("2027-03-10", 12))
    assert run(store, day("2028-03-10") - timedelta(seconds=1)) == Evaluated()
    assert run(store, day("2028-03-10")) == Evaluated(lapsed=1)
    assert states(store) == [("c", "VIP", "lapsed")]


def test_an_order_on_the_last_day_still_renews_one_after_the_end_does_not(store: Store) -> None:
    for ref in ("last day", "too late"):
        vip(store, ref)
    run(store, YEARLY)
    for ref in ("last day", "too late"):
        enrol(store, ref, day("2027-03-10", 12))
    vip(store, "last day", at=day("2028-03-09", 23))
    vip(store, "too late", at=day("2028-03-10", 1))
    # The scheduler was down over the end: the evaluation is still that of the end.
    assert run(store, day("2028-03-12")) == Evaluated(renewed=1, lapsed=1, eligible=1, tasks=1)
    assert states(store) == [
        ("last day", "VIP", "renewed"), ("last day", "VIP", "active"),
        ("too late", "VIP", "lapsed"), ("too late", "VIP", "eligible"),
    ]  # fmt: skip


def test_a_card_that_is_deserved_year_after_year_holds_on_though_nobody_looked(
    store: Store,
) -> None:
    member(store, day("2027-03-10", 12))
    for year in ("2027", "2028"):
        vip(store, "c", year)
    assert run(store, day("2029-06-01")) == Evaluated(renewed=2)
    assert [state for _, _, state in states(store)] == ["renewed", "renewed", "active"]
    # Nobody bought in 2029: over at its own end, and the card before it stays what it was.
    assert run(store, day("2033-01-01")) == Evaluated(lapsed=1)
    assert [state for _, _, state in states(store)] == ["renewed", "renewed", "lapsed"]


def test_who_meets_only_a_lower_level_keeps_that_one(store: Store) -> None:
    vip(store, "c")
    run(store, YEARLY, BOTH)
    for kind in ("call", "card"):
        do(store, kind, YEARLY)
    confirm(store, "c", day("2027-03-10"), BOTH)
    buy(store, "c", day("2027-06-01"), 1000_00, 1)
    assert run(store, day("2028-03-09"), BOTH) == Evaluated(renewed=1)
    assert states(store) == [("c", "VIP", "active"), ("c", "会员", "active")]


def test_a_higher_card_replaces_the_lower_one_when_it_is_claimed(store: Store) -> None:
    buy(store, "c", day("2026-06-01"), 1000_00, 1)
    run(store, YEARLY, BOTH)
    confirm(store, "c", day("2027-01-02"), BOTH)
    vip(store, "c", "2027")
    assert run(store, day("2027-12-30"), BOTH) == Evaluated(eligible=1, renewed=1, tasks=1)
    for kind in ("call", "card"):
        do(store, kind, day("2027-12-30"))
    now = day("2027-12-31")
    assert confirm(store, "c", now, BOTH).level == "VIP"
    assert states(store) == [
        ("c", "会员", "replaced"), ("c", "会员", "replaced"), ("c", "VIP", "active"),
    ]  # fmt: skip
    with store.read() as connection:
        ends = connection.execute(select(memberships.c.expires_at).order_by(memberships.c.id))
        assert ends.scalars().all() == [now, day("2028-01-02"), day("2028-12-31")]


def test_the_end_is_asked_for_ahead_and_not_of_who_is_renewed(store: Store) -> None:
    for ref in ("renewed", "c"):
        vip(store, ref)
    run(store, YEARLY)
    for ref in ("renewed", "c"):
        enrol(store, ref, day("2027-03-10"))
    vip(store, "renewed", "2027")

    def announced(now: datetime) -> list[str]:
        with store.read() as connection:
            found = expiring(now, now + ONLY_VIP.announce.delta).subquery()
            rows = connection.execute(
                select(customers.c.ref).join(found, found.c.customer_id == customers.c.id)
            )
            return sorted(rows.scalars())

    thirty_days = day("2028-03-10") - timedelta(days=30)
    assert announced(thirty_days - timedelta(seconds=1)) == []
    assert announced(thirty_days) == ["c", "renewed"]
    run(store, day("2028-03-05"))
    assert announced(day("2028-03-05")) == ["c"]
    run(store, day("2028-03-10"))
    assert announced(day("2028-03-10")) == []


def test_a_card_of_a_leap_day_ends_on_the_28th(store: Store) -> None:
    assert end_of(day("2028-02-29", 18), ONLY_VIP, POLICY) == day("2029-02-28")
    assert end_of(day("2027-03-01"), ONLY_VIP, POLICY) == day("2028-03-01")
    two = replace(ONLY_VIP, validity_months=48)
    assert end_of(day("2028-02-29", 18), two, POLICY) == day("2032-02-29")
    vip(store, "c", at=day("2028-02-29"))
    assert ranks(store, until=day("2029-02-28", 23)) == {"c": 1}
    assert ranks(store, until=day("2029-03-01")) == {}


# -- once a year, on the shop's day --


def ensure(store: Store, now: datetime, policy: Policy = POLICY) -> Evaluated | None:
    return ensure_evaluated(store, ONLY_VIP, policy, now)


def test_the_scheduler_evaluates_once_a_year_on_the_shops_day(store: Store) -> None:
    vip(store, "c")
    assert ensure_evaluated(store, None, POLICY, YEARLY) is None
    assert ensure(store, day("2026-11-26", 9)) == Evaluated()  # in force from now on, nobody called
    assert ensure(store, day("2026-11-26", 23)) is None
    assert (
        ensure(store, YEARLY - timedelta(seconds=1)) == Evaluated()
    )  # still 31 December in Shanghai
    assert ensure(store, YEARLY) == Evaluated(eligible=1, tasks=1)
    assert ensure(store, YEARLY + timedelta(hours=3)) is None
    vip(store, "late", at=day("2027-01-01", 1))
    assert ensure(store, day("2027-01-02")) == Evaluated()
    assert ensure(store, day("2027-12-31", 23)) == Evaluated()
    assert ensure(store, day("2028-01-01")) == Evaluated(withdrawn=1, eligible=1, tasks=1)


def test_a_day_that_was_slept_through_is_made_up_for(store: Store) -> None:
    vip(store, "c")
    ensure(store, day("2026-12-20"))
    assert ensure(store, day("2027-01-05")) == Evaluated(eligible=1, tasks=1)


def test_the_first_look_on_the_very_day_evaluates(store: Store) -> None:
    vip(store, "c")
    assert ensure(store, day("2027-01-01", 8)) == Evaluated(eligible=1, tasks=1)


def test_the_shops_day_is_the_policys_and_one_of_29_february_is_kept_on_the_28th(
    store: Store,
) -> None:
    leap = replace(POLICY, grading=Grading(evaluated_on=(2, 29)))
    vip(store, "c")
    ensure(store, day("2027-02-27", 23), leap)
    assert ensure(store, day("2027-02-28"), leap) == Evaluated(eligible=1, tasks=1)
    vip(store, "d", at=day("2028-02-28"))
    assert ensure(store, day("2028-02-28", 23), leap) == Evaluated()
    found = ensure(store, day("2028-02-29"), leap)
    assert found is not None and found.eligible == 1


def test_cards_end_on_their_day_between_two_yearly_evaluations(store: Store) -> None:
    member(store, day("2027-03-10", 12))
    ensure(store, day("2028-03-09", 23))
    assert ensure(store, day("2028-03-10")) == Evaluated(lapsed=1)


def test_a_whole_evaluation_is_a_handful_of_statements(store: Store) -> None:
    with store.write() as connection:
        for number in range(400):
            customer = add_customer(connection, str(number))
            add_order(connection, customer, str(number), day("2026-06-01"), amount=1000_00)
    statements: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
    called = Membership(levels=(replace(SILVER, claim="call"),))
    assert run(store, YEARLY, called) == Evaluated(eligible=400, tasks=400)
    assert len(statements) < 25
    assert Counter(row[2] for row in states(store)) == {"eligible": 400}


# -- what it comes to --


def test_figures_of_a_level_are_members_growth_repeat_rate_and_average_order(
    store: Store,
) -> None:
    for ref in ("a", "b"):
        vip(store, ref)
    buy(store, "silver", day("2026-06-01"), 1000_01, 1)
    buy(store, "silver", day("2026-06-02"), 500_00, 1)
    buy(store, "once", day("2026-06-01"), 1200_00, 1)
    buy(store, "stranger", day("2026-06-01"), 50_00, 1)
    buy(store, "stranger", day("2026-06-01"), 9_00, 1, status="refunded")
    run(store, YEARLY, BOTH)
    for ref in ("a", "b"):
        enrol(store, ref, day("2027-01-10"))
    for ref in ("silver", "once"):
        confirm(store, ref, day("2027-01-20"), BOTH)
    now = day("2027-02-01")
    with store.read() as connection:
        silver, gold, others = figures(connection, BOTH, POLICY, now, day("2027-01-15"))
    assert (silver.level, silver.members, silver.share) == ("会员", 2, 0.4)
    assert (silver.before, silver.growth, silver.growth_rate) == (0, 2, None)
    assert (silver.buyers, silver.repeat_rate, silver.orders) == (2, 0.5, 3)
    assert silver.amount == Decimal("2700.01")
    assert silver.average_order_value == Decimal("900.00")
    assert (gold.level, gold.members, gold.before, gold.growth_rate) == ("VIP", 2, 2, 0.0)
    assert (gold.repeat_rate, gold.average_order_value) == (1.0, Decimal("3333.33"))
    assert (others.level, others.members, others.before) == (None, 1, 3)
    assert (others.repeat_rate, others.average_order_value) == (0.0, Decimal("50.00"))


def test_figures_of_an_empty_shop_divide_by_nothing(store: Store) -> None:
    with store.read() as connection:
        found = figures(connection, BOTH, POLICY, YEARLY, day("2026-01-01"))
    assert [(row.level, row.members, row.repeat_rate) for row in found] == [
        ("会员", 0, None), ("VIP", 0, None), (None, 0, None),
    ]  # fmt: skip
    assert found[0].average_order_value is None


def test_discounts_hold_only_for_goods_that_take_part(store: Store) -> None:
    blank: dict[str, Any] = {"attributes": {}}
    with store.write() as connection:
        for sku, category, brand, price in (
            ("1", "茶", None, 99_90), ("2", "杯", None, 10_00), ("3", "杯", "雁记", 10_05),
            ("4", None, None, 1), ("5", "杯", None, None),
        ):  # fmt: skip
            connection.execute(
                insert(products).values(
                    sku=sku, title=sku, category=category, brand=brand, price=price, **blank
                )
            )
    marked = replace(ONLY_VIP, goods=Goods(skus=("5",), categories=("茶",), brands=("雁记",)))
    with store.read() as connection:
        rows = goods(connection, marked, POLICY)
        assert goods(connection, ONLY_VIP, POLICY) == []
    assert [(row["sku"], row["price"], row["members"]["VIP"]) for row in rows] == [
        ("1", Decimal("99.90"), Decimal("89.91")),
        ("3", Decimal("10.05"), Decimal("9.05")),
        ("5", None, None),
    ]
