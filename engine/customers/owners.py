"""Whom the shop's ids mean: customers by their own id, and those that they were merged into."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection

from engine.store.tables import customers, merged_refs
from engine.store.upsert import find


def find_owners(connection: Connection, refs: Iterable[str]) -> dict[str, int]:
    """The internal ids of those of these customers that are there."""
    wanted = set(refs)
    found = {ref: row[0] for ref, row in find(connection, customers, "ref", wanted, "id").items()}
    return {**merged_into(connection, wanted - found.keys()), **found}


def merged_into(connection: Connection, refs: Collection[str]) -> dict[str, int]:
    """Those of these ids that were merged away → the customer who has their history now."""
    rows = find(connection, merged_refs, "ref", refs, "customer_id")
    return {ref: row[0] for ref, row in rows.items()}
