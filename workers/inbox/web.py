"""The inbox over HTTP: the pages, the messages as JSON, and `POST /sms`, the development SMS gateway."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from engine.clock import Clock
from workers.inbox.folder import Folder, Sms
from workers.inbox.page import server_page
from workers.inbox.reading import Summary, summarise

_NUMBER = re.compile(r"\+?[0-9]{3,20}")
_BODY_LIMIT = 64 * 1024
_CALLBACK_PAUSES = (0.0, 1.0, 5.0)  # seconds before each try
_log = logging.getLogger(__name__)
# Mails may show pictures from anywhere; nothing of a mail may run, and no page may be framed.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src * 'unsafe-inline';"
        " img-src * data:; font-src * data:; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(folder: Folder, clock: Clock, host: str = "127.0.0.1") -> Starlette:
    """The application; on a loopback `host` it answers to local names only, so that no foreign page can read it."""
    site = _Site(folder, clock)
    return Starlette(
        routes=[
            Route("/", site.page),
            Route("/message/{key}", site.page),
            Route("/inbox.js", site.script),
            Route("/messages.json", site.messages),
            Route("/messages", site.clear, methods=["DELETE"]),
            Route("/raw/{number:int}.eml", site.raw),
            Route("/sms", site.take_sms, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_allowed(host))],
    )


class _Site:
    """The handlers; each parses, asks the folder, answers."""

    def __init__(self, folder: Folder, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def page(self, request: Request) -> Response:
        html = server_page(self._folder, request.path_params.get("key"))
        if html is None:  # emptied meanwhile
            return RedirectResponse("/", 302)
        return HTMLResponse(html, headers=_HEADERS)

    def script(self, _: Request) -> Response:
        code = (files("workers.inbox") / "templates" / "inbox.js").read_text("utf-8")
        return Response(code, media_type="text/javascript", headers=_HEADERS)

    def messages(self, request: Request) -> Response:
        """Everything that came in, newest first; `?limit=N` lists at most N, `total` counts all."""
        asked = request.query_params.get("limit", "")
        limit = int(asked) if asked.isdecimal() else None
        mails, texts = self._folder.mails(), self._folder.text_messages()
        listed = [_mail_json(summarise(path)) for path in mails[:limit]]
        listed += [_sms_json(sms) for sms in texts[:limit]]
        listed.sort(key=lambda message: str(message["received_at"]), reverse=True)
        total = len(mails) + len(texts)
        return JSONResponse({"schema_version": 1, "total": total, "messages": listed[:limit]})

    def clear(self, _: Request) -> Response:
        return JSONResponse({"removed": self._folder.clear()})

    def raw(self, request: Request) -> Response:
        path = self._folder.find_mail(request.path_params["number"])
        if path is None:
            raise HTTPException(404)
        # As plain text: opened in the browser it must not become a page of this origin.
        return Response(path.read_bytes(), media_type="text/plain", headers=_HEADERS)

    async def take_sms(self, request: Request) -> Response:
        """One order `{to, text, reference, sms_type, callback?}` → `{id}`; a known reference gets its first id."""
        order = _order(request.headers.get("content-type", ""), await _body(request))
        if isinstance(order, str):
            return JSONResponse({"error": order}, 400)
        sms = self._folder.add_sms(
            order["to"],
            order["text"],
            order["reference"],
            order["sms_type"],
            order["callback"] or None,
            self._clock.now(),
        )
        report = BackgroundTask(_report_delivery, sms, self._clock.now)
        repeated = not sms.callback or sms.requests > 1
        return JSONResponse({"id": sms.id}, background=None if repeated else report)


async def _body(request: Request) -> bytes:
    """The body as far as it may matter: one octet over the limit is enough to refuse it."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_LIMIT:
            break
    return body


def _order(content_type: str, body: bytes) -> dict[str, str] | str:
    """The order in a request, or what is wrong with it. Only JSON: no foreign page can send that unasked."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return "content-type: application/json is expected"
    if len(body) > _BODY_LIMIT:
        return f"more than {_BODY_LIMIT} octets"
    try:
        given = json.loads(body)
    except ValueError:
        return "not JSON"
    if not isinstance(given, dict):
        return "a JSON object is expected"
    keys = ("to", "text", "reference", "sms_type", "callback")
    order = {key: given.get(key) or "" for key in keys}
    wrong = next((key for key, value in order.items() if not isinstance(value, str)), None)
    if wrong is not None:
        return f"{wrong}: text is expected"
    return _mistake(order) or order


def _mistake(order: dict[str, str]) -> str | None:
    if not _NUMBER.fullmatch(order["to"]):
        return "to: not a phone number"
    if not order["text"].strip():
        return "text: empty"
    if order["callback"] and not order["callback"].startswith(("http://", "https://")):
        return "callback: not an http(s) address"
    return None


async def _report_delivery(sms: Sms, now: Callable[[], Any]) -> None:
    """Tell the sender that the message arrived, as real gateways do a moment later."""
    report = {"event": "delivered", "id": sms.id, "reference": sms.reference, "to": sms.to}
    assert sms.callback is not None
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        for pause in _CALLBACK_PAUSES:
            await asyncio.sleep(pause)
            try:
                response = await client.post(sms.callback, json={**report, "at": now().isoformat()})
            except httpx.HTTPError as error:
                _log.warning("delivery report of %s: %s", sms.id, type(error).__name__)
                continue
            if response.is_success:
                return
            _log.warning("delivery report of %s: %s", sms.id, response.status_code)


def _mail_json(mail: Summary) -> dict[str, object]:
    fields = {**asdict(mail), "received_at": mail.received_at.isoformat()}
    return {"kind": "mail", "id": f"mail-{mail.number}", **fields}


def _sms_json(sms: Sms) -> dict[str, object]:
    return {"kind": "sms", "id": sms.id, **asdict(sms)}


def _allowed(host: str) -> list[str]:
    if host in ("127.0.0.1", "localhost", "::1"):
        return ["127.0.0.1", "localhost", "::1", "[::1]"]
    return ["*"]
