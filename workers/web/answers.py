"""Answers: pages in the visitor's language, and the headers that all of them carry."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.pages.frame import render
from workers.web.site import site_of

PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""The Content-Security-Policy of our own pages: no script, nothing from anywhere."""

_EVERYWHERE = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    # The address holds a token: no site that is visited next may see it, no search engine may keep it.
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
    "cache-control": "no-store",
}


def letter(
    request: Request,
    template: str,
    *,
    status: int = 200,
    language: str | None = None,
    headers: Mapping[str, str] | None = None,
    **context: object,
) -> HTMLResponse:
    """A page of `engine.pages` to one person: in `language`, else the browser's, else the shop's."""
    shop = site_of(request).settings.shop
    spoken = language or _preferred(request) or shop.language
    page = render(template, spoken, shop=shop.name, **context)
    return HTMLResponse(page, status, headers=dict(headers or {}))


def message(
    request: Request, status: int, key: str, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """A short page that says what is the matter; `key` names its texts."""
    return letter(request, "message", status=status, headers=headers, key=key)


def _preferred(request: Request) -> str | None:
    """The first language of Accept-Language; browsers send theirs in order of preference."""
    first = request.headers.get("accept-language", "").split(",")[0].split(";")[0].strip()
    return first if first[:2].isalpha() else None


class SecurityHeaders:
    """ASGI middleware: every answer carries the headers above, unless its handler set its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(event: Message) -> None:
            if event["type"] == "http.response.start":
                headers = MutableHeaders(scope=event)
                for name, value in _EVERYWHERE.items():
                    headers.setdefault(name, value)
            await send(event)

        await self._app(scope, receive, send_with_headers)
