"""`/hooks/development`: where the development SMS gateway reports what arrived. Only there while that gateway is set."""

from __future__ import annotations

import json

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from engine.tracking.receipts import record_delivered
from workers.web.site import site_of

_LARGEST = 10_000  # octets of one report


async def development(request: Request) -> Response:
    """Take one report `{event: "delivered", reference}`. 404 for a message that was never sent, 400 for anything else."""
    site = site_of(request)
    if site.settings.sms.gateway != "development":
        raise HTTPException(404)
    reference = _reference(await _body(request))
    now = site.clock.now()
    if not await site.write(lambda connection: record_delivered(connection, reference, now)):
        raise HTTPException(404)
    return Response(status_code=204)


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            raise HTTPException(413)
    return body


def _reference(body: bytes) -> str:
    try:
        report = json.loads(body)
    except ValueError:
        raise HTTPException(400) from None
    if not isinstance(report, dict) or report.get("event") != "delivered":
        raise HTTPException(400)
    reference = report.get("reference")
    if not isinstance(reference, str) or "\x00" in reference:
        raise HTTPException(400)
    return reference
