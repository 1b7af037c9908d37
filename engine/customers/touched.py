"""Whom an import or a push was about."""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 50_000


class Touched:
    """Whose profiles have to be computed anew: internal customer ids, or `everybody` once it is cheaper to look at all."""

    def __init__(self, *, everybody: bool) -> None:
        self.ids: set[int] = set()
        self.everybody, self.any = everybody, False

    def add(self, ids: Iterable[int]) -> None:
        self.any = True
        if not self.everybody:
            self.ids.update(ids)
            if len(self.ids) > _MOST:
                self.everybody = True
                self.ids.clear()
