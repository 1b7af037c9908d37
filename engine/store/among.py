"""A long list as one bound parameter of a statement: compiled once, handed over as one text, looked up by index."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import ColumnElement, Dialect, TableValuedAlias, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean, TypeDecorator


class _List(TypeDecorator[Any]):
    """A list of numbers or of plain words (hashes, names) as one text: JSON for SQLite, an array's literal for
    PostgreSQL, several times as fast to hand over there as the driver's own list."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        words = json.dumps(list(value), ensure_ascii=False)
        return words if dialect.name == "sqlite" else "{" + words[1:-1] + "}"


class _among(FunctionElement[bool]):
    name = "among"
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:  # noqa: ARG002 — SQLAlchemy's signature
        """Left as it is: SQLite's dialect would write `(…) = 1`, which no index serves."""
        return self


def among(column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
    """SQL: the column's value stands in the list bound as `parameter` (an iterable of int or of plain words)."""
    return _among(column, bindparam(parameter, type_=_List()))


class _listed(FunctionElement[str]):
    name = "listed"
    type = Text()
    inherit_cache = True


def listed(parameter: str) -> TableValuedAlias:
    """SQL: the list of plain words bound as `parameter` as something to select from, one row each in `value`.

    For questions asked word by word: each is looked up by index, however wrong the statistics of a new table are.
    """
    return _listed(bindparam(parameter, type_=_List())).table_valued("value", name=parameter)


@compiles(_among, "sqlite")
def _among_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    name, listed = _parts(element, compiler, kw)
    return f"{name} IN (SELECT value FROM json_each({listed}))"  # noqa: S608 — compiled SQL, no data


@compiles(_among, "postgresql")
def _among_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    name, listed = _parts(element, compiler, kw)
    # ARRAY(SELECT …) is worked out once; a bare cast would be parsed again for every row that is filtered by it.
    return f"{name} = ANY(ARRAY(SELECT unnest(CAST({listed} AS {_kind(element)}[]))))"


@compiles(_listed, "sqlite")
def _listed_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(_listed, "postgresql")
def _listed_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    words = compiler.process(element.clauses, **kw)
    return f"(SELECT unnest(CAST({words} AS text[])) AS value)"


def _parts(element: Any, compiler: Any, kw: Any) -> tuple[str, str]:
    column, values = element.clauses
    return compiler.process(column, **kw), compiler.process(values, **kw)


def _kind(element: Any) -> str:
    column, _ = element.clauses
    return "bigint" if column.type.python_type is int else "text"
