"""What every handler works with, and the two things that all of them do: read a token, run database work aside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from engine.clock import Clock
from engine.settings import Settings
from engine.store.session import Store
from engine.tokens import Purpose, Signer
from workers.web.recorder import Recorder
from workers.web.rerender import Viewer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Site:
    """The services behind the handlers."""

    store: Store
    settings: Settings
    signer: Signer
    clock: Clock
    recorder: Recorder
    viewer: Viewer

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a reading transaction, in a thread."""

        def run() -> T:
            with self.store.read() as connection:
                return work(connection)

        return await run_in_threadpool(run)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a writing transaction, in a thread; it is committed when this returns."""

        def run() -> T:
            with self.store.write() as connection:
                return work(connection)

        return await run_in_threadpool(run)


def site_of(request: Request) -> Site:
    return cast("Site", request.app.state.site)


def delivery_of(request: Request, purpose: Purpose) -> str:
    """The delivery's public id out of the path's token; 404 where the token does not verify for this purpose."""
    verified = site_of(request).signer.verify(request.path_params["token"], purpose)
    if verified is None:
        raise HTTPException(404)
    return verified.delivery
