"""`explain`: why something was sent, put off or not sent, with the rule as written and the evidence."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from engine.cli.output import document
from engine.errors import YanshuError
from engine.insight.explain import Explanation, explain_customer, explain_delivery
from engine.settings import Settings
from engine.store.session import Store
from engine.store.tables import (
    State,
    attempts,
    consents,
    customers,
    decisions,
    definitions,
    deliveries,
    engagements,
    links,
    pauses,
    runs,
    suppressions,
)
from engine.tokens import address_hash

NOW = datetime(2026, 11, 9, 2, tzinfo=UTC)
SETTINGS = Settings(address_key="k")
CARE = """\
kind: care
class: care
trigger: {event: order.received, delay: 7d, time: "10:00"}
steps:
  - sms: {template: thanks}
"""
RULE = {"file": "policy.yaml", "line": 12, "text": "{class: marketing, max: 2, per: 4d}"}


def lay_down(connection: Connection) -> None:
    """Customer 00001 with an email address, a care rule in force, and its run."""
    connection.execute(
        insert(customers).values(
            id=1,
            ref="00001",
            name="李雷",
            email="li@example.com",
            email_hash=address_hash("k", "li@example.com"),
            attributes={},
            created_at=NOW,
            updated_at=NOW,
        )
    )
    connection.execute(
        insert(definitions).values(
            kind="care",
            name="after-7-days",
            digest="d1",
            path="care/after-7-days.yaml",
            files={"care/after-7-days.yaml": CARE, "templates/sms/thanks.txt.j2": "谢谢"},
            current=True,
            applied_at=NOW,
            applied_by="mei",
        )
    )
    connection.execute(
        insert(runs).values(
            id=1,
            definition="after-7-days",
            occurrence="day:2026-11-09",
            digest="d1",
            priority=50,
            starts_at=NOW,
            state="open",
            created_at=NOW,
        )
    )


def plan_one(connection: Connection, number: int = 1, **more: Any) -> None:
    values = {
        "id": number,
        "public_id": f"{number:020x}",
        "run_id": 1,
        "definition": "after-7-days",
        "step": "main",
        "customer_id": 1,
        "anchor": f"order:{number}:received",
        "digest": "d1",
        "class": "care",
        "priority": 50,
        "state": State.PLANNED.value,
        "due_at": NOW,
        "next_at": NOW,
        "not_after": NOW + timedelta(days=2),
        "deferrals": 0,
        "channel_index": 0,
        "attempts": 0,
        "created_at": NOW - timedelta(hours=1),
    }
    connection.execute(insert(deliveries).values(**{**values, **more}))


def of_customer(store: Store, **who: str) -> Explanation:
    with store.read() as connection:
        return explain_customer(connection, settings=SETTINGS, now=NOW, **(who or {"ref": "00001"}))


def test_a_deferral_shows_its_rule_and_evidence(store: Store) -> None:
    with store.write() as connection:
        lay_down(connection)
        plan_one(connection, next_at=NOW + timedelta(days=1), deferrals=1, reason="frequency")
        connection.execute(
            insert(decisions).values(
                delivery_id=1,
                at=NOW,
                verdict="defer",
                reason="frequency",
                until=NOW + timedelta(days=1),
                rule=RULE,
                evidence={"had": 2, "window": "2026-11-06..2026-11-09"},
            )
        )
    found = of_customer(store)
    (decision,) = json.loads(document(found.as_json()))["decisions"]
    assert decision["verdict"] == "defer"
    assert decision["definition"] == "after-7-days"
    assert decision["step"] == "main"
    assert decision["rule"] == RULE
    assert decision["evidence"]["had"] == 2
    assert decision["at"] == "2026-11-09T02:00:00+00:00"
    text = found.as_text("Asia/Shanghai")
    assert "policy.yaml:12  {class: marketing, max: 2, per: 4d}" in text
    assert "defer until 2026-11-10 10:00:00: frequency" in text


def test_what_was_admitted_has_a_verdict_that_names_the_line_that_called_for_it(
    store: Store,
) -> None:
    with store.write() as connection:
        lay_down(connection)
        plan_one(
            connection,
            state=State.SENT.value,
            channel="sms",
            admitted_at=NOW,
            send_at=NOW + timedelta(seconds=1),
            sent_at=NOW + timedelta(seconds=2),
            reply="OK",
        )
    (verdict,) = of_customer(store).decisions
    assert verdict.verdict == "send"
    assert verdict.rule == {
        "file": "care/after-7-days.yaml",
        "line": 3,
        "text": 'trigger: {event: order.received, delay: 7d, time: "10:00"}',
    }
    assert verdict.evidence["channel"] == "sms"
    assert verdict.evidence["sent_at"] == NOW + timedelta(seconds=2)


@pytest.mark.parametrize("state", [State.CANCELLED, State.HOLDOUT, State.SKIPPED])
def test_every_non_send_has_a_reason_even_without_a_decision_of_the_gate(
    store: Store, state: State
) -> None:
    with store.write() as connection:
        lay_down(connection)
        plan_one(connection, state=state.value, reason="operator", ended_at=NOW)
    (verdict,) = of_customer(store).decisions
    assert (verdict.verdict, verdict.reason, verdict.at) == ("skip", "operator", NOW)


def test_a_skip_of_the_gate_is_not_told_twice(store: Store) -> None:
    with store.write() as connection:
        lay_down(connection)
        plan_one(connection, state=State.SKIPPED.value, reason="no consent", ended_at=NOW)
        connection.execute(
            insert(decisions).values(
                delivery_id=1, at=NOW, verdict="skip", reason="no consent", rule=RULE, evidence={}
            )
        )
    assert [verdict.reason for verdict in of_customer(store).decisions] == ["no consent"]


def test_decisions_of_all_deliveries_come_in_the_order_of_time(store: Store) -> None:
    with store.write() as connection:
        lay_down(connection)
        plan_one(connection, 1, state="sent", channel="sms", admitted_at=NOW)
        plan_one(connection, 2, state="skipped", reason="stale", ended_at=NOW - timedelta(days=1))
    assert [verdict.verdict for verdict in of_customer(store).decisions] == ["skip", "send"]


def test_an_applied_version_that_is_gone_leaves_the_rule_unknown(store: Store) -> None:
    with store.write() as connection:
        lay_down(connection)
        plan_one(connection, digest="gone", state="sent", channel="sms", admitted_at=NOW)
    (verdict,) = of_customer(store).decisions
    assert verdict.rule == {"file": None, "line": None, "text": None}


def test_a_person_is_shown_with_what_each_channel_may_do(store: Store) -> None:
    digest = address_hash("k", "li@example.com")
    with store.write() as connection:
        lay_down(connection)
        for granted, source in ((True, "import"), (False, "person")):
            connection.execute(
                insert(consents).values(
                    address_hash=digest,
                    channel="email",
                    **{"class": "marketing"},
                    granted=granted,
                    at=NOW,
                    source=source,
                )
            )
        connection.execute(
            insert(suppressions).values(
                address_hash=digest, channel="email", reason="hard_bounce", at=NOW
            )
        )
    found = of_customer(store)
    (customer,) = json.loads(document(found.as_json()))["customers"]
    email, sms = customer["channels"]
    assert customer["id"] == "00001"
    assert email["consents"]["marketing"] == {
        "granted": False,
        "at": "2026-11-09T02:00:00+00:00",
        "source": "person",
    }
    assert email["consents"]["care"] is None
    assert email["suppressed"]["reason"] == "hard_bounce"
    assert sms["address"] is None
    assert "SUPPRESSED" in found.as_text()
    assert "no message was ever planned" in found.as_text()


def test_an_address_is_found_however_it_is_written(store: Store) -> None:
    with store.write() as connection:
        lay_down(connection)
    assert of_customer(store, email=" Li@Example.COM ").people[0].ref == "00001"


def test_nobody_is_an_error_that_names_what_was_asked(store: Store) -> None:
    with pytest.raises(YanshuError, match="'00099'"):
        of_customer(store, ref="00099")
    with pytest.raises(YanshuError, match="no customer has this address"):
        of_customer(store, email="nobody@example.com")
    with pytest.raises(YanshuError, match="not a phone number"):
        of_customer(store, phone="call me")


def test_an_erased_address_still_says_that_it_is_suppressed(store: Store) -> None:
    with store.write() as connection:
        connection.execute(
            insert(suppressions).values(
                address_hash=address_hash("k", "gone@example.com"),
                channel="email",
                reason="complaint",
                at=NOW,
            )
        )
    with pytest.raises(YanshuError, match="suppressed: complaint"):
        of_customer(store, email="gone@example.com")


def test_a_delivery_tells_its_attempts_and_what_the_customer_did(store: Store) -> None:
    with store.write() as connection:
        lay_down(connection)
        plan_one(connection, state="sent", channel="email", admitted_at=NOW, sent_at=NOW)
        connection.execute(
            insert(attempts).values(
                delivery_id=1, number=1, channel="email", at=NOW, outcome="retry", phase="rcpt", reply="450 greylisted"
            )
        )  # fmt: skip
        connection.execute(
            insert(links).values(digest="d1", number=3, url="https://shop.example/x", label="coffee", personal=False)
        )  # fmt: skip
        for kind, link, scanner in (("opened", None, "prefetch"), ("clicked", 3, None)):
            connection.execute(
                insert(engagements).values(
                    delivery_id=1, kind=kind, at=NOW, link=link, scanner=scanner, data={}
                )
            )
    with store.read() as connection:
        found = explain_delivery(connection, f"delivery:{1:020x}", NOW)
    (delivery,) = found.as_json()["deliveries"]
    assert delivery["attempts"][0]["reply"] == "450 greylisted"
    assert [event["kind"] for event in delivery["engagements"]] == ["opened", "clicked"]
    assert delivery["engagements"][1]["url"] == "https://shop.example/x"
    text = found.as_text()
    assert "attempt 1 by email retry at rcpt: 450 greylisted" in text
    assert "opened (a machine: prefetch)" in text
    assert "clicked link 3 coffee" in text


def test_an_unknown_delivery_is_an_error(store: Store) -> None:
    with store.read() as connection, pytest.raises(YanshuError, match="X-Delivery-Id"):
        explain_delivery(connection, "feed", NOW)


@pytest.mark.parametrize(
    ("pause", "changes", "expected"),
    [
        (None, {}, "the gate has not looked at it yet"),
        (None, {"next_at": NOW + timedelta(hours=1)}, "is not due yet"),
        (
            None,
            {"next_at": NOW + timedelta(hours=1), "deferrals": 1, "reason": "quiet hours"},
            "put off: quiet hours",
        ),
        (
            None,
            {"next_at": NOW + timedelta(seconds=5), "reason": "relay away: connect: refused"},
            "put off: relay away: connect: refused",
        ),
        ("care:after-7-days", {}, "care:after-7-days is paused"),
        ("run:1", {}, "run:1 is paused"),
        (None, {"state": "waiting"}, "the step before"),
    ],
)
def test_what_has_not_gone_out_says_what_it_waits_for(
    store: Store, pause: str | None, changes: dict[str, Any], expected: str
) -> None:
    with store.write() as connection:
        lay_down(connection)
        plan_one(connection, **changes)
        if pause:
            connection.execute(insert(pauses).values(target=pause, at=NOW, by="mei"))
    (story,) = of_customer(store).stories
    assert expected in str(story.outlook)


def test_hostile_names_cannot_command_the_terminal(store: Store) -> None:
    with store.write() as connection:
        lay_down(connection)
        plan_one(connection)
        connection.execute(runs.update().values(state="blocked", reason="customer \x1b[2J: line 3"))
        connection.execute(customers.update().values(name="\x1b[2J\u202e[red]x"))
    text = of_customer(store).as_text()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]x" in text
    assert "its run is blocked: customer" in text
