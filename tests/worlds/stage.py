"""A random shop laid down in the database, its files in force, and the door by which news comes in."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, event, insert, select

from engine.customers.push.body import read_body
from engine.customers.push.faults import Faults
from engine.customers.push.landing import Lander
from engine.customers.push.landing import Refused as RefusedPush
from engine.customers.push.rows import Push, read_rows
from engine.delivery.dispatch import Dispatcher
from engine.delivery.pace import MOST, Pace
from engine.errors import DefinitionsError
from engine.gate.gate import Decided
from engine.gate.outlets import Outlets
from engine.store.catalog import CatalogReader
from engine.store.session import Store
from engine.store.tables import (  # fmt: skip
    customers,
    grade_changes,
    memberships,
    metadata,
    zone_offsets,
)
from tests.shop import ADDRESS_KEY, put_in_force
from tests.worlds.chances import LEVELS
from tests.worlds.generator import Generator
from tests.worlds.people import Card, Event, Order, Person, Spec, World
from tests.worlds.reference import SENDER, Reference
from tests.worlds.rows import Key
from tests.worlds.volume import PROVIDERS

MARK = {"dimension": "malicious", "value": "rude"}
MEMBERSHIP = {
    "levels": [
        {"name": name, "threshold": {"amount": 10_000_000 * (place + 1)}, "claim": "self"}
        for place, name in enumerate(LEVELS)
    ]
}
"""Nobody ever meets these thresholds: cards begin and end as the test says."""


class Watched(Dispatcher):
    """The dispatcher itself, remembering what it decided, in its order."""

    decided: list[Decided]

    def _look(self, connection: Any, now: datetime) -> Any:
        found = super()._look(connection, now)
        self.decided = list(found.decided)
        return found


class AtOnce(Pace):
    """No worker is waited for."""

    def room(self, outstanding: int) -> int:  # nothing is outstanding here
        return MOST


def files_of(world: World) -> dict[str, str]:
    """JSON is YAML."""
    folders = {"campaign": "campaigns", "care": "care"}
    files = {
        f"{folders[spec['kind']]}/{name}.yaml": spec for name, spec in world.definitions.items()
    }
    files["policy.yaml"] = world.policy
    if world.levels:
        files["membership.yaml"] = MEMBERSHIP
    return {name: json.dumps(spec, ensure_ascii=False) for name, spec in files.items()}


def hurry(store: Store) -> None:
    """Nothing here need survive a power cut."""
    setting = "PRAGMA synchronous = OFF" if store.is_sqlite else "SET synchronous_commit TO off"

    def set_it(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(setting)
        cursor.close()
        if not store.is_sqlite:
            connection.commit()

    store.engine.dispose()
    event.listen(store.engine, "connect", set_it)


class Stage:
    """A world in the database, and the reference beside it. `ids`: of deliveries, as last read."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.generator = Generator(seed)
        self.random = self.generator.random
        self.world = self.generator.world()
        self.reference = Reference(self.world)
        self.now = self.world.start
        self.compared = 0
        self.decisions = 0
        self.story: list[str] = []
        self.ids: dict[Key, int] = {}
        self._lander = Lander(ADDRESS_KEY)
        self._pushes: list[Push] = []
        self._ordered: set[str] = set()  # whose orders are being pushed
        self._refreshed: Any = None  # the shop's day on which everybody was, if no order came since
        self._numbers = iter(range(1000, 9999))
        self._reader = CatalogReader()
        self._restart()
        self._lay_down()

    def _restart(self) -> None:
        providers: Any = PROVIDERS
        self.dispatcher = Watched(
            self.store, lambda _batch: None, f"d{self.world.seed}", frozenset({"email", "sms"}),
            self._reader, AtOnce(), Outlets(SENDER, providers),
        )  # fmt: skip

    # --- laying down ----------------------------------------------------------------------------------------------

    def _lay_down(self) -> None:
        with self.store.write() as connection:
            for table in reversed(metadata.sorted_tables):
                if table is not zone_offsets:
                    connection.execute(delete(table))
        while not self._is_in_force():
            pass
        self._add_people()

    def _add_people(self) -> None:
        people = list(self.world.people.values())
        self.push("customers", [customer_row(person) for person in people])
        self.push("orders", [order_row(p, o, items=True) for p in people for o in p.orders])
        self.push("tags", [tag_row(p, tag) for p in people for tag in p.tags])
        self.push("tags", [MARK | {"customer_id": p.ref} for p in people if is_marked_by_tag(p)])
        self.push("events", [event_row(p, one) for p in people for one in p.events])
        self.flush()
        with self.store.write() as connection:
            found = connection.execute(select(customers.c.ref, customers.c.id)).all()
            self.keys: dict[str, int] = {row.ref: row.id for row in found}
            for person in people:
                for card in person.cards:
                    self._add_card(connection, person, card)
                for at, before, after in person.changes:
                    values = {"customer_id": self.keys[person.ref], "at": at, "before": before, "after": after}  # fmt: skip
                    connection.execute(insert(grade_changes).values(**values))
        self.refs = {key: ref for ref, key in self.keys.items()}
        for person in people:
            for channel, may in person.consents.items():
                for name in ("marketing", "care") if channel in person.addresses else ():
                    self.reference.said[channel, person.addresses[channel], name] = may

    def _is_in_force(self) -> bool:
        """What `lint` refuses, since nobody could ever fulfil it, is left out."""
        world = self.world
        try:
            with self.store.write() as connection:
                put_in_force(connection, files_of(world), self.now)
        except DefinitionsError as error:
            refused = {str(p).split(".yaml")[0].rpartition("/")[2] for p in error.problems}
            if "policy" in refused:  # not one message fits into the budget
                del world.policy["budget"]
            for name in refused & set(world.definitions):
                del world.definitions[name]
            return False
        return True

    def push(self, kind: Any, rows: list[Spec]) -> None:
        """Through the door of the push API, when `flush` opens it."""
        faults = Faults()
        body = json.dumps(rows, ensure_ascii=False).encode()
        if rows:
            self._pushes.append(read_rows(kind, read_body(body, by_line=False, faults=faults), faults))  # fmt: skip
        assert not faults.found, faults.found

    def flush(self) -> None:
        if not self._pushes:
            return
        with self.store.write() as connection:
            outcomes = self._lander.land(connection, self._pushes, self.now)
        assert not any(isinstance(one, RefusedPush) for one in outcomes), outcomes
        self._pushes = []
        if self._ordered:
            self.reference.ordered(self._ordered, self.now)
            self._ordered, self._refreshed = set(), None

    def _add_card(self, connection: Connection, person: Person, card: Card) -> None:
        values = {
            "customer_id": self.keys[person.ref], "level": card.level, "state": card.state,
            "starts_at": card.starts_at, "expires_at": card.expires_at, "renews_id": card.renews,
        }  # fmt: skip
        made = connection.execute(insert(memberships).values(**values)).inserted_primary_key
        assert made is not None
        card.key = int(made[0])


def is_marked_by_tag(person: Person) -> bool:
    """Of the malicious, some are by a tag, and the others by their own row."""
    return person.malicious and person.ref[-1] in "02468"


def customer_row(person: Person) -> Spec:
    found: Spec = {"id": person.ref, "email": person.addresses.get("email"), "phone": person.addresses.get("sms")}  # fmt: skip
    found |= {"timezone": person.zone, "province": person.province}
    found |= {"malicious": person.malicious and not is_marked_by_tag(person)}
    found |= {f"{channel}_consent": may for channel, may in person.consents.items()}
    if person.phone_until is not None:
        found["phone_valid_until"] = person.phone_until.isoformat()
    if person.joined_at is not None:
        found["joined_at"] = person.joined_at.isoformat()
    if person.birthday is not None:
        month, day, calendar = person.birthday
        year = "-" if person.birth_year is None else person.birth_year
        found |= {"birthday": f"{year}-{month:02}-{day:02}", "birthday_calendar": calendar}
    return found


def order_row(person: Person, order: Order, *, items: bool) -> Spec:
    found: Spec = {
        "id": order.ref, "customer_id": person.ref, "status": order.status, "amount": f"{order.amount}.00",
        "placed_at": order.placed_at.isoformat(),
    }  # fmt: skip
    found |= {f"{status}_at": at.isoformat() for status, at in order.times.items()}
    if items:
        found["items"] = [{"category": name} for name in order.categories]
    return found


def tag_row(person: Person, tag: tuple[str, str]) -> Spec:
    return {"customer_id": person.ref, "dimension": tag[0], "value": tag[1], "tagged_at": person.tags[tag].isoformat()}  # fmt: skip


def event_row(person: Person, one: Event) -> Spec:
    return {"id": one.ref, "customer_id": person.ref, "kind": one.kind, "at": one.at.isoformat(), "data": one.data}  # fmt: skip
