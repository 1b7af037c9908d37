"""`/v/TOKEN`: the mail in the browser, in a sandbox of its own: it may show and link, never run or send anything."""

from __future__ import annotations

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from engine.errors import DefinitionsError, RenderingError, StoreError
from engine.store.session import is_passing
from engine.store.tables import Engagement
from engine.tokens import Purpose
from engine.tracking.events import Hit
from engine.tracking.scanners import Visit
from workers.web.site import delivery_of, site_of

MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation; "
    "default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline'; font-src https: data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_log = structlog.get_logger("yanshu.web")


async def show(request: Request) -> Response:
    site = site_of(request)
    delivery = delivery_of(request, Purpose.VIEW)
    now = site.clock.now()
    hit = Hit(
        kind=Engagement.VIEWED,
        delivery=delivery,
        at=now,
        visit=Visit.of(request.method, request.headers),
    )
    if await site.recorder.record(hit) is None:
        raise HTTPException(404)
    try:
        sent = await site.read(lambda connection: site.viewer.find(connection, delivery, now))
        html = await run_in_threadpool(site.viewer.html, sent) if sent else None
    except (RenderingError, DefinitionsError) as error:
        _log.warning("mail cannot be shown", delivery=delivery, error=str(error))
        html = None
    except StoreError as error:
        if is_passing(error):
            raise
        _log.warning("mail cannot be shown", delivery=delivery, error=str(error))
        html = None
    if html is None:
        raise HTTPException(410)
    return HTMLResponse(html, headers={"content-security-policy": MAIL_POLICY})
