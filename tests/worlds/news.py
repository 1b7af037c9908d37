"""What happens in a shop from one look of the scheduler to the next: entered in the database and in the reference."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, update

from engine.customers.consent import suppress, withdraw
from engine.customers.tags import remove_tag
from engine.delivery import control
from engine.store.tables import (  # fmt: skip
    contacts,
    engagements,
    memberships,
)
from engine.tokens import address_hash
from tests.shop import ADDRESS_KEY
from tests.worlds.calendars import DAY, HOUR, MINUTE
from tests.worlds.chances import CLASSES, LEVELS, STATUSES, TAGS
from tests.worlds.people import Card, Order, Person
from tests.worlds.rows import Row
from tests.worlds.stage import Stage, event_row, order_row, tag_row


class News(Stage):
    """Each kind of news, at `now`."""

    def news(self) -> None:
        often: dict[str, list[Callable[[], None]]] = {
            "everything": [
                self._new_order,
                self._new_order,
                self._order_moves,
                self._order_moves,
                self._tag,
                self._untag,
                self._event,
                self._card,
                self._engage,
            ],
            "caps": [self._contact, self._contact, self._tag, self._restart],
            "series": [self._engage] * 12 + [self._retry] * 4 + [self._new_order, self._leave],
        }
        always = [
            self._leave,
            self._suppress,
            self._engage,
            self._contact,
            self._pause,
            self._resume,
            self._restart,
            self._retry,
        ]
        happened = often[self.generator.theme] + always
        chosen = self.random.choice(happened)
        self.story.append(f"{self.now:%m-%d %H:%M:%S} {chosen.__name__}")
        chosen()

    def _someone(self) -> Person:
        return self.random.choice(list(self.world.people.values()))

    def _number(self) -> int:
        return next(self._numbers)

    def _new_order(self) -> None:
        """Placed just now, or heard of late."""
        person = self._someone()
        late = self.random.choice((0, 0, 1, 5, 40, 200)) * 30 * MINUTE
        number = self._number()
        at = self.now - late - timedelta(seconds=number % 60 + 1)
        order = self.generator.order(f"{person.ref}-{number}", at, self.random.choice(STATUSES), self.now)  # fmt: skip
        if any(one.placed_at == at for one in person.orders):
            return
        person.orders.append(order)
        self._push_order(person, order, items=True)

    def _order_moves(self) -> None:
        person = self._someone()
        if person.orders:
            order = self.random.choice(person.orders)
            self.generator.move(order, self.random.choice(STATUSES), self.now)
            self._push_order(person, order, items=False)

    def _push_order(self, person: Person, order: Order, *, items: bool) -> None:
        self.push("orders", [order_row(person, order, items=items)])
        self._ordered.add(person.ref)

    def _tag(self) -> None:
        person, tag = self._someone(), self.random.choice(TAGS)
        person.tags[tag] = self.now - self.random.choice((0, 0, 3, 30)) * HOUR
        self.push("tags", [tag_row(person, tag)])

    def _untag(self) -> None:
        person = self._someone()
        if person.tags:
            tag = self.random.choice(list(person.tags))
            self.flush()
            del person.tags[tag]
            with self.store.write() as connection:
                assert remove_tag(connection, self.keys[person.ref], *tag, self.now)

    def _event(self) -> None:
        person, number = self._someone(), self._number()
        at = self.now - self.random.choice((0, 0, 1, 20, 60)) * HOUR
        pushed = self.generator.event(f"{person.ref}-e{number}", at)
        person.events.append(pushed)
        self.push("events", [event_row(person, pushed)])

    def _leave(self) -> None:
        """A person withdraws, for one class or for both."""
        person = self._someone()
        if not person.addresses:
            return
        channel = self.random.choice(list(person.addresses))
        names: list[Any] = self.random.choice((["marketing"], ["care"], ["marketing", "care"]))
        address: Any = person.addresses[channel]
        with self.store.write() as connection:
            hashed = address_hash(ADDRESS_KEY, address)
            grown = withdraw(connection, hashed, channel, names, at=self.now, source="person")  # type: ignore[arg-type]
        for name in names:
            self.reference.said[channel, address, name] = False
            if grown:
                self.reference.left.append((address, name, self.now))

    def _suppress(self) -> None:
        person = self._someone()
        if not person.addresses or self.random.random() < 0.5:
            return
        channel: Any = self.random.choice(list(person.addresses))
        with self.store.write() as connection:
            suppress(connection, address_hash(ADDRESS_KEY, person.addresses[channel]), channel, "complaint", at=self.now)  # fmt: skip
        self.reference.suppressed.add((channel, person.addresses[channel]))

    def _engage(self) -> None:
        """A message is opened or clicked, by a person or a machine; or it comes back."""
        sent = [row for row in self.reference.rows.values() if row.state == "sent"]
        if not sent:
            return
        series = [row for row in sent if len(self.world.definitions[row.definition]["steps"]) > 1]
        row = self.random.choice(series or sent)
        kind = self.random.choice(("opened", "viewed", "clicked", "clicked", "bounced", "complained"))  # fmt: skip
        machine = self.random.random() < 0.3
        with self.store.write() as connection:
            values = {"delivery_id": self.ids[row.key], "kind": kind, "at": self.now, "data": {}, "scanner": "crawler" if machine else None}  # fmt: skip
            connection.execute(insert(engagements).values(**values))
        row.events.append((kind, self.now, machine))

    def _card(self) -> None:
        """A card is renewed, or one of any level begins."""
        person = self._someone()
        held = [card for card in person.cards if card.state == "active"]
        if held and self.random.random() < 0.6:
            old = self.random.choice(held)
            old.state = "renewed"
            new = Card(0, old.level, "active", old.expires_at, old.expires_at + 365 * DAY, old.key)
        elif held:
            return
        else:
            new = Card(0, self.random.choice(LEVELS), "active", self.now, self.now + 365 * DAY)
        person.cards.append(new)
        with self.store.write() as connection:
            connection.execute(update(memberships).where(memberships.c.id == new.renews).values(state="renewed"))  # fmt: skip
            self._add_card(connection, person, new)

    def _contact(self) -> None:
        """A message of another system."""
        person, at = self._someone(), self.now - self.random.choice((0, 2, 30)) * HOUR
        channel, name = self.random.choice(("email", "sms")), self.random.choice(CLASSES)
        if any(row.person is person and row.admitted_at == at for row in self.reference.others):
            return
        with self.store.write() as connection:
            values = {"customer_id": self.keys[person.ref], "channel": channel, "class": name, "at": at}  # fmt: skip
            connection.execute(insert(contacts).values(**values))
        self.reference.others.append(
            Row("", "", person, "", name, (channel,), 0, "sent", at, at, at, admitted_at=at)
        )

    def _pause(self) -> None:
        names = [f"{spec['kind']}:{name}" for name, spec in self.world.definitions.items()]
        target = self.random.choice(("all", "channel:sms", "channel:email", "domain:qq.com", *names))  # fmt: skip
        self.story.append(target)
        control.pause(self.store, target, by="test", now=self.now)
        self.reference.paused.add(target)

    def _resume(self) -> None:
        for target in sorted(self.reference.paused):
            self.story.append(target)
            control.resume(self.store, target, by="test", now=self.now, overdue="send")
            self.reference.paused.discard(target)
            self.reference.resumed(target, self.now)

    def _retry(self) -> None:
        """An operator tries again what failed, or says what became of it."""
        ended = [row for row in self.reference.rows.values() if row.state in ("failed", "uncertain")]  # fmt: skip
        if not ended:
            return
        name = self.random.choice(ended).definition
        state: Any = self.random.choice(("retry", "retry", "sent", "failed"))
        self.story.append(f"{state} {name}")
        if state == "retry":
            control.retry(self.store, name, by="test", now=self.now)
            self.reference.retry(name, self.now)
        else:
            control.settle(self.store, name, state, by="test", now=self.now)
            self.reference.settle(name, state, self.now)
