"""Column types that mean the same on SQLite and PostgreSQL, and the two functions that do arithmetic on times.

SQLite has no time type: moments are kept there as whole microseconds since 1970 (UTC), so that they compare and add
up exactly; PostgreSQL keeps `timestamptz`. JSON is JSONB on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Float, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Json = JSON().with_variant(JSONB(), "postgresql")
BigId = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite only numbers a primary key by itself when the column is spelt INTEGER."""


class Moment(TypeDecorator[datetime]):
    """An aware datetime, UTC on the way out; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r} on its way into the database")
        return (value - _EPOCH) // _MICROSECOND if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return _of_sqlite(value) if dialect.name == "sqlite" else _of_postgresql(value)

    def result_processor(
        self,
        dialect: Dialect,
        coltype: object,  # noqa: ARG002 — SQLAlchemy's signature
    ) -> Callable[[Any], datetime | None]:
        """Called for every moment of every row: without the layers that a TypeDecorator puts between."""
        return _of_sqlite if dialect.name == "sqlite" else _of_postgresql


@lru_cache(maxsize=4096)
def _of_sqlite(value: int | None) -> datetime | None:
    """Remembered: the rows of a run share most of their moments, and to look one up costs a tenth."""
    return None if value is None else _EPOCH + timedelta(0, 0, value)


def _of_postgresql(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


class epoch_seconds(FunctionElement[int]):
    """SQL: seconds since 1970 of a Moment column, whole seconds (fractions are cut off)."""

    type = BigInteger()
    inherit_cache = True
    name = "epoch_seconds"


@compiles(epoch_seconds, "sqlite")
def _epoch_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"({compiler.process(element.clauses, **kw)} / 1000000)"


@compiles(epoch_seconds, "postgresql")
def _epoch_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"CAST(FLOOR(EXTRACT(EPOCH FROM {compiler.process(element.clauses, **kw)})) AS BIGINT)"


class from_epoch_seconds(FunctionElement[datetime]):
    """SQL: the Moment that many seconds after 1970."""

    type = Moment()
    inherit_cache = True
    name = "from_epoch_seconds"


@compiles(from_epoch_seconds, "sqlite")
def _from_epoch_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"(CAST({compiler.process(element.clauses, **kw)} AS INTEGER) * 1000000)"


@compiles(from_epoch_seconds, "postgresql")
def _from_epoch_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"TO_TIMESTAMP({compiler.process(element.clauses, **kw)})"


class random_public_id(FunctionElement[str]):
    """SQL: a fresh public id (80 random bits, 20 hex characters) for each row of an INSERT … SELECT.

    All rows of one statement share the first 24 bits: they lie together in the index of ids. With ids that share nothing
    each of the hundred statements of a million rows wrote nearly every page of that index again.
    """

    type = Text()
    inherit_cache = True
    name = "random_public_id"


@compiles(random_public_id, "sqlite")
def _public_id_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "((SELECT lower(hex(randomblob(3)))) || lower(hex(randomblob(7))))"


@compiles(random_public_id, "postgresql")
def _public_id_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    of_statement = "(SELECT substr(md5(gen_random_uuid()::text), 1, 6))"
    return f"({of_statement} || substr(md5(gen_random_uuid()::text), 1, 14))"


class database_now(FunctionElement[float]):
    """SQL: the database's own clock in seconds since 1970; leases and heartbeats alone use it."""

    type = Float()
    inherit_cache = True
    name = "database_now"


@compiles(database_now, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "EXTRACT(EPOCH FROM CLOCK_TIMESTAMP())"
