"""What an operator's command is about: `campaign:ID`, `care:ID` or the bare id, `run:`, `delivery:`, `channel:`,
`domain:`, `all`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select, true

from engine.customers.addresses import email_domain, normalise_email
from engine.errors import UsageError, did_you_mean, nearest
from engine.store.tables import customers, definitions, deliveries, runs

_KINDS = ("campaign", "care", "run", "delivery", "channel", "domain")
_CHANNELS = ("email", "sms")


@dataclass(frozen=True, slots=True)
class Target:
    """`kind`: definition, run, delivery, channel, domain or all; `value`: its id, None for all."""

    kind: str
    value: str | None
    text: str  # canonical: how a pause is stored

    def holds(self) -> ColumnElement[bool]:
        """Which deliveries it covers. A planned row has no channel yet: a channel is judged at the gate."""
        if self.kind == "all":
            return true()
        if self.kind == "definition":
            return deliveries.c.definition == self.value
        if self.kind == "run":
            return deliveries.c.run_id == int(self.value or 0)
        if self.kind == "delivery":
            return deliveries.c.public_id == self.value
        if self.kind == "channel":
            return deliveries.c.channel == self.value
        of_domain = select(customers.c.id).where(customers.c.email_domain == self.value)
        return (deliveries.c.email_domain == self.value) | (
            (deliveries.c.channel.is_(None)) & deliveries.c.customer_id.in_(of_domain)
        )

    def holds_run(self) -> ColumnElement[bool]:
        """Which runs it covers as a whole."""
        if self.kind == "all":
            return true()
        if self.kind == "definition":
            return runs.c.definition == self.value
        return runs.c.id == (int(self.value or 0) if self.kind == "run" else -1)


def parse_target(connection: Connection, text: str) -> Target:
    """Read a target and check that it exists. Raises UsageError with the nearest one that does."""
    if text == "all":
        return Target("all", None, "all")
    kind, colon, value = text.partition(":")
    if not colon:
        return _definition(connection, text)
    if kind not in _KINDS:
        raise UsageError(f"unknown target {text!r}{did_you_mean(kind, _KINDS)}")
    if kind in ("campaign", "care"):
        return _definition(connection, value, kind)
    if kind in ("run", "delivery"):
        return _row(connection, kind, value)
    if kind == "domain":
        return _domain(value)
    if value not in _CHANNELS:
        raise UsageError(f"unknown channel {value!r}{did_you_mean(value, _CHANNELS)}")
    return Target("channel", value, f"channel:{value}")


def _domain(value: str) -> Target:
    """A domain in the spelling that addresses are kept in."""
    try:
        name = email_domain(normalise_email(f"any@{value}"))
    except ValueError:
        raise UsageError(f"{value!r} is not a domain; write what follows the @, such as domain:qq.com") from None  # fmt: skip
    return Target("domain", name, f"domain:{name}")


def _definition(connection: Connection, name: str, kind: str | None = None) -> Target:
    query = select(definitions.c.kind, definitions.c.name).where(
        definitions.c.kind.in_(("campaign", "care"))
    )
    known = {row.name: row.kind for row in connection.execute(query)}
    if name not in known or (kind is not None and known[name] != kind):
        near = did_you_mean(name, known)
        match = nearest(name, known)
        if kind is not None and match:  # by the name alone: its kind may be the mistake
            near = f"; did you mean '{known[match]}:{match}'?"
        raise UsageError(f"no {kind or 'campaign or care rule'} {name!r} was ever applied{near}")
    return Target("definition", name, f"{known[name]}:{name}")


def _row(connection: Connection, kind: str, value: str) -> Target:
    if kind == "run":
        number = int(value) if re.fullmatch(r"[0-9]{1,18}", value) else -1
        if connection.execute(select(runs.c.id).where(runs.c.id == number)).first() is None:
            raise UsageError(f"there is no run {value!r}; `yanshu status` lists them")
        return Target("run", str(number), f"run:{number}")
    found = connection.execute(
        select(deliveries.c.public_id).where(deliveries.c.public_id == value)
    ).scalar()
    if found is None:
        raise UsageError(f"there is no delivery {value!r}")
    return Target("delivery", found, f"delivery:{found}")
