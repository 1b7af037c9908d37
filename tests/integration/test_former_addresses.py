"""What was sent to an address counts for whoever has it now: the database remembers who had it before."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import select, update

from engine.customers.merging import merge
from engine.definitions.loader import load_policy
from engine.gate.decision import Send
from engine.store.migrate import _config, upgrade
from engine.store.session import Store
from engine.store.tables import customers, former_addresses
from tests.gate_world import NOW, cap
from tests.integration.test_gate import HOUR, until
from tests.integration.test_gate import Shop as Gate
from tests.integration.test_importing import Shop

HAD = select(customers.c.ref, former_addresses.c.address_hash).join(
    former_addresses, former_addresses.c.customer_id == customers.c.id
)


def had(store: Store) -> list[tuple[str, str]]:
    with store.read() as connection:
        return sorted((ref, address) for ref, address in connection.execute(HAD))


def hashes(store: Store, ref: str) -> tuple[str | None, str | None]:
    with store.read() as connection:
        asked = select(customers.c.email_hash, customers.c.phone_hash).where(customers.c.ref == ref)
        return tuple(connection.execute(asked).one())


def test_an_import_that_changes_an_address_leaves_the_one_before(
    store: Store, tmp_path: Path
) -> None:
    shop = Shop(store, tmp_path)
    file = "id,email,phone\na,a@mail.example,13800138001\nb,b@mail.example,\n"
    shop.load("customers", file)
    email, phone = hashes(store, "a")
    shop.load("customers", file)
    assert had(store) == []
    shop.load("customers", "id,email\na,new@mail.example\n")
    assert had(store) == [("a", email)]
    shop.load("customers", "id,email,phone\na,a@mail.example,\nb,b@mail.example,13800138002\n")
    assert {one for _, one in had(store)} >= {email, phone}
    assert {ref for ref, _ in had(store)} == {"a"}


def test_the_addresses_of_a_customer_who_was_merged_go_on_counting(store: Store) -> None:
    gate = Gate(store)
    gate.rules(frequency=(cap(1, "24h"),))
    gone = gate.customer(ref="gone", email_hash="home")
    gate.customer(ref="into")
    gate.sent(gone, NOW - 2 * HOUR, address_hash="home")
    with store.write() as connection:
        connection.execute(update(customers).where(customers.c.id == gone).values(email_hash="work"))  # fmt: skip
    gate.sent(gone, NOW - HOUR, address_hash="work")
    with store.write() as connection:
        merge(
            connection, "gone", "into", policy=load_policy({}), membership=None, now=NOW, by="test"
        )
    asked = [gate.plans(gate.customer(email_hash=name)) for name in ("home", "work", "other")]
    home, work, other = gate.asks(*asked)
    assert (until(home), until(work)) == (NOW + 22 * HOUR, NOW + 23 * HOUR)
    assert isinstance(other, Send)


@pytest.mark.parametrize("lost", ["email_hash", "phone_hash"])
def test_an_upgrade_finds_them_in_what_was_sent(store: Store, lost: str) -> None:
    gate = Gate(store)
    person = gate.customer(ref="a", email_hash="mail", phone_hash="phone")
    for number, address in enumerate(("mail", "phone", "long ago", None)):
        gate.sent(person, NOW - timedelta(days=number), address_hash=address)
    with store.write() as connection:
        command.downgrade(_config(connection), "0007")
        connection.execute(update(customers).values({lost: None}))
    upgrade(store)
    assert had(store) == [("a", "long ago"), ("a", "mail" if lost == "email_hash" else "phone")]
    with store.write() as connection:  # the triggers are there
        connection.execute(update(customers).values(email_hash="new", phone_hash="new"))
    assert len(had(store)) == 3
