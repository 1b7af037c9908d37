"""`POST /v1/KIND` and `GET /v1/openapi.json`. There while a token is set; else all of `/v1` is 404."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from engine.clock import Clock
from engine.customers.push.body import MOST_BYTES, NotJsonError, TooManyRowsError
from engine.customers.push.fields import PUSH_KINDS, PushKind
from engine.customers.push.landing import Landed, Outcome, Refused
from engine.errors import StoreError, nearest
from engine.settings import Settings
from engine.store.session import Store, is_passing
from workers.web.api.bearer import Rates, Tokens
from workers.web.api.openapi import MEDIA_TYPES, NDJSON_TYPES, describe
from workers.web.api.problems import PREFIX, problem
from workers.web.api.pusher import Pusher

_log = structlog.get_logger("yanshu.api")
_ACCEPT = {"accept": ", ".join(MEDIA_TYPES)}


@dataclass(frozen=True, slots=True)
class Api:
    """The services behind the handlers."""

    tokens: Tokens
    rates: Rates
    pusher: Pusher
    description: dict[str, Any]


def open_api(store: Store, settings: Settings, clock: Clock) -> Api | None:
    """The push API; None without a token."""
    known = settings.api.tokens
    if not known:
        return None
    rates = Rates(len(known), settings.api.requests_per_minute)
    pusher = Pusher(store, settings.hashing_key(), clock)
    return Api(Tokens(known), rates, pusher, describe(settings.web_url))


def routes() -> list[BaseRoute]:
    """The addresses of the API."""
    posts = [Route(f"{PREFIX}{kind}", _push_of(kind), methods=["POST"]) for kind in PUSH_KINDS]
    return [*posts, Route(f"{PREFIX}openapi.json", _openapi)]


def missing(path: str) -> str:
    """What a 404 says of an address under `/v1`."""
    known = [f"{PREFIX}{name}" for name in (*PUSH_KINDS, "openapi.json")]
    near = nearest(path[:60], known)
    return f"did you mean {near}?" if near and near != path else ""


def _api_of(request: Request) -> Api:
    return cast("Api", request.app.state.api)


async def _openapi(request: Request) -> Response:
    return JSONResponse(_api_of(request).description)


def _push_of(kind: PushKind) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        # Whatever goes wrong is told here: a traceback elsewhere would hold the rows' personal data.
        try:
            return _allowed(request) or await _take(request, kind)
        except Exception as error:
            return _failed(kind, error)

    return handle


def _allowed(request: Request) -> Response | None:
    """None where the token is known and may go on."""
    api = _api_of(request)
    token = api.tokens.find(request.headers.get("authorization", ""))
    if token is None:
        return problem(401, headers={"www-authenticate": 'Bearer realm="yanshu"'})
    wait = api.rates.wait(token)
    return problem(429, f"again in {wait} s", headers={"retry-after": str(wait)}) if wait else None


async def _take(request: Request, kind: PushKind) -> Response:
    by_line = _is_ndjson(request.headers)
    if by_line is None:
        return problem(415, f"write {' or '.join(MEDIA_TYPES)}, in UTF-8, not compressed", headers=_ACCEPT)  # fmt: skip
    try:
        body = await _read(request)
    except ClientDisconnect:
        return problem(400, "the body broke off")
    if body is None:
        return problem(413, f"a push has {MOST_BYTES:,} bytes at most")
    try:
        outcome = await _api_of(request).pusher.push(kind, body, by_line=by_line)
    except TooManyRowsError as error:
        return problem(413, str(error))
    except NotJsonError as error:
        return problem(400, error.fault.message, [error.fault])
    return _answer(kind, outcome)


def _is_ndjson(headers: Headers) -> bool | None:
    """Whether the body is NDJSON; None where it is neither that nor JSON, or in a form that nobody asked for."""
    media, *parameters = (part.strip() for part in headers.get("content-type", "").lower().split(";"))  # fmt: skip
    charset = next((one[8:].strip('"') for one in parameters if one.startswith("charset=")), "utf-8")  # fmt: skip
    plain = headers.get("content-encoding", "identity").lower() in ("", "identity")
    if charset not in ("utf-8", "utf8", "us-ascii") or not plain or media not in MEDIA_TYPES:
        return None
    return media in NDJSON_TYPES


async def _read(request: Request) -> bytes | None:
    """The body; None where it is longer than it may be."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:12]) > MOST_BYTES:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def _answer(kind: PushKind, outcome: Outcome) -> Response:
    if isinstance(outcome, Refused):
        faults = outcome.faults
        _log.info("push refused", kind=kind, faults=len(faults))
        return problem(422, f"{faults[0].path}: {faults[0].message}", faults)
    return JSONResponse({"kind": kind, **_counts(outcome), "warnings": list(outcome.warnings)})


def _counts(landed: Landed) -> dict[str, Any]:
    items = asdict(landed.items) if landed.items else None
    return {**asdict(landed.rows), "items": items}


def _failed(kind: PushKind, error: Exception) -> Response:
    """The log gets the kind of error and the lines of code: its text may quote rows."""
    if isinstance(error, StoreError) or is_passing(error):
        _log.warning("database away", kind=kind, error=type(error.__cause__ or error).__name__)
        return problem(503, headers={"retry-after": "30"})
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename
    ]
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-8:]))
    _log.error("push failed", kind=kind, error=type(error).__name__, where=where)
    return problem(500)
