"""Rows handed to SQL as one JSON document: one statement for a whole window, on both databases, with one parameter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Connection, TextClause, text

Kind = Literal["bigint", "text", "moment"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@lru_cache(maxsize=256)
def statement(sql: str) -> TextClause:
    """A textual statement, read for its parameters once and not at each of a thousand windows."""
    return text(sql)


def recordset(connection: Connection, columns: Mapping[str, Kind]) -> str:
    """The FROM item `r` that expands the JSON parameter `:rows`: UPDATE … FROM {recordset} WHERE t.id = r.id."""
    if connection.dialect.name == "postgresql":
        types = ", ".join(
            f"{column} {'timestamptz' if kind == 'moment' else kind}"
            for column, kind in columns.items()
        )
        return f"json_to_recordset(CAST(:rows AS json)) AS r({types})"
    picks = ", ".join(f"json_extract(value, '$.{column}') AS {column}" for column in columns)
    return f"(SELECT {picks} FROM json_each(:rows)) AS r"


def encode_rows(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> str:
    """The JSON document for `:rows`; moments as each database takes them."""
    encode = _iso if connection.dialect.name == "postgresql" else _microseconds
    return json.dumps(list(rows), default=encode, ensure_ascii=True)


def encode_ids(ids: Sequence[int]) -> str:
    return "[" + ",".join([f'{{"id":{number}}}' for number in ids]) + "]"


def encode_moment(connection: Connection, moment: datetime) -> Any:
    """A moment as a bound parameter of a textual statement."""
    return moment if connection.dialect.name == "postgresql" else _microseconds(moment)


def _iso(moment: datetime) -> str:
    return moment.isoformat()


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
