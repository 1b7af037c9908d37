"""All that is known of one customer: facts, tags, other ids, the newest orders, what each channel may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from engine.audience.money import in_units
from engine.customers.owners import merged_into
from engine.insight.person import Person, find_people, people_by_id
from engine.pages.terminal import local, plain, table
from engine.settings import Settings
from engine.store.tables import customers, merged_refs, orders, tags

_SHOWN = 10
_FACTS = ("gender", "birthday", "language", "province", "city", "address", "phone_valid_until", "joined_at")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """A customer; `orders`: the newest ones. `merged`: ids of records that were merged into this one."""

    person: Person
    facts: Mapping[str, Any]
    attributes: Mapping[str, Any]
    tags: Sequence[Mapping[str, Any]]
    merged: Sequence[str]
    orders: Sequence[Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        return {
            **self.person.as_json(),
            **self.facts,
            "attributes": dict(self.attributes),
            "tags": [dict(tag) for tag in self.tags],
            "merged": list(self.merged),
            "newest_orders": [dict(order) for order in self.orders],
        }

    def as_text(self, zone: str) -> str:
        lines = [self.person.as_text(zone)]
        for name, value in {**self.facts, **self.attributes}.items():
            if value not in (None, ""):
                shown = local(value, zone) if name in ("phone_valid_until", "joined_at") else plain(value)  # fmt: skip
                lines.append(f"  {plain(name)}: {shown}")
        lines += [f"  tag {plain(tag['dimension'])}: {plain(tag['value'])}" for tag in self.tags]
        if self.merged:
            lines.append(f"  merged into this one: {plain(', '.join(self.merged))}")
        if self.orders:
            rows = [[o["id"], o["status"], local(o["placed_at"], zone), in_units(o["amount"], o["currency"]), o["currency"]] for o in self.orders]  # fmt: skip
            lines.append(table(["order", "status", "placed", "amount", ""], rows, right={3}))
        return "\n".join(lines)


def known_of(connection: Connection, settings: Settings, ref: str) -> Known:
    """The customer of this id, or the one that it was merged into. Raises YanshuError where there is nobody."""
    merged = merged_into(connection, {ref})
    (person,) = (
        people_by_id(connection, merged.values())
        if merged
        else find_people(connection, settings, ref=ref)
    )
    columns = [customers.c[name] for name in (*_FACTS, "attributes")]
    facts = dict(connection.execute(select(*columns).where(customers.c.id == person.id)).mappings().one())  # fmt: skip
    return Known(
        person=person,
        attributes=facts.pop("attributes"),
        facts=facts,
        tags=_rows(connection, select(tags.c.dimension, tags.c.value, tags.c.tagged_at, tags.c.tagged_by.label("by"), tags.c.rule).where(tags.c.customer_id == person.id).order_by(tags.c.dimension, tags.c.value)),
        merged=list(connection.execute(select(merged_refs.c.ref).where(merged_refs.c.customer_id == person.id).order_by(merged_refs.c.ref)).scalars()),
        orders=_rows(connection, select(orders.c.ref.label("id"), orders.c.status, orders.c.placed_at, orders.c.amount, orders.c.currency).where(orders.c.customer_id == person.id).order_by(orders.c.placed_at.desc(), orders.c.id.desc()).limit(_SHOWN)),
    )  # fmt: skip


def _rows(connection: Connection, question: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(question).mappings()]
