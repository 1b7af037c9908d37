"""`/c/TOKEN/N`: where a link of a message leads. It can only lead to what was registered, or sealed, for it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from engine.store.tables import Engagement
from engine.tokens import Purpose
from engine.tracking.events import Hit
from engine.tracking.scanners import Visit
from workers.web.site import Site, delivery_of, site_of

_NUMBER = re.compile(r"[0-9]{1,4}")


async def click(request: Request) -> Response:
    site = site_of(request)
    delivery = delivery_of(request, Purpose.TRACK)
    if not _NUMBER.fullmatch(request.path_params["number"]):
        raise HTTPException(404)
    number = int(request.path_params["number"])
    hit = Hit(
        kind=Engagement.CLICKED,
        delivery=delivery,
        at=site.clock.now(),
        visit=Visit.of(request.method, request.headers),
        link=number,
        sealed=_sealed(site, request, delivery, number),
    )
    recorded = await site.recorder.record(hit)
    if recorded is None or not is_web_address(recorded.target or ""):
        raise HTTPException(404)
    return RedirectResponse(recorded.target or "", 302)


def _sealed(site: Site, request: Request, delivery: str, number: int) -> str | None:
    """The personal target in `?to=`, where its seal `?s=` is ours for this very link of this very delivery."""
    target, seal = request.query_params.get("to"), request.query_params.get("s")
    if not target or not seal or not is_web_address(target):
        return None
    return target if site.signer.is_sealed(seal, delivery, number, target) else None


def is_web_address(target: str) -> bool:
    """Whether a browser may be sent there: http or https, a host, nothing that can break a header or a parser.

    >>> is_web_address("https://shop.example/a?b=c"), is_web_address("javascript:alert(1)")
    (True, False)
    """
    if any(char <= " " or char in "\\\x7f" for char in target):
        return False
    try:
        parts = urlsplit(target)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
