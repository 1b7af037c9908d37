"""Signed tokens in links, and keyed hashes of addresses.

A token is `key id · purpose · delivery · MAC`, all in URL-safe base64 characters. The purpose is inside the MAC, so a
forwarded click link can never unsubscribe. MAC: keyed BLAKE2s (RFC 7693 §2.9), 96 bits, compared in constant time.
Old keys go on verifying; unsubscribe tokens never expire.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2s

_MAC_BYTES = 12
_MAC_CHARS = 16
_PUBLIC_ID_BYTES = 10
PUBLIC_ID_CHARS = 20
_HASH_BYTES = 16
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Purpose(StrEnum):
    """What a token may do; one letter each, because it stands in every link."""

    TRACK = "t"  # clicks and the open pixel
    UNSUBSCRIBE = "u"
    VIEW = "v"


@dataclass(frozen=True, slots=True)
class Verified:
    purpose: Purpose
    delivery: str


class Signer:
    """Makes and checks tokens. `keys[0]` signs; the others only verify what was sent before a rotation."""

    def __init__(self, keys: Sequence[str]) -> None:
        derived = [blake2s(key.encode(), person=b"yanshu-t").digest() for key in keys]
        self._keys = {self._key_id(key): _keyed(key) for key in reversed(derived)}
        self._key = _keyed(derived[0])
        self._id = self._key_id(derived[0])

    @staticmethod
    def _key_id(key: bytes) -> str:
        return base64.urlsafe_b64encode(blake2s(key, person=b"yanshu-i").digest()[:3])[:2].decode()

    def sign(self, purpose: Purpose, delivery: str) -> str:
        """A token for one delivery (its public id) and one purpose: 39 URL-safe characters."""
        body = purpose + delivery
        return self._id + body + _mac(self._key, body)

    def verify(self, token: str, purpose: Purpose) -> Verified | None:
        """What the token says, or None where it is not ours, not for this purpose, or tampered with."""
        head, body, mac = token[:2], token[2:-_MAC_CHARS], token[-_MAC_CHARS:]
        key = self._keys.get(head)
        if key is None or len(body) != 1 + PUBLIC_ID_CHARS or not token.isascii():
            return None
        if not hmac.compare_digest(_mac(key, body), mac) or body[0] != purpose:
            return None
        return Verified(purpose, body[1:])

    def seal(self, delivery: str, number: int, target: str) -> str:
        """The MAC under which a personal link target rides as `?to=` (16 characters)."""
        return self._id + _mac(self._key, f"to:{delivery}:{number}:{target}")

    def is_sealed(self, seal: str, delivery: str, number: int, target: str) -> bool:
        key = self._keys.get(seal[:2])
        if key is None or not seal.isascii():
            return False
        return hmac.compare_digest(_mac(key, f"to:{delivery}:{number}:{target}"), seal[2:])


def _keyed(key: bytes) -> blake2s:
    """Ready to be copied for each MAC: taking up the key is a third of a short one's work."""
    return blake2s(key=key, digest_size=_MAC_BYTES)


def _mac(keyed: blake2s, text: str) -> str:
    digest = keyed.copy()
    digest.update(text.encode("utf-8", "surrogatepass"))
    return b2a_base64(digest.digest(), newline=False).translate(_URL_SAFE).decode()


def new_public_id() -> str:
    """A random delivery id for the outside world: 80 bits, 20 hex characters (rows made in SQL get theirs there)."""
    return secrets.token_hex(_PUBLIC_ID_BYTES)


def address_hash(key: str, address: str) -> str:
    """The keyed hash under which consent and suppression know a normalised address (32 hex characters).

    The key is never rotated: a suppression must outlive the erasure of the person.
    """
    return blake2s(
        address.encode(), key=blake2s(key.encode()).digest(), digest_size=_HASH_BYTES
    ).hexdigest()
