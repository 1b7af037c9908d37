"""A run is never closed over rows that somebody else is giving it: schedulers and operators in each other's way, one step
of one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select, update

from engine.delivery.control import retry
from engine.planning.expansion import expand
from engine.planning.runs import close_finished
from engine.store.catalog import Catalog
from engine.store.session import Store
from engine.store.tables import deliveries, runs
from tests.shop import add_customer, add_order, put_in_force

NOW = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)  # 10:00 in Shanghai
MAIL = "steps: [{id: mail, email: {subject: 你好, template: hello}}]"
CAMPAIGN = f"""
kind: campaign
class: marketing
schedule: {{at: "2026-11-01T10:00"}}
audience: {{all: []}}
{MAIL}
"""
RULE = f"""
kind: care
class: care
trigger: {{event: order.received}}
{MAIL}
"""


class Interrupted(Store):
    """A store of which somebody else makes use whenever this one has let go of it: after each writing transaction, and
    where two may write at once before its commit too."""

    def __init__(self, store: Store, other: Callable[[], object]) -> None:
        super().__init__(store.url.render_as_string(hide_password=False))
        self._other = other

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
            if not self.is_sqlite:
                self._other()
        self._other()


def close(store: Store) -> None:
    with store.write() as connection:
        if not store.is_sqlite:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        close_finished(connection, NOW)


def everything_is(state: str, store: Store) -> None:
    with store.write() as connection:
        connection.execute(update(deliveries).values(state=state))


def states(store: Store) -> list[tuple[str, str]]:
    """The state of each delivery's run, and its own."""
    with store.read() as connection:
        rows = connection.execute(
            select(runs.c.state, deliveries.c.state).join(deliveries).order_by(deliveries.c.id)
        )
        return [tuple(row) for row in rows]


def states_of_runs(store: Store) -> list[str]:
    with store.read() as connection:
        return [*connection.execute(select(runs.c.state)).scalars()]


@pytest.fixture
def catalog(store: Store) -> Catalog:
    with store.write() as connection:
        add_customer(connection, "1")
        return put_in_force(connection, {"campaigns/sale.yaml": CAMPAIGN, "care/thanks.yaml": RULE})


def test_a_day_that_is_opened_again_is_not_closed_before_it_is_filled(
    store: Store, catalog: Catalog
) -> None:
    with store.write() as connection:
        add_order(connection, 1, "A1", NOW)
    expand(store, catalog, NOW)
    everything_is("sent", store)
    close(store)
    with store.write() as connection:
        add_order(connection, 1, "A2", NOW + timedelta(minutes=1))
    other = Interrupted(store, lambda: close(store))
    assert expand(other, catalog, NOW + timedelta(minutes=2)).total == 1
    other.close()
    assert states(store) == [("done", "sent"), ("open", "sent"), ("open", "planned")]


def test_who_comes_late_to_a_run_that_was_closed_meanwhile_puts_nothing_into_it(
    store: Store, catalog: Catalog
) -> None:
    made: list[int] = []

    def goes_first() -> None:
        """As soon as the run is there somebody else fills it, all is sent, it is closed, and a customer comes."""
        if made or not states_of_runs(store):
            return
        made.append(expand(store, catalog, NOW).total)
        everything_is("sent", store)
        close(store)
        with store.write() as connection:
            add_customer(connection, "2")

    other = Interrupted(store, goes_first)
    assert expand(other, catalog, NOW).total == 0
    other.close()
    assert made == [1]
    assert states(store) == [("done", "sent")]


def test_a_retry_is_not_overtaken_by_the_closing_of_its_run(store: Store, catalog: Catalog) -> None:
    expand(store, catalog, NOW)
    everything_is("failed", store)
    other = Interrupted(store, lambda: close(store))
    retry(other, "sale", by="op", now=NOW)
    other.close()
    assert states(store) == [("open", "planned")]
