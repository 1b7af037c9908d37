"""The gate over real rows: each reason for which a delivery goes, waits or never goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from engine.customers.consent import suppress, withdraw
from engine.definitions.campaign import Campaign, Care
from engine.definitions.policy import Policy
from engine.definitions.segment import Condition, Group
from engine.definitions.values import Duration
from engine.errors import Position
from engine.gate.candidates import load_candidates
from engine.gate.decision import Decision, Defer, Send, Skip
from engine.gate.gate import decide
from engine.gate.traffic import Traffic
from engine.store.session import Store
from engine.store.tables import customers, deliveries, orders
from tests.gate_world import (
    NOW,
    FakeCatalog,
    add_contact,
    add_customer,
    add_delivery,
    add_run,
    add_sent,
    campaign,
    cap,
    care,
    policy,
    quiet,
    volume,
)
from tests.shop import mark_malicious

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PROMO = campaign("promo")


class Shop:
    """A database, a catalog, and the gate asked about all that is due."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.catalog = FakeCatalog(policy())
        self.traffic: Traffic | None = None
        with store.write() as connection:
            self.run = add_run(connection)
        self.knows(PROMO)

    def knows(self, *definitions: Campaign | Care) -> None:
        for definition in definitions:
            self.catalog.add(definition)

    def rules(self, **more: Any) -> Policy:
        self.catalog.policy = policy(**more)
        return self.catalog.policy

    def customer(self, **more: Any) -> int:
        with self.store.write() as connection:
            return add_customer(connection, **more)

    def plans(self, customer: int, definition: Campaign | Care = PROMO, **more: Any) -> int:
        with self.store.write() as connection:
            return add_delivery(connection, self.run, customer, definition, **more)

    def sent(
        self, customer: int, at: datetime, definition: Campaign | Care = PROMO, **more: Any
    ) -> int:
        with self.store.write() as connection:
            return add_sent(connection, self.run, customer, definition, at, **more)

    def asks(self, *ids: int, now: datetime = NOW, **more: Any) -> list[Decision]:
        """The decisions, in the order of the ids given."""
        with self.store.read() as connection:
            candidates = load_candidates(connection, ids)
            decided = decide(
                connection, self.catalog, candidates, now, traffic=self.traffic, **more
            )
        by_id = {candidate.id: decision for candidate, decision in decided}
        return [by_id[number] for number in ids]


@pytest.fixture
def shop(store: Store) -> Shop:
    return Shop(store)


def reason(decision: Decision) -> str:
    return "send" if isinstance(decision, Send) else decision.because.reason


def until(decision: Decision) -> datetime:
    assert isinstance(decision, Defer), decision
    return decision.until


def test_what_nothing_holds_goes_now(shop: Shop) -> None:
    customer = shop.customer(email_hash="e", email_domain="qq.com")
    assert shop.asks(shop.plans(customer)) == [Send("email", "e", "qq.com", NOW)]


def test_candidates_come_by_priority_and_then_by_how_long_they_wait(shop: Shop) -> None:
    customer = shop.customer()
    low = shop.plans(customer, priority=1)
    late = shop.plans(customer, priority=9, next_at=NOW)
    early = shop.plans(customer, priority=9, next_at=NOW - HOUR)
    gone = shop.plans(customer, state="cancelled")
    with shop.store.read() as connection:
        found = load_candidates(connection, [gone, low, late, early])
    assert [candidate.id for candidate in found] == [early, late, low]


@pytest.mark.parametrize("by_tag", [False, True], ids=["imported", "tagged"])
def test_nothing_goes_to_a_malicious_customer(shop: Shop, by_tag: bool) -> None:
    notice = campaign("notice", message_class="transactional")
    shop.knows(notice)
    customer = shop.customer()
    with shop.store.write() as connection:
        mark_malicious(connection, customer, by_tag=by_tag)
    assert [reason(one) for one in shop.asks(shop.plans(customer, notice))] == ["malicious"]


def test_what_is_past_its_time_is_skipped_with_the_rule_that_says_so(shop: Shop) -> None:
    stale = shop.plans(shop.customer(), not_after=NOW - timedelta(microseconds=1))
    fresh = shop.plans(shop.customer(), not_after=NOW)
    expired, sent = shop.asks(stale, fresh)
    assert isinstance(expired, Skip)
    assert isinstance(sent, Send)
    assert expired.because.reason == "expired"
    assert expired.because.rule == {
        "file": "campaigns/promo.yaml", "line": 9, "text": "expires: 24h",
    }  # fmt: skip


def test_the_first_channel_that_reaches_and_is_allowed_is_taken(shop: Shop) -> None:
    both = campaign("both", channels=("email", "sms"))
    shop.knows(both)
    no_email = shop.customer(email=None, email_hash=None, email_domain=None, phone_hash="p")
    unsubscribed = shop.customer(email_hash="gone")
    old_phone = shop.customer(email_hash="off", phone_valid_until=NOW - HOUR)
    with shop.store.write() as connection:
        withdraw(connection, "gone", "email", ["marketing"], at=NOW, source="person")
        suppress(connection, "off", "email", "hard_bounce", at=NOW)
    first, second, third = shop.asks(
        shop.plans(no_email, both), shop.plans(unsubscribed, both), shop.plans(old_phone, both)
    )
    assert first == Send("sms", "p", None, NOW)
    assert isinstance(second, Send)
    assert second.channel == "sms"
    assert isinstance(third, Skip)
    assert third.because.reason == "suppressed"
    assert third.because.evidence == {
        "channels": {"email": "suppressed: hard_bounce", "sms": "no address"}
    }


def test_a_channel_that_failed_before_is_not_tried_again(shop: Shop) -> None:
    both = campaign("both", channels=("email", "sms"))
    shop.knows(both)
    (decision,) = shop.asks(shop.plans(shop.customer(), both, channel_index=1))
    assert isinstance(decision, Send)
    assert decision.channel == "sms"


def test_who_withdrew_consent_gets_the_classes_that_were_not_meant(shop: Shop) -> None:
    notice = campaign("notice", message_class="transactional")
    shop.knows(notice)
    customer = shop.customer(email_hash="x")
    with shop.store.write() as connection:
        withdraw(connection, "x", "email", ["marketing", "care"], at=NOW, source="person")
    decisions = shop.asks(shop.plans(customer), shop.plans(customer, notice))
    assert [reason(one) for one in decisions] == ["no consent", "send"]


def test_a_message_waits_for_a_channel_that_is_not_offered(shop: Shop) -> None:
    text = campaign("text", channels=("sms",))
    shop.knows(text)
    (decision,) = shop.asks(shop.plans(shop.customer(), text), channels=frozenset({"email"}))
    assert isinstance(decision, Defer)
    assert not decision.record
    assert decision.because.evidence == {"channels": {"sms": "channel not available"}}


def _condition(name: str, arguments: Any) -> Condition:
    return Condition(name, arguments, Position("campaigns/x.yaml"), "…")


def test_who_left_the_audience_no_longer_qualifies(shop: Shop) -> None:
    hangzhou = campaign("hangzhou", audience=_condition("city", {"in": ["杭州"]}))
    shop.knows(hangzhou)
    stays, leaves = shop.customer(city="杭州"), shop.customer(city="上海")
    decisions = shop.asks(shop.plans(stays, hangzhou), shop.plans(leaves, hangzhou))
    assert [reason(one) for one in decisions] == ["send", "no longer qualifies"]


def test_care_after_an_order_that_was_refunded_since_is_not_sent(shop: Shop) -> None:
    still = Group("not", (_condition("anchor", {"status": ["refunded", "closed"]}),))
    after = care("after-7-days", still=still)
    shop.knows(after)
    customer = shop.customer()
    numbers = {}
    with shop.store.write() as connection:
        for status in ("received", "refunded"):
            row = insert(orders).values(
                ref=status, customer_id=customer, status=status, placed_at=NOW - 9 * DAY,
                amount=100, currency="CNY", attributes={},
            )  # fmt: skip
            numbers[status] = connection.execute(row).inserted_primary_key[0]  # type: ignore[index]
    ids = [shop.plans(customer, after, order_id=numbers[name]) for name in ("received", "refunded")]
    kept, refused = shop.asks(*ids)
    assert isinstance(kept, Send)
    assert isinstance(refused, Skip)
    assert refused.because.reason == "no longer qualifies"
    assert refused.because.rule == {
        "file": "campaigns/after-7-days.yaml", "line": 5, "text": "still: …",
    }  # fmt: skip


def test_a_care_rule_reaches_a_customer_once_in_its_time(shop: Shop) -> None:
    once = care("once", again=Duration(30, "d"))
    shop.knows(once)
    had, long_ago, new = shop.customer(), shop.customer(), shop.customer()
    shop.sent(had, NOW - 30 * DAY + timedelta(seconds=1), once)
    shop.sent(long_ago, NOW - 30 * DAY, once)
    ids = [shop.plans(customer, once) for customer in (had, long_ago, new, new)]
    assert [reason(one) for one in shop.asks(*ids)] == ["again", "send", "send", "again"]


def test_quiet_hours_hold_marketing_in_the_customers_zone_until_they_end(shop: Shop) -> None:
    shop.rules(quiet_hours=(quiet("email", "10:00-13:00"),))
    notice = campaign("notice", message_class="transactional")
    shop.knows(notice)
    here, berlin = shop.customer(), shop.customer(timezone="Europe/Berlin")
    ids = [shop.plans(here), shop.plans(berlin), shop.plans(here, notice)]
    waits, goes, exempt = shop.asks(*ids)
    assert until(waits) == NOW + HOUR
    assert isinstance(waits, Defer)
    assert waits.because.rule == {"file": "policy.yaml", "line": 7, "text": "10:00-13:00"}
    assert waits.because.evidence["timezone"] == "Asia/Shanghai"
    assert isinstance(goes, Send)
    assert isinstance(exempt, Send)


def test_quiet_hours_that_outlast_a_message_end_it_at_once(shop: Shop) -> None:
    shop.rules(quiet_hours=(quiet("email", "10:00-13:00"),))
    hopeless = shop.plans(shop.customer(), not_after=NOW + HOUR - timedelta(seconds=1))
    just = shop.plans(shop.customer(), not_after=NOW + HOUR)
    decisions = shop.asks(hopeless, just)
    assert [reason(one) for one in decisions] == ["quiet hours until after expiry", "quiet hours"]


def test_a_full_window_defers_to_the_moment_it_has_room_with_the_messages_that_fill_it(
    shop: Shop,
) -> None:
    shop.rules(frequency=(cap(2, "24h"),))
    customer = shop.customer()
    shop.sent(customer, NOW - 20 * HOUR, public_id="first")
    shop.sent(customer, NOW - HOUR, public_id="second")
    shop.sent(customer, NOW - HOUR, state="failed")
    (decision,) = shop.asks(shop.plans(customer))
    assert until(decision) == NOW + 4 * HOUR
    assert isinstance(decision, Defer)
    used = decision.because.evidence["used"]
    assert [one["delivery"] for one in used] == ["first", "second"]
    assert used[0]["at"] == (NOW - 20 * HOUR).isoformat()


def test_a_cap_in_days_counts_the_customers_local_days(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "1d"),))
    just_before_midnight = datetime(2026, 11, 9, 15, 59, tzinfo=UTC)
    here, berlin = shop.customer(), shop.customer(timezone="Europe/Berlin")
    shop.sent(here, just_before_midnight)
    shop.sent(berlin, just_before_midnight)
    shop.sent(late := shop.customer(), just_before_midnight + timedelta(minutes=1))
    ids = [shop.plans(customer) for customer in (here, berlin, late)]
    first, second, third = shop.asks(*ids)
    assert isinstance(first, Send)
    assert isinstance(second, Send)
    assert until(third) == datetime(2026, 11, 10, 16, tzinfo=UTC)


def test_every_rule_must_allow_and_only_its_own_class_and_channel_count(shop: Shop) -> None:
    news = campaign("news", message_class="care")
    text = campaign("text", channels=("sms",))
    shop.knows(news, text)
    shop.rules(
        frequency=(
            cap(1, "2h", classes=("marketing",), channels=("email",)),
            cap(2, "4h", classes=("marketing", "care")),
        )
    )
    customer, other = shop.customer(), shop.customer()
    shop.sent(customer, NOW - HOUR)
    shop.sent(other, NOW - HOUR)
    shop.sent(other, NOW - 3 * HOUR, channel="sms", address_hash="p")
    assert isinstance(shop.asks(shop.plans(customer, news))[0], Send)
    assert isinstance(shop.asks(shop.plans(customer, text))[0], Send)
    mail = shop.asks(shop.plans(customer), shop.plans(other, news))
    assert until(mail[0]) == NOW + HOUR
    assert until(mail[1]) == NOW + HOUR


def test_transactional_messages_are_capped_only_where_a_rule_names_them(shop: Shop) -> None:
    notice = campaign("notice", message_class="transactional")
    shop.knows(notice)
    customer = shop.customer()
    shop.sent(customer, NOW - HOUR, notice)
    shop.rules(frequency=(cap(1, "24h"),))
    assert isinstance(shop.asks(shop.plans(customer, notice))[0], Send)
    shop.rules(frequency=(cap(1, "24h", classes=("transactional",)),))
    assert reason(shop.asks(shop.plans(customer, notice))[0]) == "frequency"


def test_a_cap_of_none_lets_nothing_go_even_to_whom_nothing_went_yet(shop: Shop) -> None:
    shop.rules(frequency=(cap(5, "24h"), cap(0, "24h")))
    decision = shop.asks(shop.plans(shop.customer()))[0]
    assert isinstance(decision, Skip)
    assert decision.because.reason == "frequency"


def test_one_batch_counts_by_customer_over_channels_and_by_address_over_customers(
    shop: Shop,
) -> None:
    text = campaign("text", channels=("sms",))
    shop.knows(text)
    shop.rules(frequency=(cap(1, "24h"),))
    mother = shop.customer(email="home@qq.com", email_hash="home")
    father = shop.customer(email="home@qq.com", email_hash="home")
    asked = [
        shop.plans(mother, text, priority=9),
        shop.plans(father, priority=8),
        shop.plans(mother, priority=7),
        shop.plans(shop.customer(), priority=6),
    ]
    assert [reason(one) for one in shop.asks(*asked)] == ["send", "send", "frequency", "send"]


def test_what_was_admitted_in_the_same_batch_counts_at_once(shop: Shop) -> None:
    shop.rules(frequency=(cap(2, "24h"),))
    customer = shop.customer()
    decisions = shop.asks(*(shop.plans(customer, priority=9 - place) for place in range(4)))
    assert [reason(one) for one in decisions] == ["send", "send", "frequency", "frequency"]


def test_a_family_that_shares_an_address_shares_its_caps(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "24h"),))
    home = {"email": "home@qq.com", "email_hash": "home"}
    mother, father, stranger = shop.customer(**home), shop.customer(**home), shop.customer()
    shop.sent(mother, NOW - HOUR, address_hash="home")
    assert until(shop.asks(shop.plans(father))[0]) == NOW + 23 * HOUR
    moved = shop.customer(**home)
    with shop.store.write() as connection:
        values = {"email": "new@qq.com", "email_hash": "new"}
        connection.execute(update(customers).where(customers.c.id == mother).values(**values))
    decision = shop.asks(shop.plans(moved))[0]
    assert until(decision) == NOW + 23 * HOUR
    assert isinstance(decision, Defer)
    assert decision.because.evidence["by"] == "address"
    assert isinstance(shop.asks(shop.plans(stranger))[0], Send)


def test_two_of_a_family_in_one_batch_share_its_caps(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "24h"),))
    home = {"email": "home@qq.com", "email_hash": "home"}
    ids = [shop.plans(shop.customer(**home)) for _ in range(2)]
    assert [reason(one) for one in shop.asks(*ids)] == ["send", "frequency"]


def test_a_family_of_two_zones_is_counted_in_the_days_of_both(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "1d"),))
    home = {"email": "home@qq.com", "email_hash": "home"}
    shanghai = shop.customer(**home)
    new_york = shop.customer(**home, timezone="America/New_York")
    shop.sent(
        shanghai, NOW - 11 * HOUR, address_hash="home"
    )  # 01:00 there, 12:00 the day before here
    (decision,) = shop.asks(shop.plans(new_york), now=NOW + 2 * HOUR)  # 14:00 there, 01:00 here
    assert until(decision) == datetime(2026, 11, 10, 16, tzinfo=UTC)


def test_messages_of_other_systems_count_for_the_customer_and_the_address(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "24h", channels=("email",)),))
    home = {"email": "home@qq.com", "email_hash": "home"}
    mother, father = shop.customer(**home), shop.customer(**home)
    with shop.store.write() as connection:
        add_contact(connection, mother, NOW - 2 * HOUR)
        add_contact(connection, mother, NOW - HOUR, channel="sms")
    for customer in (mother, father):
        (decision,) = shop.asks(shop.plans(customer))
        assert until(decision) == NOW + 22 * HOUR
        assert isinstance(decision, Defer)
        assert decision.because.evidence["used"][0]["delivery"] == "contact"


def test_an_address_that_is_never_capped_goes_through(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "24h"),), never_capped=frozenset({"me@shop.example"}))
    me = shop.customer(email="me@shop.example", email_hash="me")
    shop.sent(me, NOW - HOUR, address_hash="me")
    assert [reason(one) for one in shop.asks(shop.plans(me), shop.plans(me))] == ["send", "send"]


def test_a_higher_priority_to_come_keeps_its_place(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "24h"),))
    sale = campaign("sale", priority=90)
    shop.knows(sale)
    customer = shop.customer()
    shop.plans(customer, sale, next_at=NOW + 5 * HOUR, not_after=NOW + 10 * HOUR)
    (decision,) = shop.asks(shop.plans(customer))
    assert until(decision) == NOW + 34 * HOUR
    assert isinstance(decision, Defer)
    assert [one["priority"] for one in decision.because.evidence["reserved"]] == [90]
    assert decision.because.evidence["used"] == []
    early = shop.plans(customer, sale, next_at=NOW - HOUR, not_after=NOW)
    assert isinstance(shop.asks(early)[0], Send)


def test_equal_and_lower_priorities_keep_no_place(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "24h"),))
    customer = shop.customer()
    shop.plans(customer, next_at=NOW + HOUR)
    shop.plans(customer, priority=10, next_at=NOW + HOUR)
    assert isinstance(shop.asks(shop.plans(customer))[0], Send)


def test_a_place_is_kept_only_where_the_rule_applies(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "24h", channels=("email",)),))
    text = campaign("text", priority=90, channels=("sms",))
    either = campaign("either", priority=90, channels=("sms", "email"))
    shop.knows(text, either)
    free, held, past = shop.customer(), shop.customer(), shop.customer()
    shop.plans(free, text, next_at=NOW + HOUR)
    shop.plans(held, either, next_at=NOW + HOUR)
    shop.plans(past, either, next_at=NOW + HOUR, channel_index=2)
    decisions = shop.asks(shop.plans(free), shop.plans(held), shop.plans(past))
    assert [reason(one) for one in decisions] == ["send", "frequency", "send"]


def test_a_message_that_only_waits_for_others_looks_again_when_they_are_settled(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "4d"),))
    sale = campaign("sale", priority=90)
    shop.knows(sale)
    customer, stuck = shop.customer(), shop.customer()
    shop.plans(customer, sale, next_at=NOW + 5 * HOUR, not_after=NOW + 2 * DAY)
    shop.plans(stuck, sale, next_at=NOW - HOUR, not_after=NOW + 9 * DAY)
    ids = [shop.plans(one, not_after=NOW + 3 * DAY) for one in (customer, stuck)]
    first, second = shop.asks(*ids)
    assert until(first) == NOW + 5 * HOUR
    assert until(second) == NOW + 1.5 * DAY


def test_a_message_that_no_window_will_hold_before_it_expires_is_skipped(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "24h"),))
    customer = shop.customer()
    shop.sent(customer, NOW - HOUR)
    ids = [
        shop.plans(customer, not_after=NOW + 23 * HOUR - timedelta(microseconds=1)),
        shop.plans(customer, not_after=NOW + 23 * HOUR),
    ]
    decisions = shop.asks(*ids)
    assert isinstance(decisions[0], Skip)
    assert decisions[0].because.reason == "frequency"
    assert until(decisions[1]) == NOW + 23 * HOUR


def test_a_deferral_ends_outside_quiet_hours(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "12h"),), quiet_hours=(quiet("email", "20:00-08:00"),))
    customer = shop.customer()
    shop.sent(customer, NOW - HOUR)  # 11:00 local: room again at 23:00
    assert until(shop.asks(shop.plans(customer))[0]) == datetime(2026, 11, 11, tzinfo=UTC)


def test_an_overflow_of_skip_never_waits_for_a_cap(shop: Shop) -> None:
    shop.rules(
        frequency=(cap(1, "24h"),),
        volume=(volume(1, "1d", channel="sms"), volume(1, "10s", channel="sms")),
        overflow="skip",
    )
    text = campaign("text", channels=("sms",))
    shop.knows(text)
    customer = shop.customer()
    shop.sent(customer, NOW - HOUR)
    texts = [shop.plans(shop.customer(), text) for _ in range(2)]
    decisions = shop.asks(shop.plans(customer), *texts)
    assert [reason(one) for one in decisions] == ["frequency", "send", "volume"]
    assert all(isinstance(one, Skip) for one in (decisions[0], decisions[2]))


def test_a_full_day_waits_for_the_shops_next_and_leaves_transactional_alone(shop: Shop) -> None:
    shop.rules(volume=(volume(3, "1d", channel="email"),))
    notice = campaign("notice", message_class="transactional")
    shop.knows(notice)
    shop.sent(shop.customer(), datetime(2026, 11, 9, 15, 59, tzinfo=UTC))  # yesterday there
    shop.sent(shop.customer(), datetime(2026, 11, 9, 16, 0, tzinfo=UTC))
    shop.sent(shop.customer(), NOW - HOUR, notice)
    shop.sent(shop.customer(), NOW - HOUR, state="failed")
    decisions = shop.asks(
        *(shop.plans(shop.customer()) for _ in range(4)), shop.plans(shop.customer(), notice)
    )
    assert [reason(one) for one in decisions] == ["send", "send", "volume", "volume", "send"]
    assert until(decisions[2]) == datetime(2026, 11, 10, 16, tzinfo=UTC)
    assert isinstance(decisions[2], Defer)
    assert decisions[2].record
    assert decisions[2].because.evidence == {"max": 3, "per": "1d", "counted": 3}


def test_a_rate_stamps_two_seconds_ahead_and_spreads_those_who_wait_without_a_record(
    shop: Shop,
) -> None:
    shop.rules(volume=(volume(20, "1s", domain="qq.com"),))
    other = shop.plans(shop.customer(email_domain="163.com"))
    decisions = shop.asks(*(shop.plans(shop.customer()) for _ in range(100)), other)
    stamps = [one.send_at for one in decisions[:-1] if isinstance(one, Send)]
    waits = [one for one in decisions if isinstance(one, Defer)]
    assert stamps == [NOW + place * timedelta(milliseconds=50) for place in range(41)]
    assert len(waits) == 59
    assert not any(one.record for one in waits)
    assert {one.because.reason for one in waits} == {"rate"}
    turns = [one.until for one in waits]
    assert NOW + timedelta(seconds=1) <= turns[0] < turns[-1] < NOW + timedelta(seconds=5)
    assert turns == sorted(turns)
    assert decisions[-1] == Send("email", _hash(shop, other), "163.com", NOW)


def _hash(shop: Shop, delivery: int) -> str:
    with shop.store.read() as connection:
        (candidate,) = load_candidates(connection, [delivery])
    return str(candidate.email_hash)


def test_stamps_in_the_database_go_on_from_where_they_are(shop: Shop) -> None:
    shop.rules(volume=(volume(20, "1s"),))
    shop.sent(shop.customer(), NOW - timedelta(seconds=1), send_at=NOW + timedelta(seconds=1))
    (decision,) = shop.asks(shop.plans(shop.customer()))
    assert isinstance(decision, Send)
    assert decision.send_at == NOW + timedelta(seconds=1, milliseconds=50)


def test_a_queue_for_a_rate_is_remembered_and_a_higher_priority_does_not_stand_behind_it(
    shop: Shop,
) -> None:
    shop.rules(volume=(volume(1, "1s"),))
    shop.traffic = Traffic()
    urgent = campaign("urgent", priority=99)
    shop.knows(urgent)
    first = [until(one) for one in shop.asks(*(shop.plans(shop.customer()) for _ in range(30)))[3:]]
    later = [until(one) for one in shop.asks(*(shop.plans(shop.customer()) for _ in range(30)))]
    assert min(later) > max(first) - timedelta(seconds=1)
    (high,) = shop.asks(shop.plans(shop.customer(), urgent))
    assert until(high) < NOW + timedelta(seconds=4)


def test_traffic_that_is_kept_counts_what_it_admitted_itself(shop: Shop) -> None:
    shop.rules(volume=(volume(3, "1d"), volume(3, "1h")))
    shop.traffic = Traffic()
    decisions = [
        reason(shop.asks(shop.plans(shop.customer()), now=NOW + timedelta(seconds=place))[0])
        for place in range(4)
    ]
    assert decisions == ["send", "send", "send", "volume"]
    # Nothing of it was ever committed: a look into the database finds that there is room after all.
    (afresh,) = shop.asks(shop.plans(shop.customer()), now=NOW + timedelta(seconds=30))
    assert isinstance(afresh, Send)


def test_an_hourly_cap_spreads_those_who_wait_over_the_hours_to_come(shop: Shop) -> None:
    shop.rules(volume=(volume(2, "1h"),))
    for minutes in (50, 10):
        shop.sent(shop.customer(), NOW - timedelta(minutes=minutes))
    decisions = shop.asks(*(shop.plans(shop.customer()) for _ in range(3)))
    moments = [until(one) - NOW for one in decisions]
    assert moments[0] == timedelta(minutes=10, seconds=1)
    assert moments[0] < moments[1] < moments[2] < timedelta(hours=2)


def test_a_stamp_ahead_never_falls_into_quiet_hours(shop: Shop) -> None:
    shop.rules(volume=(volume(1, "1s"),), quiet_hours=(quiet("email", "12:00-13:00"),))
    before = NOW - timedelta(milliseconds=500)
    ids = [shop.plans(shop.customer(), due_at=before, next_at=before) for _ in range(2)]
    goes, waits = shop.asks(*ids, now=before)
    assert isinstance(goes, Send)
    assert until(waits) == NOW + HOUR


def test_messages_that_went_back_to_planned_no_longer_count(shop: Shop) -> None:
    shop.rules(frequency=(cap(1, "24h"),), volume=(volume(1, "1d"),))
    customer = shop.customer()
    number = shop.sent(customer, NOW - HOUR)
    with shop.store.write() as connection:
        values = {"state": "planned", "admitted_at": None, "send_at": None, "address_hash": None}
        connection.execute(update(deliveries).where(deliveries.c.id == number).values(**values))
    assert isinstance(shop.asks(number)[0], Send)
