"""Which channel a delivery may take: the first of its step's that reaches the customer and is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from engine.customers.consent import Permission, permissions
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.policy import Policy
from engine.gate.candidates import Candidate
from engine.gate.decision import Because, Defer, Skip

NOT_OFFERED = "channel not available"
NO_ADDRESS = "no address"
UNAVAILABLE_WAIT = timedelta(minutes=10)

Permissions = Mapping[tuple[str, Channel, MessageClass], Permission]


class Route(NamedTuple):
    """The channel taken and what it leads to; `domain` only for email."""

    channel: Channel
    address_hash: str
    domain: str | None


def ask_permissions(
    connection: Connection,
    policy: Policy,
    wanted: Sequence[tuple[Candidate, Sequence[Channel]]],
) -> Permissions:
    """Consent and suppression of every address that these candidates could take, in one go."""
    questions = {
        (address, channel, candidate.message_class)
        for candidate, channels in wanted
        for channel in channels
        if (address := candidate.address_hash(channel)) is not None
    }
    return permissions(connection, policy, questions) if questions else {}


def choose(
    candidate: Candidate,
    channels: Sequence[Channel],
    allowed: Permissions,
    available: frozenset[Channel],
    now: datetime,
) -> Route | Skip | Defer:
    """The route of one candidate; else a skip with what was found per channel.

    Where a channel would do and is only not offered by this installation at the moment, the message waits for it
    until it expires.
    """
    for channel in channels:
        address = candidate.address_hash(channel)
        if address is None or channel not in available or not _reaches(candidate, channel, now):
            continue
        if allowed[address, channel, candidate.message_class].allowed:
            domain = candidate.email_domain if channel == "email" else None
            return Route(channel, address, domain)
    found: dict[str, str] = {
        channel: _obstacle(candidate, channel, allowed, now) for channel in channels
    }
    return _no_route(found, now)


def _obstacle(candidate: Candidate, channel: Channel, allowed: Permissions, now: datetime) -> str:
    """Why a channel that was not taken was not."""
    address = candidate.address_hash(channel)
    if address is None or not _reaches(candidate, channel, now):
        return NO_ADDRESS
    permission = allowed[address, channel, candidate.message_class]
    return NOT_OFFERED if permission.allowed else permission.reason


def _reaches(candidate: Candidate, channel: Channel, now: datetime) -> bool:
    """A phone number that is no longer the customer's (numbers are handed out again) is no address."""
    until = candidate.phone_valid_until
    return channel != "sms" or until is None or until >= now


def _no_route(found: Mapping[str, str], now: datetime) -> Skip | Defer:
    if NOT_OFFERED in found.values():
        because = Because(NOT_OFFERED, evidence={"channels": dict(found)})
        return Defer(now + UNAVAILABLE_WAIT, because, record=False)
    reasons = [reason for reason in found.values() if reason != NO_ADDRESS]
    reason = next((_short(reason) for reason in reasons), NO_ADDRESS)
    return Skip(Because(reason, evidence={"channels": dict(found)}))


def _short(reason: str) -> str:
    """`suppressed: hard_bounce` is counted as suppressed, whatever denied a permission as no consent."""
    return "suppressed" if reason.startswith("suppressed") else "no consent"
