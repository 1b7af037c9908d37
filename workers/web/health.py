"""`/healthz`: the process answers. `/readyz`: the database answers too."""

from __future__ import annotations

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from engine.errors import StoreError
from workers.web.site import site_of


async def alive(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    try:
        await site_of(request).read(lambda connection: connection.execute(select(1)).scalar())
    except StoreError as error:
        return JSONResponse({"status": "away", "reason": str(error)}, 503, {"retry-after": "30"})
    return JSONResponse({"status": "ok"})
