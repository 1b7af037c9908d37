"""What customers do is recorded; a withdrawal counts at once; machines stand in no rate."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select

from engine.customers.consent import grant, permissions, record_imported
from engine.definitions.policy import Policy
from engine.insight.figures import DefinitionReport
from engine.insight.funnel import report
from engine.insight.report import as_json, as_rows, report_page
from engine.store.session import Store
from engine.store.tables import Engagement, consents, customers, engagements, suppressions
from engine.tokens import address_hash
from engine.tracking.events import Hit, Recorded, record
from engine.tracking.optout import Subscriber, find_subscriber, unsubscribe
from engine.tracking.scanners import Visit
from tests.mailing import (
    NOW,
    SENT,
    SETTINGS,
    add_customer,
    add_delivery,
    add_link,
    add_run,
    sent_message,
)

PERSON = Visit("GET", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko Firefox/140.0", "text/html")
MACHINE = Visit("GET", "curl/8", "*/*")
OPENED, CLICKED, VIEWED = Engagement.OPENED, Engagement.CLICKED, Engagement.VIEWED
CLASSES = ("marketing", "care", "transactional")
POLICY = Policy(unknown_consent={(c, k): True for c in ("email", "sms") for k in CLASSES})  # type: ignore[misc]


@pytest.fixture
def connection(store: Store) -> Iterator[Connection]:
    with store.write() as opened:
        yield opened


def click(delivery: str, link: int = 1, seconds: float = 0, **more: Any) -> Hit:
    values = {"visit": PERSON, "sealed": None} | more
    at = NOW + timedelta(seconds=seconds)
    return Hit(kind=CLICKED, delivery=delivery, at=at, link=link, **values)


def look(delivery: str, kind: Engagement = OPENED, visit: Visit = PERSON) -> Hit:
    return Hit(kind=kind, delivery=delivery, at=NOW, visit=visit)


def kept(connection: Connection) -> list[tuple[Any, ...]]:
    table = engagements.c
    rows = connection.execute(select(table.kind, table.link, table.scanner).order_by(table.id))
    return [tuple(row) for row in rows]


def test_every_open_click_and_view_is_kept(connection: Connection) -> None:
    delivery = sent_message(connection)
    hits = [
        look(delivery),
        look(delivery),
        click(delivery),
        click(delivery, seconds=9),
        look(delivery, VIEWED),
    ]
    answers = record(connection, hits)
    coats = "https://shop.example/coats?from=mail"
    assert [answer.target if answer else "gone" for answer in answers] == [
        None,
        None,
        coats,
        coats,
        None,
    ]
    assert kept(connection) == [
        ("opened", None, None), ("opened", None, None), ("clicked", 1, None), ("clicked", 1, None),
        ("viewed", None, None),
    ]  # fmt: skip


def test_of_an_unknown_delivery_or_link_nothing_is_kept(connection: Connection) -> None:
    delivery = sent_message(connection)
    assert (
        record(connection, [look("f" * 20), click("f" * 20), click(delivery, link=9)]) == [None] * 3
    )
    assert kept(connection) == []


def test_a_personal_link_leads_to_its_sealed_target_and_nowhere_without_one(
    connection: Connection,
) -> None:
    delivery = sent_message(connection)
    mine = "https://shop.example/orders/7"
    answers = record(
        connection,
        [click(delivery, 3, sealed=mine), click(delivery, 3), click(delivery, 1, sealed=mine)],
    )
    assert answers[0] == Recorded(mine, None)
    assert answers[1] is None
    assert answers[2] is not None
    assert answers[2].target == "https://shop.example/coats?from=mail"


def test_a_machine_is_kept_with_the_reason_and_its_name_and_a_person_without(
    connection: Connection,
) -> None:
    delivery = sent_message(connection)
    record(connection, [click(delivery, visit=MACHINE), click(delivery, seconds=60)])
    rows = connection.execute(
        select(engagements.c.scanner, engagements.c.data).order_by(engagements.c.id)
    )
    assert [tuple(row) for row in rows] == [("robot", {"agent": "curl/8"}), (None, {})]


def test_a_click_before_the_message_was_accepted_is_a_machines(connection: Connection) -> None:
    run = add_run(connection)
    add_link(connection, 1, "https://shop.example/")
    sending = add_delivery(
        connection,
        run,
        add_customer(connection),
        state="sending",
        sent_at=None,
        first_attempt_at=NOW,
    )
    record(connection, [click(sending, seconds=0.5)])
    assert kept(connection) == [("clicked", 1, "too soon after sending")]


def test_a_burst_is_flagged_together_with_the_clicks_that_came_before_it_was_seen(
    store: Store,
) -> None:
    with store.write() as connection:
        delivery = sent_message(connection)
        other = add_delivery(connection, 1, add_customer(connection, "2"), anchor="at:y")
        add_link(connection, 4, "https://shop.example/hats")
    for number, link in enumerate((1, 2, 4)):  # one transaction each, as from three requests
        with store.write() as connection:
            record(
                connection,
                [
                    click(delivery, link, seconds=number * 0.3),
                    click(other, 1, seconds=number * 0.3),
                ],
            )
    with store.write() as connection:
        record(connection, [click(delivery, 1, seconds=300)])
        flags = connection.execute(
            select(engagements.c.link, engagements.c.scanner).where(engagements.c.delivery_id == 1)
            .order_by(engagements.c.id)
        ).all()  # fmt: skip
        assert [row.scanner for row in flags] == ["burst: many links at once"] * 3 + [None]
        others = select(engagements.c.scanner).where(engagements.c.delivery_id == 2)
        assert set(connection.execute(others).scalars()) == {None}


def test_a_hostile_user_agent_is_kept_as_printable_text(connection: Connection) -> None:
    delivery = sent_message(connection)
    nasty = "curl \x00\x1b[31m\ud800" + "x" * 5000
    record(connection, [click(delivery, visit=Visit("GET", nasty, "*/*"))])
    data = connection.execute(select(engagements.c.data)).scalar_one()
    assert len(data["agent"]) == 200
    assert data["agent"].isprintable()


def leaver(connection: Connection, delivery: str) -> Subscriber:
    found = find_subscriber(connection, delivery)
    assert found is not None
    return found


def leave(connection: Connection, delivery: str, *classes: Any) -> frozenset[str]:
    chosen = classes or ("marketing", "care")
    return unsubscribe(connection, leaver(connection, delivery), chosen, at=NOW, wording="退订")


def allowed(
    connection: Connection, email: str = "mei1@example.com", channel: Any = "email"
) -> set[str]:
    digest = address_hash(SETTINGS.hashing_key(), email)
    wanted: list[Any] = [(digest, channel, name) for name in CLASSES]
    return {
        key[2] for key, found in permissions(connection, POLICY, wanted).items() if found.allowed
    }


def test_unsubscribing_withdraws_marketing_and_care_and_leaves_orders_alone(
    connection: Connection,
) -> None:
    delivery = sent_message(connection)
    assert allowed(connection) == set(CLASSES)
    assert leave(connection, delivery) == {"marketing", "care"}
    assert allowed(connection) == {"transactional"}
    assert allowed(connection, channel="sms") == set(CLASSES)
    rows = connection.execute(select(consents.c.source, consents.c.wording, consents.c.at)).all()
    assert {tuple(row) for row in rows} == {("person", "退订", NOW)}
    assert connection.execute(select(suppressions)).all() == []


def test_unsubscribing_twice_changes_nothing_more(connection: Connection) -> None:
    delivery = sent_message(connection)
    for _ in range(3):
        leave(connection, delivery)
    assert len(connection.execute(select(consents)).all()) == 2
    assert kept(connection) == [("unsubscribed", None, None)]


def test_transactional_can_never_be_withdrawn(connection: Connection) -> None:
    delivery = sent_message(connection)
    assert leave(connection, delivery, *CLASSES) == {"marketing", "care"}
    assert allowed(connection) == {"transactional"}


def test_one_may_refuse_offers_first_and_care_later(connection: Connection) -> None:
    delivery = sent_message(connection)
    assert leave(connection, delivery, "marketing") == {"marketing"}
    assert allowed(connection) == {"care", "transactional"}
    assert not leaver(connection, delivery).is_out
    assert leave(connection, delivery) == {"marketing", "care"}
    assert leaver(connection, delivery).is_out


def test_a_persons_no_outweighs_an_imported_one_and_a_later_yes(connection: Connection) -> None:
    delivery = sent_message(connection)
    digest = address_hash(SETTINGS.hashing_key(), "mei1@example.com")
    record_imported(connection, {(digest, "email"): False}, at=NOW)
    leave(connection, delivery)
    record_imported(connection, {(digest, "email"): True}, at=NOW)
    assert allowed(connection) == {"transactional"}


def test_the_same_link_works_again_after_the_person_came_back(connection: Connection) -> None:
    delivery = sent_message(connection)
    leave(connection, delivery)
    subscriber = leaver(connection, delivery)
    grant(
        connection, subscriber.address_hash, "email", ["marketing", "care"], at=NOW, source="person"
    )
    assert leaver(connection, delivery).withdrawn == set()
    leave(connection, delivery)
    assert allowed(connection) == {"transactional"}


def test_it_is_the_address_that_got_the_message_that_leaves(connection: Connection) -> None:
    delivery = sent_message(connection)
    old = address_hash(SETTINGS.hashing_key(), "mei1@example.com")
    moved = add_delivery(connection, 1, 1, anchor="at:z", address_hash=old)
    new = address_hash(SETTINGS.hashing_key(), "new@example.com")
    connection.execute(customers.update().values(email="new@example.com", email_hash=new))
    subscriber = leaver(connection, moved)
    assert (subscriber.address_hash, subscriber.address) == (old, None)
    leave(connection, moved)
    assert allowed(connection) == {"transactional"}
    assert allowed(connection, "new@example.com") == set(CLASSES)
    assert leaver(connection, delivery).address == "n•••@example.com"


def test_an_erased_person_has_no_subscription_left(connection: Connection) -> None:
    delivery = sent_message(connection)
    connection.execute(delete(customers))
    assert find_subscriber(connection, delivery) is None


def test_a_text_message_is_left_by_phone(connection: Connection) -> None:
    run = add_run(connection)
    phone = "+8613800138000"
    digest = address_hash(SETTINGS.hashing_key(), phone)
    person = add_customer(connection, phone=phone, phone_hash=digest)
    delivery = add_delivery(connection, run, person, channel="sms")
    assert leaver(connection, delivery).address == "+86•••8000"
    leave(connection, delivery)
    assert allowed(connection, phone, "sms") == {"transactional"}
    assert allowed(connection) == set(CLASSES)


def only(connection: Connection) -> DefinitionReport:
    found = report(connection, None, NOW).definitions
    assert len(found) == 1
    return found[0]


def test_the_report_counts_messages_once_and_machines_apart(connection: Connection) -> None:
    run = add_run(connection)
    add_link(connection, 1, "https://shop.example/coats", label="coats")
    add_link(connection, 2, "https://shop.example/shoes")
    mails = [add_delivery(connection, run, add_customer(connection, str(n))) for n in range(4)]
    for n, (state, reason, put_off) in enumerate(
        [("skipped", "no consent", 2), ("skipped", "expired", 1), ("skipped", "no consent", 0),
         ("failed", "550", 0), ("holdout", None, 0), ("planned", None, 1), ("uncertain", None, 0)]
    ):  # fmt: skip
        add_delivery(
            connection, run, add_customer(connection, f"x{n}"), state=state, reason=reason,
            deferrals=put_off, sent_at=None,
        )  # fmt: skip
    record(connection, [
        look(mails[0]), look(mails[0]), look(mails[1], VIEWED), look(mails[2], visit=Visit("HEAD")),
        click(mails[0]), click(mails[0], seconds=60), click(mails[0], 2, seconds=90),
        click(mails[1], seconds=5), click(mails[3], visit=MACHINE),
    ])  # fmt: skip
    leave(connection, mails[0])
    found = only(connection)
    assert (found.planned, found.holdout, found.sent, found.open) == (10, 1, 4, 1)
    assert (found.failed, found.uncertain, found.deferred) == (1, 1, 3)
    assert found.skipped == {"no consent": 2, "expired": 1}
    assert (found.opened, found.clicked, found.unsubscribed) == (2, 2, 1)
    assert (found.open_rate, found.click_rate, found.unsubscribe_rate) == (0.5, 0.5, 0.25)
    assert found.delivered is None
    assert found.scanners == {"opened": 1, "clicked": 1}
    assert [(one.label, one.people, one.clicks, one.scanners) for one in found.links] == [
        ("coats", 2, 3, 1), (None, 1, 1, 0),
    ]  # fmt: skip
    assert [(hour.opened, hour.clicked) for hour in found.hours] == [(2, 2)]


def test_the_report_parts_channels_and_asks_no_open_rate_of_text_messages(
    connection: Connection,
) -> None:
    run = add_run(connection)
    mail = add_delivery(connection, run, add_customer(connection, "1"))
    add_delivery(connection, run, add_customer(connection, "2"), channel="sms")
    record(connection, [look(mail)])
    found = only(connection)
    assert [(one.channel, one.sent, one.open_rate) for one in found.channels] == [
        ("email", 1, 1.0), ("sms", 1, None),
    ]  # fmt: skip
    assert found.open_rate == 1.0


def test_a_link_of_two_versions_is_one_line(connection: Connection) -> None:
    run = add_run(connection)
    first, second = (
        sent_and_registered(connection, run, "d1", "1"),
        sent_and_registered(connection, run, "d2", "2"),
    )
    record(connection, [click(first), click(second)])
    assert [(one.people, one.clicks) for one in only(connection).links] == [(2, 2)]


def sent_and_registered(connection: Connection, run: int, digest: str, ref: str) -> str:
    add_link(connection, 1, "https://shop.example/", digest=digest)
    return add_delivery(connection, run, add_customer(connection, ref), digest=digest)


def test_what_a_provider_reports_counts_as_delivered_and_bounced(connection: Connection) -> None:
    delivery = sent_message(connection)
    for kind in (Engagement.DELIVERED, Engagement.BOUNCED):
        connection.execute(
            insert(engagements).values(delivery_id=1, kind=kind.value, at=NOW, data={}, dedupe="p1")
        )
    found = only(connection)
    assert (found.delivered, found.bounced, found.bounce_rate) == (1, 1, 1.0)
    assert delivery


def test_the_report_reads_as_json_rows_and_a_page_without_scripts(connection: Connection) -> None:
    delivery = sent_message(connection, name="<script>alert(1)</script>")
    add_link(connection, 7, "https://shop.example/?q=<b>", label="<img src=x>")
    record(connection, [look(delivery), click(delivery, 7)])
    found = report(connection, ["double11"], NOW)
    document = as_json(found)
    assert document["schema_version"] == 1
    assert document["definitions"][0]["rates"]["clicked"] == 1.0
    assert document["definitions"][0]["first_sent_at"] == SENT.isoformat()
    assert as_rows(found)[0]["sent"] == 1
    page = report_page(found, SETTINGS.shop)
    assert "&lt;img src=x&gt;" in page
    assert "<img" not in page
    assert "<script" not in page
    assert "2026-11-10 12:00" in page  # the shop's own zone


def test_a_report_of_nothing_is_a_page_too(connection: Connection) -> None:
    found = report(connection, ["nothing"], NOW)
    assert found.definitions == ()
    assert "还没有可以报告的内容" in report_page(found, SETTINGS.shop)
