"""The gate over real rows: budgets, warm-ups, senders and providers, one's own addresses, exceptions, quiet days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import update

from engine.customers.consent import withdraw
from engine.definitions.policy import WarmUp
from engine.delivery.dispatch import Dispatcher
from engine.gate.decision import Defer, Send, Skip
from engine.gate.outlets import Outlets
from engine.gate.traffic import Traffic
from engine.planning.expansion import expand
from engine.store.session import Store
from engine.store.tables import deliveries
from engine.store.warm_ups import begun_warm_ups
from tests.gate_world import (
    NOW,
    budget,
    campaign,
    cap,
    monthly,
    override,
    quiet,
    quiet_days,
    volume,
)
from tests.integration.test_gate import Shop, reason, until
from tests.shop import add_customer as shop_customer
from tests.shop import put_in_force

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DECEMBER = datetime(2026, 11, 30, 16, tzinfo=UTC)  # its first moment in Shanghai


def test_a_month_is_paid_in_order_of_priority_and_the_rest_waits_for_the_next(store: Store) -> None:
    shop = Shop(store)
    shop.rules(budget=(monthly(60_000),), quiet_hours=(quiet("email", "20:00-08:00"),))
    shop.sent(shop.customer(), NOW - 20 * DAY)  # of October
    shop.sent(shop.customer(), NOW - 9 * DAY, state="failed")
    shop.sent(shop.customer(), NOW - 9 * DAY)  # 0.02 of 0.06
    urgent = campaign("urgent", priority=90)
    notice = campaign("notice", message_class="transactional")
    shop.knows(urgent, notice)
    later: dict[str, Any] = {"not_after": NOW + 30 * DAY}
    ids = [shop.plans(shop.customer(), **later) for _ in range(2)]
    ids += [shop.plans(shop.customer(), urgent), shop.plans(shop.customer(), notice)]
    decisions = shop.asks(*ids, shop.plans(shop.customer()))
    assert [reason(one) for one in decisions] == ["send", "budget", "send", "send", "budget"]
    assert until(decisions[1]) == DECEMBER + 8 * HOUR  # the quiet hours' end
    assert isinstance(decisions[4], Skip)  # it expires in November
    evidence = decisions[4].because.evidence
    assert (evidence["amount"], evidence["spent"], evidence["costs"]) == ("0.06", "0.06", "0.02")
    assert {one["definition"]: one["messages"] for one in evidence["used"]} == {"promo": 2, "urgent": 1}  # fmt: skip


def test_text_messages_cost_their_parts_and_before_that_as_many_as_they_may_have(store: Store) -> None:  # fmt: skip
    shop = Shop(store)
    text = campaign("text", channels=("sms",), budget=budget(1_000_000, monthly=False))
    shop.knows(text)
    of = {"channel": "sms", "address_hash": "p", "email_domain": None}
    shop.sent(shop.customer(), NOW - 400 * DAY, text, parts=2, **of)  # 0.09, and a budget for ever
    shop.sent(shop.customer(), NOW - HOUR, text, state="sending", **of)  # 10 parts: 0.45
    first, second = shop.asks(*(shop.plans(shop.customer(), text) for _ in range(2)))
    assert isinstance(first, Send)  # 0.99 with it
    assert isinstance(second, Skip)
    assert second.because.rule["file"] == "campaigns/text.yaml"
    assert second.because.evidence["spent"] == "0.99"


def test_a_warm_up_goes_on_after_a_restart_where_it_was(store: Store) -> None:
    shop = Shop(store)
    rules = {"volume": (volume(50, "1d", channel="email", warm_up=WarmUp(2, 1)),)}
    shop.rules(**rules)
    shop.traffic = Traffic()
    ids = [shop.plans(shop.customer(), not_after=NOW + 9 * DAY) for _ in range(9)]
    decisions = shop.asks(*ids)
    assert [reason(one) for one in decisions] == ["send"] * 2 + ["volume"] * 7
    assert until(decisions[2]) == datetime(2026, 11, 10, 16, tzinfo=UTC)
    assert isinstance(decisions[2], Defer)
    assert decisions[2].because.evidence["warm_up"] == {"begun": "2026-11-10", "full": 50}
    with store.write() as connection:
        shop.traffic.remember(connection, NOW)
        connection.execute(update(deliveries).where(deliveries.c.id.in_(ids[:2])).values(
            state="sent", channel="email", admitted_at=NOW, send_at=NOW,
        ))  # fmt: skip
    shop.traffic = None
    tomorrow = [reason(one) for one in shop.asks(*ids[2:], now=NOW + DAY)]
    assert tomorrow == ["send"] * 4 + ["volume"] * 3
    shop.rules(volume=(volume(9, "1d", channel="email", warm_up=WarmUp(1, 1)),))  # edited: day two
    assert [reason(one) for one in shop.asks(*ids[2:], now=NOW + DAY)] == ["send"] * 2 + ["volume"] * 5  # fmt: skip


def test_a_cap_of_a_sender_counts_the_emails_from_it_and_one_of_a_provider_its_channel(
    store: Store,
) -> None:
    shop = Shop(store)
    ours, news = campaign("ours"), campaign("news", sender="News <News@shop.example>")
    text = campaign("text", channels=("sms",))
    shop.knows(ours, news, text)
    outlets = Outlets("店铺 <hi@shop.example>", {"email": "relay", "sms": "gateway"})
    shop.rules(volume=(volume(2, "1d", sender="news@shop.example"), volume(1, "1h", provider="gateway")))  # fmt: skip
    shop.sent(shop.customer(), NOW - HOUR / 2, news)
    shop.sent(shop.customer(), NOW - HOUR / 2, ours)
    shop.traffic = Traffic(outlets)
    ids = [shop.plans(shop.customer(), one) for one in (news, news, ours, ours, text, text)]
    assert [reason(one) for one in shop.asks(*ids)] == ["send", "volume", "send", "send", "send", "volume"]  # fmt: skip


def test_ones_own_address_passes_every_cap_and_budget_but_no_rate_and_no_consent(store: Store) -> None:  # fmt: skip
    shop = Shop(store)
    own = {"email": "me@shop.example", "email_hash": "me"}
    full = {
        "frequency": (cap(1, "24h"),),
        "volume": (volume(1, "1d"),),
        "budget": (monthly(20_000),),
        "never_capped": frozenset({"me@shop.example"}),
    }
    shop.rules(**full)
    me, other = shop.customer(**own), shop.customer()
    shop.sent(me, NOW - HOUR, address_hash="me")
    decisions = shop.asks(shop.plans(me), shop.plans(me), shop.plans(other))
    assert [reason(one) for one in decisions] == ["send", "send", "budget"]
    shop.rules(**full | {"volume": (volume(1, "10s"),)})
    assert [reason(one) for one in shop.asks(shop.plans(me), shop.plans(me))] == ["send", "rate"]
    assert reason(shop.asks(shop.plans(shop.customer(**own, malicious=True)))[0]) == "malicious"
    with store.write() as connection:
        withdraw(connection, "me", "email", ["marketing"], at=NOW, source="person")
    assert reason(shop.asks(shop.plans(me))[0]) == "no consent"


def test_an_exception_doubles_a_cap_for_its_days_and_says_that_it_did(store: Store) -> None:
    shop = Shop(store)
    wide = override("double11", date(2026, 11, 10), date(2026, 11, 11), frequency_factor=Decimal(2))
    shop.rules(frequency=(cap(1, "2d"),), calendar=(wide,))
    customer = shop.customer()
    shop.sent(customer, NOW - HOUR)
    long: dict[str, Any] = {"not_after": NOW + 9 * DAY}
    first, second = shop.asks(shop.plans(customer, **long), shop.plans(customer, **long))
    assert isinstance(first, Send)
    # On the 12th the exception is over, and both of the 10th have left the two days.
    assert until(second) == datetime(2026, 11, 11, 16, tzinfo=UTC)
    assert isinstance(second, Defer)
    assert second.because.evidence["max"] == 2
    assert second.because.evidence["override"] == {"name": "double11", "file": "policy.yaml", "line": 40}  # fmt: skip


def test_a_deferral_into_an_exception_is_judged_by_what_holds_then(store: Store) -> None:
    shop = Shop(store)
    wide = override("soon", date(2026, 11, 11), date(2026, 11, 11), frequency_factor=Decimal(2))
    narrow = override("late", date(2026, 11, 12), date(2026, 11, 12), quiet_hours=(quiet("email", "00:00-23:00"),))  # fmt: skip
    shop.rules(frequency=(cap(1, "4d"),), calendar=(wide, narrow))
    customer, text = shop.customer(), shop.customer()
    shop.sent(customer, NOW - HOUR)
    (decision,) = shop.asks(shop.plans(customer))
    assert until(decision) == datetime(2026, 11, 10, 16, tzinfo=UTC)  # a second one fits from there
    shop.rules(frequency=(cap(1, "24h"),), calendar=(narrow,))
    shop.sent(
        text, NOW + 12 * HOUR
    )  # a clock that ran ahead: room again at 00:00 of the 12th, here
    (decision,) = shop.asks(shop.plans(text), now=NOW + 13 * HOUR)
    assert until(decision) == datetime(2026, 11, 12, 15, tzinfo=UTC)


def test_marketing_waits_over_a_quiet_day_and_never_past_its_expiry(store: Store) -> None:
    shop = Shop(store)
    shop.rules(quiet_days=(quiet_days(1, channels=("email",)),))  # a Tuesday
    care = campaign("care", message_class="care")
    shop.knows(care)
    ids = [shop.plans(shop.customer()), shop.plans(shop.customer(), not_after=NOW + HOUR)]
    waits, never, goes = shop.asks(*ids, shop.plans(shop.customer(), care))
    assert until(waits) == datetime(2026, 11, 10, 16, tzinfo=UTC)
    assert [reason(one) for one in (waits, never, goes)] == ["quiet day", "quiet days until after expiry", "send"]  # fmt: skip
    assert isinstance(waits, Defer)
    assert waits.because.rule["text"] == "{weekdays: (1,)}"


def test_overflow_may_be_said_by_each_rule(store: Store) -> None:
    shop = Shop(store)
    shop.rules(
        frequency=(cap(1, "24h", overflow="skip"),),
        volume=(volume(2, "1d"), volume(2, "2h", channel="email", overflow="skip")),
    )
    customer = shop.customer()
    shop.sent(customer, NOW - HOUR)
    decisions = shop.asks(shop.plans(customer), shop.plans(shop.customer()), shop.plans(shop.customer()))  # fmt: skip
    assert [reason(one) for one in decisions] == ["frequency", "send", "volume"]
    assert isinstance(decisions[0], Skip)
    assert isinstance(decisions[2], Skip)
    assert decisions[2].because.evidence["per"] == "2h"


def test_the_day_on_which_a_warm_up_began_is_written_with_the_admission(store: Store) -> None:
    rules = "volume: [{channel: email, max: 50, per: 1d, warm_up: {start: 2, double_every: 1d}}]\n"
    sale = (
        'kind: campaign\nclass: care\nschedule: {at: "2026-11-10T12:00"}\naudience: {all: []}\n'
        "steps: [{email: {subject: Hi, template: hello}}]\n"
    )
    with store.write() as connection:
        catalog = put_in_force(connection, {"campaigns/sale.yaml": sale, "policy.yaml": rules})
        for ref in ("a", "b", "c"):
            shop_customer(connection, ref)
    expand(store, catalog, NOW)
    dispatcher = Dispatcher(store, lambda _: None, "test", frozenset({"email"}))
    assert dispatcher.tick(NOW).admitted == 2
    with store.read() as connection:
        found = begun_warm_ups(connection, catalog.policy.volume)
        assert list(found.values()) == [date(2026, 11, 10)]
    again = Dispatcher(store, lambda _: None, "after a restart", frozenset({"email"}))
    dispatcher.resign()
    assert again.tick(NOW + DAY).admitted == 1
