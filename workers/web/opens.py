"""`/o/TOKEN.gif`: the pixel. The image always comes, even to a token that is not ours: a mail shows no broken image."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from engine.store.tables import Engagement
from engine.tokens import Purpose
from engine.tracking.events import Hit
from engine.tracking.scanners import Visit
from workers.web.site import site_of

PIXEL = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
"""A transparent image of one point, 43 bytes."""


async def open_pixel(request: Request) -> Response:
    site = site_of(request)
    verified = site.signer.verify(request.path_params["token"], Purpose.TRACK)
    if verified is not None:
        hit = Hit(
            kind=Engagement.OPENED,
            delivery=verified.delivery,
            at=site.clock.now(),
            visit=Visit.of(request.method, request.headers),
        )
        await site.recorder.record(hit)
    status = 200 if verified is not None else 404
    return Response(PIXEL, status, media_type="image/gif")
