"""The public web as one ASGI application: its routes, and what it says when something is not as it should be."""

from __future__ import annotations

import structlog
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.clock import Clock
from engine.errors import StoreError
from engine.settings import Settings
from engine.store.session import Store, is_passing
from engine.tokens import Signer
from workers.web import clicks, health, hooks, opens, unsubscribe, view
from workers.web.answers import SecurityHeaders, message
from workers.web.api.problems import PREFIX, problem
from workers.web.api.routes import missing, open_api, routes
from workers.web.recorder import Recorder
from workers.web.rerender import Viewer
from workers.web.site import Site

_ROUTES = (
    Route("/c/{token}/{number}", clicks.click),
    Route("/o/{token}.gif", opens.open_pixel),
    Route("/v/{token}", view.show),
    Route("/u/{token}", unsubscribe.show, methods=["GET"]),
    Route("/u/{token}", unsubscribe.leave, methods=["POST"]),
    Route("/hooks/development", hooks.development, methods=["POST"]),
    Route("/healthz", health.alive),
    Route("/readyz", health.ready),
)
_KEYS = {404: "missing", 405: "method", 413: "large", 410: "gone"}
_log = structlog.get_logger("yanshu.web")


def create_app(store: Store, settings: Settings, signer: Signer, clock: Clock) -> Starlette:
    """The application over an open, migrated store. It never closes the store."""
    api = open_api(store, settings, clock)
    app = Starlette(
        routes=[*_ROUTES, *(routes() if api else ())],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={
            HTTPException: _refused,
            StoreError: _away,
            DBAPIError: _away,
            Exception: _failed,
        },
    )
    # Its redirect is built from the Host header, which anybody can write.
    app.router.redirect_slashes = False
    app.state.api = api
    app.state.site = Site(store, settings, signer, clock, Recorder(store), Viewer(settings, signer))
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = _path(request)
    if path.startswith(PREFIX):
        detail = missing(path) if error.status_code == 404 and request.app.state.api else ""
        return problem(error.status_code, detail, headers=error.headers)
    key = _KEYS.get(error.status_code, "refused")
    return message(request, error.status_code, key, error.headers)


async def _away(request: Request, error: Exception) -> Response:
    if not isinstance(error, StoreError) and not is_passing(error):
        return await _failed(request, error)
    _log.warning("database away", path=_path(request)[:3], error=str(error).splitlines()[0])
    return message(request, 503, "away", {"retry-after": "30"})


async def _failed(request: Request, error: Exception) -> Response:
    _log.error("request failed", path=_path(request)[:3], exc_info=error)
    return message(request, 500, "error")


def _path(request: Request) -> str:
    """(Starlette's `request.url` fails where the query is no UTF-8.)"""
    return str(request.scope["path"])
