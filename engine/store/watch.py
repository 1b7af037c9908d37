"""Whether anybody committed since the last time that this was asked: so cheap that it can be asked all the time."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from engine.store.session import Store


class Watch:
    """For one thread. SQLite tells it at the cost of a look at its file (`PRAGMA data_version`); on PostgreSQL nobody
    knows, and `has_changed` never says so."""

    def __init__(self, store: Store) -> None:
        self._connection: Any = store.engine.raw_connection() if store.is_sqlite else None
        self._version = 0

    @property
    def tells(self) -> bool:
        """Whether it ever says so."""
        return self._connection is not None

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def has_changed(self) -> bool:
        if self._connection is None:
            return False
        (version,) = self._connection.cursor().execute("PRAGMA data_version").fetchone()
        changed, self._version = version != self._version, version
        return bool(changed)
