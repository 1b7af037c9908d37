"""What counts against the customers and addresses of one batch: fetched in a handful of queries, and kept up to date
while the batch is decided, so that what was admitted a moment ago counts at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    select,
    union_all,
)

from engine.audience.home import known_zone
from engine.definitions.quiet import Opening, zone_of
from engine.gate.candidates import Candidate, Catalog
from engine.gate.decision import Decision, Defer, Send, Skip
from engine.gate.frequency import Book, Cap, Caps, Check, Entry, judge
from engine.gate.permission import Route
from engine.gate.states import is_ahead, is_committed
from engine.store.among import among, listed
from engine.store.tables import contacts, customers, deliveries, former_addresses

Asked = Sequence[tuple[Candidate, Route]]

Key = TypeVar("Key", int, str)

_GONE = datetime.min.replace(tzinfo=UTC)
_NOTHING = Book()


class History:
    """The books of one batch. `judge` answers for a candidate; `settle` is told every decision, in order."""

    def __init__(self, caps: Caps, shop: str, now: datetime, asked: Asked = ()) -> None:
        self.caps = caps
        self.now = now
        self._shop = shop
        self._met_again = _repeated(candidate.customer_id for candidate, _ in asked)
        self._written_again = _repeated(route.address_hash for _, route in asked)
        self.customers: dict[int, Book] = {}
        self.addresses: dict[str, Book] = {}
        self.ahead: dict[int, Entry] = {}  # by delivery id
        self.zones: dict[str, set[str | None]] = {}  # of all who have an address, where several do

    def judge(self, candidate: Candidate, route: Route, opening: Opening) -> Defer | Skip | None:
        """None if the caps let one more message go to this customer and this address now."""
        mine = self.customers.get(candidate.customer_id, _NOTHING)
        shared = self.addresses.get(route.address_hash, _NOTHING)
        if not shared and len(mine) < self.caps.least:
            return None  # as with nearly everybody: no cap can be full
        checks = list(self._checks(candidate, route, mine, shared))
        if not checks:
            return None
        return judge(checks, self.caps.overflow, opening, self.now, candidate.not_after)

    def _checks(
        self, candidate: Candidate, route: Route, mine: Book, shared: Book
    ) -> Iterator[Check]:
        for cap in self.caps.binding(candidate, route.channel):
            if len(mine) >= cap.least:
                yield from self._laid_out(candidate, cap, mine, None)
            if shared:
                yield from self._laid_out(candidate, cap, shared, route.address_hash)

    def _laid_out(
        self, candidate: Candidate, cap: Cap, book: Book, address: str | None
    ) -> Iterator[Check]:
        """The cap on this book, in the candidate's zone; an address that people of several zones have is counted in the
        days of each of them."""
        since = self.now - cap.reach
        committed = tuple(
            entry
            for entry in book.committed
            if entry.first > since and cap.binds(entry.message_class, entry.channels)
        )
        reserved = tuple(
            entry
            for entry in book.reserved
            if entry.holds_against(candidate.priority)
            and cap.binds(entry.message_class, entry.channels)
        )
        if len(committed) + len(reserved) < cap.least:
            return
        names = {candidate.timezone}
        if address is not None and cap.rule.per.is_days:
            names |= self.zones.get(address, set())
        by = "customer" if address is None else "address"
        for name in sorted(names, key=str):
            yield Check(cap, by, zone_of(name, self._shop), committed, reserved)

    def settle(self, candidate: Candidate, decision: Decision) -> None:
        """Count a message that was admitted; move or give up the place that one which was not still held."""
        held = self.ahead.get(candidate.id)
        if held is not None and isinstance(decision, Defer):
            held.first = decision.until
        elif held is not None:
            held.last = _GONE
        if isinstance(decision, Send) and self._is_asked_again(candidate, decision):
            channels = (decision.channel,)
            entry = Entry(
                candidate.public_id, candidate.customer_id, candidate.message_class, channels,
                self.now, self.now,
            )  # fmt: skip
            _book(self.customers, candidate.customer_id).committed.append(entry)
            _book(self.addresses, decision.address_hash).committed.append(entry)

    def _is_asked_again(self, candidate: Candidate, decision: Send) -> bool:
        """Whether what is admitted now can count for another of this batch. (The next batch reads it.)"""
        return candidate.message_class in self.caps.classes and (
            candidate.customer_id in self._met_again or decision.address_hash in self._written_again
        )


def fetch_history(
    connection: Connection,
    catalog: Catalog,
    asked: Asked,
    now: datetime,
) -> History:
    """The books of these candidates; empty, and without any query, where no cap binds any of them."""
    caps = Caps(catalog.policy, now)
    history = History(caps, catalog.policy.timezone, now, asked)
    capped = [pair for pair in asked if caps.binding(pair[0], pair[1].channel)]
    if capped:
        _Fetch(connection, catalog, history, capped).run()
    return history


class _Fetch:
    """The queries of one batch, each about all of it."""

    def __init__(
        self, connection: Connection, catalog: Catalog, history: History, capped: Asked
    ) -> None:
        self._connection, self._catalog, self._history = connection, catalog, history
        self._owner = {route.address_hash: candidate.customer_id for candidate, route in capped}
        self._people = {
            candidate.customer_id: (candidate.email_hash, candidate.phone_hash)
            for candidate, _ in capped
        }
        self._by_channel = {
            "emails": [route.address_hash for _, route in capped if route.channel == "email"],
            "phones": [route.address_hash for _, route in capped if route.channel == "sms"],
        }
        self._batch = dict.fromkeys(self._people)
        self._lowest = min(candidate.priority for candidate, _ in capped)
        self._span = {
            "since": history.now - history.caps.reach,
            "classes": sorted(history.caps.classes),
        }

    def run(self) -> None:
        shared = self._families()
        shared |= self._committed(shared)
        everyone = list(self._people)
        self._contacts(everyone, shared)
        self._open_rows(everyone, shared)

    def _families(self) -> set[str]:
        """Addresses of the batch that several customers have; the others of them are noted as people."""
        rows = self._connection.execute(_SHARED, self._by_channel)
        shared = set(rows.scalars())
        if shared:
            for row in self._connection.execute(_MEMBERS, {"addresses": shared}):
                self._people.setdefault(row.id, (row.email_hash, row.phone_hash))
                for address in (row.email_hash, row.phone_hash):
                    self._history.zones.setdefault(address, set()).add(row.timezone)
        return shared

    def _committed(self, shared: set[str]) -> set[str]:
        """Enter what went to these customers, and what went to their addresses by way of others.

        An address may have been another's before: such ones are said, with `shared` they are all that count for more
        than one customer. Where everything went to the one who has it, the customer's own book says as much.
        """
        owner = self._owner
        had = self._connection.execute(_HAD, {"addresses": owner}).scalars()
        asked = {"customers": {*self._people, *had}, **self._span}
        rows = self._connection.execute(_COMMITTED, asked).all()
        formerly = {row[2] for row in rows if owner.get(row[2], row[1]) != row[1]}
        for row in rows:
            public_id, customer_id, address, message_class, channel, at = row
            entry = Entry(public_id, customer_id, message_class, (channel,), at, at)
            if customer_id in self._batch:
                _book(self._history.customers, customer_id).committed.append(entry)
            if address in owner and (address in formerly or address in shared):
                _book(self._history.addresses, address).committed.append(entry)
        return formerly

    def _contacts(self, everyone: Sequence[int], shared: set[str]) -> None:
        rows = self._connection.execute(_CONTACTS, {"customers": everyone, **self._span}).all()
        for customer_id, channel, message_class, at in rows:
            entry = Entry("contact", customer_id, message_class, (channel,), at, at)
            for book in self._books(entry, shared):
                book.committed.append(entry)

    def _open_rows(self, everyone: Sequence[int], shared: set[str]) -> None:
        parameters = {
            "customers": everyone,
            "lowest": self._lowest,
            "now": self._history.now,
            "classes": self._span["classes"],
        }
        for row in self._connection.execute(_OPEN, parameters).all():
            channels = self._channels(row)
            if not channels:
                continue
            first = max(row.next_at, self._history.now)
            entry = Entry(
                row.public_id, row.customer_id, row[3], channels, first, row.not_after, row.priority
            )
            self._history.ahead[row.id] = entry
            for book in self._books(entry, shared):
                book.reserved.append(entry)

    def _channels(self, row: Any) -> tuple[Any, ...]:
        """The channels that an open row may still take."""
        definition = self._catalog.version(self._connection, row.digest).definition
        channels = (step.channels for step in definition.steps if step.id == row.step)
        return next(channels, ())[row.channel_index :]

    def _books(self, entry: Entry, shared: set[str]) -> Iterator[Book]:
        """Where a message counts that has no address noted: its customer, and the addresses that it goes to."""
        email, phone = self._people[entry.customer_id]
        addresses: Mapping[str, str | None] = {"email": email, "sms": phone}
        if entry.customer_id in self._batch:
            yield _book(self._history.customers, entry.customer_id)
        for channel in entry.channels:
            address = addresses[channel]
            if address in shared:
                yield _book(self._history.addresses, address)


def _repeated(keys: Iterable[Key]) -> frozenset[Key]:
    return frozenset(key for key, times in Counter(keys).items() if times > 1)


def _book(books: dict[Key, Book], key: Key) -> Book:
    found = books.get(key)
    if found is None:
        found = books[key] = Book()
    return found


_classes: BindParameter[Any] = bindparam("classes", expanding=True)


def _of_several(column: ColumnElement[Any], asked: str) -> Select[Any]:
    """Those of the addresses bound as `asked` that a second customer has too."""
    address = listed(asked).c.value
    second = select(customers.c.id).where(column == address).offset(1)
    return select(address).where(second.exists())


_SHARED = union_all(
    _of_several(customers.c.email_hash, "emails"), _of_several(customers.c.phone_hash, "phones")
)
_MEMBERS = select(
    customers.c.id, customers.c.email_hash, customers.c.phone_hash, known_zone().label("timezone")
).where(among(customers.c.email_hash, "addresses") | among(customers.c.phone_hash, "addresses"))
_HAD = select(former_addresses.c.customer_id).where(
    among(former_addresses.c.address_hash, "addresses")
)
_COMMITTED = select(
    deliveries.c.public_id,
    deliveries.c.customer_id,
    deliveries.c.address_hash,
    deliveries.c["class"],
    deliveries.c.channel,
    deliveries.c.admitted_at,
).where(
    is_committed,
    deliveries.c.admitted_at > bindparam("since"),
    deliveries.c["class"].in_(_classes),
    among(deliveries.c.customer_id, "customers"),
)
"""Of the customers of a batch, and of whoever else has one of their addresses or had it when it was written to."""
_CONTACTS = select(
    contacts.c.customer_id, contacts.c.channel, contacts.c["class"], contacts.c.at
).where(
    among(contacts.c.customer_id, "customers"),
    contacts.c.at > bindparam("since"),
    contacts.c["class"].in_(_classes),
)
_OPEN = select(
    deliveries.c.id,
    deliveries.c.public_id,
    deliveries.c.customer_id,
    deliveries.c["class"],
    deliveries.c.digest,
    deliveries.c.step,
    deliveries.c.priority,
    deliveries.c.next_at,
    deliveries.c.not_after,
    deliveries.c.channel_index,
).where(
    is_ahead,
    among(deliveries.c.customer_id, "customers"),
    deliveries.c.not_after >= bindparam("now"),
    deliveries.c.priority > bindparam("lowest"),
    deliveries.c["class"].in_(_classes),
)
