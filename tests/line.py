"""The delivery line without its processes: a dispatcher and a sender in this one, joined by a list instead of Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from engine.channels.smtp import SmtpConnection
from engine.clock import Clock
from engine.delivery.dispatch import Dispatcher, Tick
from engine.delivery.letters import Writer
from engine.delivery.send import Sender, Transport
from engine.gate.outlets import outlets
from engine.planning.expansion import expand
from engine.settings import Settings, SmtpSettings
from engine.store.catalog import CatalogReader
from engine.store.session import Store
from engine.store.tables import customers, deliveries
from engine.tokens import Signer
from tests.shop import ADDRESS_KEY, add_customer, put_in_force

CAMPAIGN = """
kind: campaign
class: transactional
schedule: {at: "2026-11-02T10:00"}
audience: {all: []}
steps: [{id: mail, email: {subject: "你好，{{ customer.name }}", template: hello}}]
"""
DUE = datetime.fromisoformat("2026-11-02T10:00+08:00")


def settings_for(port: int, **smtp: Any) -> Settings:
    return Settings(
        secret_key="test-secret",
        address_key=ADDRESS_KEY,
        public_url="http://127.0.0.1:8025",
        smtp=SmtpSettings(host="127.0.0.1", port=port, sender="店铺 <hi@shop.example>", **smtp),
    )


@dataclass
class Line:
    """`run` moves everything that is due; the oracle is what the SMTP server got."""

    store: Store
    settings: Settings
    now: datetime = DUE
    connections: int = 2
    name: str = "first"
    batches: list[str] = field(default_factory=list)
    transports: Mapping[str, Sequence[Callable[[], Transport]]] | None = None

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(
            self.store,
            self.batches.append,
            self.name,
            self.settings.channels(),
            outlets=outlets(self.settings),
        )

    def prepare(self, people: int, files: Mapping[str, str] | None = None) -> None:
        """A campaign to everybody, due now, expanded."""
        with self.store.write() as connection:
            put_in_force(connection, files or {"campaigns/sale.yaml": CAMPAIGN})
            for number in range(people):
                add_customer(connection, f"{number:04}")
        self.expand()

    def expand(self) -> None:
        with self.store.read() as connection:
            catalog = CatalogReader().read(connection)
        expand(self.store, catalog, self.now)

    def sender(self, name: str = "w1") -> Sender:
        signer = Signer(self.settings.signing_keys())
        ways = self.transports or {
            "email": [lambda: SmtpConnection(self.settings.smtp)] * self.connections
        }
        return Sender(
            self.store,
            Clock.starting_at(self.now),
            name,
            lambda zone: Writer(self.settings, signer, zone),
            ways,
        )

    def run(self, sender: Sender | None = None) -> None:
        """Dispatch and send until nothing is due."""
        mine = sender or self.sender()
        if sender is None:
            mine.start()
        while self.tick().decided or self.batches:
            while self.batches:
                mine.send_batch(self.batches.pop(0))
        if sender is None:
            mine.stop()

    def tick(self) -> Tick:
        return self.dispatcher.tick(self.now)

    def later(self, delta: timedelta) -> None:
        self.now += delta

    def states(self) -> dict[str, int]:
        with self.store.read() as connection:
            rows = connection.execute(
                select(deliveries.c.state, func.count().label("number")).group_by(
                    deliveries.c.state
                )
            )
            return {row.state: row.number for row in rows}

    def row(self, ref: str) -> Any:
        with self.store.read() as connection:
            return connection.execute(
                select(deliveries).join(customers).where(customers.c.ref == ref)
            ).one()
