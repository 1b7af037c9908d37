"""The consent ledger and the suppression list, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from engine.customers.consent import (
    Permission,
    grant,
    permissions,
    record_imported,
    suppress,
    unsuppress,
    withdraw,
)
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.policy import Policy
from engine.store.session import Store
from engine.store.tables import consents

NOW = datetime(2026, 5, 1, 4, 0, tzinfo=UTC)
CHANNELS: tuple[Channel, ...] = ("email", "sms")
CLASSES: tuple[MessageClass, ...] = ("marketing", "care", "transactional")
POLICY = Policy(
    unknown_consent={
        (channel, name): name != "marketing" for channel in CHANNELS for name in CLASSES
    }
)


def allowed(store: Store, address: str = "a") -> dict[str, Permission]:
    with store.read() as connection:
        found = permissions(connection, POLICY, [(address, "email", name) for name in CLASSES])
    return {key[2]: permission for key, permission in found.items()}


def test_unknown_consent_is_what_the_policy_says(store: Store) -> None:
    found = allowed(store)
    assert found["marketing"] == Permission(False, "unknown consent")
    assert found["care"] == Permission(True, "unknown consent")


def test_the_newest_row_holds_and_the_ledger_only_grows(store: Store) -> None:
    with store.write() as connection:
        assert grant(connection, "a", "email", ["marketing"], at=NOW, source="person") == 1
        # an older time, entered later: the order of entry decides
        early = NOW - timedelta(days=1)
        assert withdraw(connection, "a", "email", ["marketing"], at=early, source="person") == 1
        assert connection.execute(select(func.count()).select_from(consents)).scalar() == 2
    assert allowed(store)["marketing"] == Permission(False, "no consent")


def test_withdrawing_twice_adds_nothing(store: Store) -> None:
    with store.write() as connection:
        assert withdraw(connection, "a", "email", ["marketing", "care"], at=NOW, source="person") == 2  # fmt: skip
        assert withdraw(connection, "a", "email", ["marketing", "care"], at=NOW, source="person") == 0  # fmt: skip


def test_channels_and_addresses_are_kept_apart(store: Store) -> None:
    with store.write() as connection:
        grant(connection, "a", "email", ["marketing"], at=NOW, source="person")
    with store.read() as connection:
        found = permissions(
            connection, POLICY, [("a", "sms", "marketing"), ("b", "email", "marketing")]
        )
    assert not any(permission.allowed for permission in found.values())


def test_an_import_sets_marketing_and_care_and_is_written_once(store: Store) -> None:
    with store.write() as connection:
        assert record_imported(connection, {("a", "email"): True}, at=NOW) == 2
        assert record_imported(connection, {("a", "email"): True}, at=NOW) == 0
    found = allowed(store)
    assert found["marketing"] == found["care"] == Permission(True, "consent")
    assert found["transactional"].reason == "unknown consent"


def test_an_import_changes_what_an_import_said(store: Store) -> None:
    with store.write() as connection:
        record_imported(connection, {("a", "email"): True}, at=NOW)
        assert record_imported(connection, {("a", "email"): False}, at=NOW) == 2
        assert record_imported(connection, {("a", "email"): True}, at=NOW) == 2
    assert allowed(store)["care"].allowed


@pytest.mark.parametrize("between", ["nothing", "an imported no", "an operator's no"])
def test_an_import_never_overrides_the_persons_own_withdrawal(store: Store, between: str) -> None:
    with store.write() as connection:
        withdraw(connection, "a", "email", ["marketing"], at=NOW, source="person")
        if between == "an imported no":
            record_imported(connection, {("a", "email"): False}, at=NOW)
        if between == "an operator's no":
            withdraw(connection, "a", "email", ["marketing"], at=NOW, source="operator")
        record_imported(connection, {("a", "email"): True}, at=NOW)
    found = allowed(store)
    assert not found["marketing"].allowed
    assert found["care"].allowed


def test_a_persons_no_weighs_more_than_the_imported_no_before_it(store: Store) -> None:
    with store.write() as connection:
        record_imported(connection, {("a", "email"): False}, at=NOW)
        withdraw(connection, "a", "email", ["marketing"], at=NOW, source="person")
        record_imported(connection, {("a", "email"): True}, at=NOW)
    assert not allowed(store)["marketing"].allowed


def test_after_the_person_came_back_an_import_counts_again(store: Store) -> None:
    with store.write() as connection:
        withdraw(connection, "a", "email", ["marketing"], at=NOW, source="person")
        grant(connection, "a", "email", ["marketing"], at=NOW, source="person", wording="yes, please")  # fmt: skip
        record_imported(connection, {("a", "email"): False}, at=NOW)
        record_imported(connection, {("a", "email"): True}, at=NOW)
    assert allowed(store)["marketing"].allowed


def test_suppression_beats_consent_for_every_class_until_it_is_lifted(store: Store) -> None:
    with store.write() as connection:
        grant(connection, "a", "email", CLASSES, at=NOW, source="person")
        assert suppress(connection, "a", "email", "hard_bounce", at=NOW, note="550 5.1.1")
        assert not suppress(connection, "a", "email", "complaint", at=NOW)
    assert set(allowed(store).values()) == {Permission(False, "suppressed: hard_bounce")}
    with store.write() as connection:
        assert unsuppress(connection, "a", "email")
        assert not unsuppress(connection, "a", "email")
    assert set(allowed(store).values()) == {Permission(True, "consent")}


def test_thousands_of_addresses_are_answered_at_once(store: Store) -> None:
    with store.write() as connection:
        said: dict[tuple[str, Channel], bool] = {(f"h{n}", "email"): n % 3 == 0 for n in range(2500)}  # fmt: skip
        assert record_imported(connection, said, at=NOW) == 5000
        found = permissions(connection, POLICY, [(f"h{n}", "email", "marketing") for n in range(2600)])  # fmt: skip
    assert sum(permission.allowed for permission in found.values()) == 834
