"""A shop's other system that pushes what happens, talking to the web application in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from engine.clock import Clock
from engine.settings import ApiSettings, Settings
from engine.store.session import Store
from engine.tokens import Signer
from workers.web.app import create_app

TOKEN = "shop-0123456789abcdef01234567"
OTHER = "till-0123456789abcdef01234567"
KEY = "a key for tests"
JSON = "application/json"
NDJSON = "application/x-ndjson"


def settings(**api: Any) -> Settings:
    chosen = {"token": f"{TOKEN} {OTHER}", "requests_per_minute": 1_000_000, **api}
    return Settings(secret_key="s" * 20, address_key=KEY, api=ApiSettings(**chosen))


@dataclass(frozen=True, slots=True)
class Stopped(Clock):
    """A clock that stands still."""

    at: datetime = datetime(2026, 11, 10, 4, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class Sender:
    """Pushes with a valid token, unless told otherwise."""

    def __init__(self, store: Store, now: datetime, **api: Any) -> None:
        chosen = settings(**api)
        app = create_app(store, chosen, Signer(chosen.signing_keys()), Stopped(at=now))
        self._loop = asyncio.new_event_loop()
        transport = httpx.ASGITransport(app=app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://test")

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._loop.run_until_complete(self._client.request(method, path, **more))

    def push(
        self, kind: str, rows: Any, *, token: str | None = TOKEN, media: str = JSON
    ) -> httpx.Response:
        """`rows`: JSON, or the very bytes."""
        return self._loop.run_until_complete(self._push(kind, rows, token, media))

    def push_together(self, pushes: Sequence[tuple[str, Any]]) -> list[httpx.Response]:
        """Several at the same time."""

        async def all_of_them() -> list[httpx.Response]:
            return await asyncio.gather(*[self._push(*one, TOKEN, JSON) for one in pushes])

        return self._loop.run_until_complete(all_of_them())

    def ask_while_pushing(
        self, kind: str, row: Any, path: str, then: Callable[[], None]
    ) -> tuple[list[int], bool, httpx.Response]:
        """What this address answers five times meanwhile, whether the push was still waiting, and its answer after
        `then`."""

        async def both() -> tuple[list[int], bool, httpx.Response]:
            push = asyncio.create_task(self._push(kind, row, TOKEN, JSON))
            answers = [(await self._client.get(path)).status_code for _ in range(5)]
            is_waiting = not push.done()
            then()
            return answers, is_waiting, await push

        return self._loop.run_until_complete(both())

    async def _push(self, kind: str, rows: Any, token: str | None, media: str) -> httpx.Response:
        body = rows if isinstance(rows, bytes) else json.dumps(rows, ensure_ascii=False).encode()
        headers = {"content-type": media}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return await self._client.post(f"/v1/{kind}", content=body, headers=headers)

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def errors(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(one["path"], one["message"]) for one in answer.json()["errors"]]
