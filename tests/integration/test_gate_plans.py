"""Each question that the gate asks of large tables is answered by an index, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, Executable, event

from engine.gate import candidates, history, qualification
from engine.store.session import Store
from tests.gate_world import NOW

QUESTIONS: dict[str, tuple[Executable, str]] = {
    "candidates": (candidates._CANDIDATES, "deliver"),
    "sent to customers": (history._COMMITTED, "ix_deliveries_contacts"),
    "who had an address": (history._HAD, "former_addresses_"),
    "open rows": (history._OPEN, "ix_deliveries_open"),
    "families by email": (history._SHARED, "ix_customers_email_hash"),
    "families by phone": (history._SHARED, "ix_customers_phone_hash"),
    "had before": (qualification._HAD, "ix_deliveries_contacts"),
}
ASKED: dict[str, Any] = {
    "emails": [f"e{n}" for n in range(1000)], "phones": [f"p{n}" for n in range(1000)], "ids": range(1000), "customers": range(1000), "addresses": [f"e{n}" for n in range(1000)],
    "definitions": ["promo"], "classes": ["care", "marketing"], "since": NOW, "now": NOW,
    "lowest": 1,
}  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_goes_by_index(store: Store, question: str) -> None:
    statement, index = QUESTIONS[question]
    with store.read() as connection:
        plan = _plan(store, connection, statement)
    assert index in plan
    assert "SCAN deliveries" not in plan
    assert "SCAN former_addresses" not in plan
    assert "Seq Scan" not in plan
    assert "ix_deliveries_volume" not in plan


def _plan(store: Store, connection: Connection, statement: Any) -> str:
    """How the database means to answer; PostgreSQL would read tables as small as a test's from end to end."""
    if not store.is_sqlite:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, sql: str, parameters: Any, *_rest: Any) -> None:
        seen.append((sql, parameters))

    event.listen(connection, "before_cursor_execute", note)
    names = statement.compile(dialect=connection.dialect).params
    connection.execute(statement, {name: ASKED[name] for name in names if name in ASKED}).all()
    event.remove(connection, "before_cursor_execute", note)
    ((sql, parameters),) = seen
    explain = "EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN "
    rows = connection.exec_driver_sql(explain + sql, parameters).all()
    return "\n".join(str(row[-1]) for row in rows)
