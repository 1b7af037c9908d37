"""The customers that a refresh is about, as a temporary table: one statement for any number of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Select, Table, select

from engine.store.temporary import analyze, drop, make
from engine.store.types import BigId
from engine.store.upsert import Upsert

_chosen = Table(
    "chosen", MetaData(),
    Column("id", BigId, primary_key=True, autoincrement=False),
    prefixes=["TEMPORARY"],
)  # fmt: skip

_IDS = select(_chosen.c.id)
_UPSERT = Upsert(_chosen, ["id"], ["id"])


@contextmanager
def choosing(connection: Connection, ids: Sequence[int]) -> Iterator[Select[Any]]:
    """The ids, each once, as a subquery, for as long as it lasts."""
    make(connection, _chosen)
    _UPSERT.run(connection, [(number,) for number in ids])
    analyze(connection, _chosen)
    yield _IDS
    drop(connection, _chosen)
