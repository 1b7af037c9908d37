"""The last question before sending, asked of a whole batch: the same answers as key by key, on both databases."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import Any, Literal

import pytest
from sqlalchemy import Connection, event, select

from engine.customers import permission
from engine.customers.consent import (
    grant,
    newly_refused,
    permissions,
    record_imported,
    suppress,
    withdraw,
)
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.policy import Policy
from engine.store.session import Store
from engine.store.tables import deliveries
from tests.gate_world import NOW, add_customer, add_delivery, add_run, campaign, policy
from tests.shop import mark_malicious

CHANNELS: tuple[Channel, ...] = ("email", "sms")
CLASSES: tuple[MessageClass, ...] = ("marketing", "care", "transactional")
UNKNOWN = {
    "careful": {(channel, name): name != "marketing" for channel, name in product(CHANNELS, CLASSES)},
    "anything": dict.fromkeys(product(CHANNELS, CLASSES), True),
    "nothing": dict.fromkeys(product(CHANNELS, CLASSES), False),
}  # fmt: skip


def _queued(connection: Connection, address: str, channel: Channel, name: str, **more: Any) -> int:
    values = {"state": "queued", "batch": "b", "class": name, "channel": channel} | more
    customer = add_customer(connection)
    return add_delivery(
        connection, add_run(connection), customer, campaign("c"), address_hash=address, **values
    )


def _say_something(connection: Connection, address: str, dice: Random) -> None:
    """What may have happened to an address: up to four entries of the ledger, now and then a suppression."""
    for _ in range(dice.randrange(5)):
        channel, source = dice.choice(CHANNELS), dice.choice(("import", "person", "operator"))
        which = dice.sample(CLASSES, dice.randrange(1, 4))
        enter = dice.choice((grant, withdraw))
        if source == "import":
            record_imported(connection, {(address, channel): dice.random() < 0.6}, at=NOW)
        else:
            said_by: Literal["person", "operator"] = "person" if source == "person" else "operator"
            enter(connection, address, channel, which, at=NOW, source=said_by)
    if dice.random() < 0.2:
        suppress(connection, address, dice.choice(CHANNELS), "complaint", at=NOW)


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_a_batch_is_refused_whom_the_permissions_refuse(store: Store, unknown: str) -> None:
    rules = policy(unknown_consent=UNKNOWN[unknown])
    dice = Random(7)
    with store.write() as connection:
        for number in range(60):
            _say_something(connection, f"h{number}", dice)
            _queued(connection, f"h{number}", dice.choice(CHANNELS), dice.choice(CLASSES))
        refused = newly_refused(connection, rules, "b")
        assert refused == _one_by_one(connection, rules)
    assert refused or unknown == "anything"


def _one_by_one(connection: Connection, rules: Policy) -> dict[int, str]:
    columns = (deliveries.c.address_hash, deliveries.c.channel, deliveries.c["class"])
    found = {}
    for number, *wanted in connection.execute(select(deliveries.c.id, *columns)).all():
        key = (wanted[0], wanted[1], wanted[2])
        answer = permissions(connection, rules, [key])[key]
        if not answer.allowed:
            found[number] = answer.reason
    return found


def test_each_refusal_has_its_reason(store: Store) -> None:
    with store.write() as connection:
        for address, channel in product(("yes", "no", "gone"), CHANNELS):
            grant(connection, address, channel, CLASSES, at=NOW, source="person")
        withdraw(connection, "no", "email", ["care"], at=NOW, source="person")
        suppress(connection, "gone", "email", "hard_bounce", at=NOW)
        _queued(connection, "yes", "email", "care")
        _queued(connection, "no", "email", "marketing")
        no = _queued(connection, "no", "email", "care")
        gone = _queued(connection, "gone", "email", "transactional")
        _queued(connection, "gone", "sms", "marketing")
        _queued(connection, "nobody", "email", "care")
        nobody = _queued(connection, "nobody", "email", "marketing")
        marked = _queued(connection, "yes", "email", "transactional")
        tagged = _queued(connection, "yes", "sms", "transactional")
        for delivery, by_tag in ((marked, False), (tagged, True)):
            whose = select(deliveries.c.customer_id).where(deliveries.c.id == delivery)
            mark_malicious(connection, connection.execute(whose).scalar_one(), by_tag=by_tag)
        rules = policy(unknown_consent=UNKNOWN["careful"])
        assert newly_refused(connection, rules, "b") == {
            marked: "malicious",
            tagged: "malicious",
            no: "no consent",
            gone: "suppressed: hard_bounce",
            nobody: "unknown consent",
        }


def test_only_the_queued_rows_of_that_batch_are_asked(store: Store) -> None:
    rules = policy(unknown_consent=UNKNOWN["nothing"])
    with store.write() as connection:
        mine = _queued(connection, "a", "email", "care")
        _queued(connection, "a", "email", "care", batch="another")
        _queued(connection, "a", "email", "care", state="sending")
        assert newly_refused(connection, rules, "b") == {mine: "unknown consent"}
        assert newly_refused(connection, rules, "none such") == {}


def test_one_channel_and_class_is_one_question(store: Store) -> None:
    asked: list[str] = []
    with store.read() as connection:
        event.listen(
            connection, "before_cursor_execute", lambda _c, _cursor, sql, *_rest: asked.append(sql)
        )
        wanted = [(f"h{number}", CHANNELS[0], CLASSES[0]) for number in range(3000)]
        assert len(permissions(connection, policy(), iter(wanted))) == 3000
    assert len(asked) == 1


@pytest.mark.parametrize("question", ["_NOT_GRANTED", "_REFUSED"])
def test_every_address_is_looked_up_by_index(store: Store, question: str) -> None:
    asked = {
        "hashes": ["h"], "channel": "email", "class": "care", "of_batch": "b", "unknown_allowed": [],
    }  # fmt: skip
    seen: list[tuple[str, Any]] = []
    statement = getattr(permission, question)
    with store.read() as connection:
        if not store.is_sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        event.listen(
            connection,
            "before_cursor_execute",
            lambda _c, _cursor, sql, parameters, *_rest: seen.append((sql, parameters)),
        )
        names = statement.compile(dialect=connection.dialect).params
        connection.execute(statement, {name: asked[name] for name in names if name in asked})
        sql, parameters = seen[0]
        explain = "EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN "
        plan = "\n".join(
            str(row[-1]) for row in connection.exec_driver_sql(explain + sql, parameters)
        )
    assert "ix_consents_current" in plan
    assert not any(word in plan for word in ("SCAN consents", "SCAN suppressions", "Seq Scan"))
    assert "SCAN deliveries" not in plan
