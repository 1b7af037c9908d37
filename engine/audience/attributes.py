"""Attributes in SQL: a value of a customer's JSON as text or as a number, the same on both databases.

A list, a map or null is no value, nor is a blank text, as a blank cell of an import leaves it. A text counts as a number
where it is written as one: digits, a minus before them, a point within them, at most 16 characters; both databases turn
those into the same double.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Float, Text, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class _text_at(FunctionElement[str]):
    name = "text_at"
    type = Text()
    inherit_cache = True


class _number_at(FunctionElement[float]):
    name = "number_at"
    type = Float()
    inherit_cache = True


def text_at(column: ColumnElement[Any], name: str) -> ColumnElement[str]:
    """The attribute as text: `true` and `42` for what JSON keeps without quotes. NULL where there is none."""
    return _text_at(column, literal(name, Text))


def number_at(column: ColumnElement[Any], name: str) -> ColumnElement[float]:
    """The attribute as a number. NULL where there is none."""
    return _number_at(column, literal(name, Text))


# json_each rather than a path: SQLite before 3.45 does not find a name that was stored with \\u escapes by a path.
_SQLITE = '(SELECT {value} FROM json_each({column}) WHERE "key" = {name} LIMIT 1)'
_SQLITE_TEXT = "CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE nullif(CAST(atom AS TEXT), '') END"
_BODY = "ltrim(CAST(atom AS TEXT), '-')"
_SQLITE_NUMBER = (
    "CASE WHEN type NOT IN ('true', 'false') AND length(CAST(atom AS TEXT)) <= 16"
    f" AND length(CAST(atom AS TEXT)) - length({_BODY}) <= 1"
    f" AND {_BODY} GLOB '[0-9]*' AND {_BODY} GLOB '*[0-9]' AND {_BODY} NOT GLOB '*[^0-9.]*'"
    f" AND length({_BODY}) - length(replace({_BODY}, '.', '')) <= 1 THEN CAST(atom AS REAL) END"
)


@compiles(_text_at, "sqlite")
def _text_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    column, name = _parts(element, compiler, kw)
    return _SQLITE.format(value=_SQLITE_TEXT, column=column, name=name)


@compiles(_number_at, "sqlite")
def _number_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    column, name = _parts(element, compiler, kw)
    return _SQLITE.format(value=_SQLITE_NUMBER, column=column, name=name)


@compiles(_text_at, "postgresql")
def _text_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    column, name = _parts(element, compiler, kw)
    kinds = "('string', 'number', 'boolean')"
    value = f"nullif({column} ->> {name}, '')"
    return f"CASE WHEN jsonb_typeof({column} -> {name}) IN {kinds} THEN {value} END"


@compiles(_number_at, "postgresql")
def _number_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    column, name = _parts(element, compiler, kw)
    value = f"({column} ->> {name})"
    is_number = f"jsonb_typeof({column} -> {name}) IN ('string', 'number')"
    is_number += f" AND length({value}) <= 16 AND {value} ~ '^-?[0-9]+([.][0-9]+)?$'"
    return f"CASE WHEN {is_number} THEN CAST({value} AS double precision) END"


def _parts(element: Any, compiler: Any, kw: Any) -> tuple[str, str]:
    column, name = element.clauses
    written = compiler.process(name, **kw)
    return compiler.process(column, **kw), f"CAST({written} AS text)"
