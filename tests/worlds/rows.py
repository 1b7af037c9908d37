"""A delivery, and a message of another system, as the reference keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tests.worlds.people import Order, Person

COMMITTED = ("queued", "sending", "sent", "uncertain")
ENDED = ("sent", "failed", "uncertain", "skipped", "cancelled")
OPEN = ("planned", "waiting")
Key = tuple[str, str, str, str]
"""definition, step, customer, anchor"""


@dataclass(eq=False)
class Row:
    """`offered`: the step's channels; `channels`: those that it may take, then the one that it took. `definition` "": of
    another system."""

    definition: str
    step: str
    person: Person
    anchor: str
    message_class: str
    channels: tuple[str, ...]
    priority: int
    state: str
    due: datetime
    next_at: datetime
    not_after: datetime
    order: Order | None = None
    parent: str | None = None
    reason: str | None = None
    admitted_at: datetime | None = None
    send_at: datetime | None = None
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    address: str | None = None
    sender: str = ""
    cost: int = 0
    offered: tuple[str, ...] = ()
    first_try: datetime | None = None
    attempts: int = 0
    events: list[tuple[str, datetime, bool]] = field(default_factory=list)
    """what became of it: (kind, when, by a machine)"""

    @property
    def key(self) -> Key:
        return self.definition, self.step, self.person.ref, self.anchor

    @property
    def committed(self) -> bool:
        return self.state in COMMITTED

    @property
    def counts_at(self) -> datetime:
        """When it counts: as it was admitted, or as it may go next."""
        return self.admitted_at if self.committed and self.admitted_at else self.next_at

    def goes_to(self, address: str) -> bool:
        """Whether it went to this address, or could."""
        if self.address is not None:
            return self.address == address
        return any(self.person.addresses.get(channel) == address for channel in self.channels)
