"""Parts of the gate's SQL: a long list as one bound parameter (compiled once, looked up by index), and the states that
count, spelt out because a partial index is only chosen for a condition written in full."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Dialect, Text, bindparam, literal_column
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean, TypeDecorator, TypeEngine

from engine.store.tables import COMMITTED_STATES

is_committed: ColumnElement[bool] = literal_column(
    f"deliveries.state IN ({', '.join(repr(state.value) for state in COMMITTED_STATES)})", Boolean()
)
is_ahead: ColumnElement[bool] = literal_column(
    "deliveries.state IN ('planned', 'waiting')", Boolean()
)
"""As in ix_deliveries_open: rows that may still go and were not admitted yet."""


class _List(TypeDecorator[Any]):
    """A list of the column's values: an array on PostgreSQL, a JSON text on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, numbers: bool) -> None:
        super().__init__()
        self.numbers = numbers

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(ARRAY(BigInteger if self.numbers else Text))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return json.dumps(list(value)) if dialect.name == "sqlite" else list(value)


class _among(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True
    name = "among"


def among(column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
    """SQL: the column's value stands in the list bound as `parameter` (an iterable of int or str)."""
    numbers = column.type.python_type is int
    return _among(column, bindparam(parameter, type_=_List(numbers)))


@compiles(_among, "sqlite")
def _sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    column, values = element.clauses
    name, listed = compiler.process(column, **kw), compiler.process(values, **kw)
    return f"{name} IN (SELECT value FROM json_each({listed}))"  # noqa: S608 — compiled SQL, no data


@compiles(_among, "postgresql")
def _postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    column, values = element.clauses
    return f"{compiler.process(column, **kw)} = ANY({compiler.process(values, **kw)})"
