"""Who pushes: the bearer token of a request (RFC 6750 §2.1), compared in constant time, and how often it may ask."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Callable, Sequence


class Tokens:
    """The tokens that are known, as digests: what is compared has one length, and no token lies about in memory."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def __len__(self) -> int:
        return len(self._digests)

    def find(self, authorization: str) -> int | None:
        """Which token the header `Authorization` holds, from 0; None where it is none of them."""
        scheme, _, given = authorization.partition(" ")
        digest, found = _digest(given.strip()), None
        for number, known in enumerate(self._digests):  # all of them: the time tells nothing
            if hmac.compare_digest(digest, known):
                found = number
        return found if scheme.lower() == "bearer" else None


class Rates:
    """A bucket for each token: as many requests at once as it may make in a minute, and it fills up evenly.

    It is in this process's memory: a restart fills it, and two web processes have one each.
    """

    def __init__(
        self, tokens: int, per_minute: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._clock = float(per_minute), clock
        self._per_second = per_minute / 60
        self._left = [self._most] * tokens
        self._at = [clock()] * tokens

    def wait(self, token: int) -> int:
        """0 where this request may go on, which then counts; else in how many seconds the next one may."""
        now = self._clock()
        gained = (now - self._at[token]) * self._per_second
        left = min(self._most, self._left[token] + gained)
        self._at[token], self._left[token] = now, left
        if left < 1:
            return max(1, math.ceil((1 - left) / self._per_second))
        self._left[token] = left - 1
        return 0


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
