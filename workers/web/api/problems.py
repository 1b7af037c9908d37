"""What the push API answers when it does not do what was asked: problem details (RFC 9457), one table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

from engine.customers.push.faults import MOST_FAULTS, Fault

MEDIA_TYPE = "application/problem+json"
PREFIX = "/v1/"
PROBLEMS: Mapping[int, str] = {
    400: "The body is not JSON",
    401: "A valid bearer token is needed",
    404: "There is nothing at this address",
    405: "This address does not answer to that method",
    413: "The body is too large",
    415: "The body is of another type than JSON or NDJSON",
    422: "The body does not fit; nothing of it was written",
    429: "Too many requests with this token",
    500: "Something failed here; nothing was written",
    503: "The database is away; nothing was written, try again",
}
"""The title of each status. The OpenAPI description is made of it too."""


def problem(
    status: int,
    detail: str = "",
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An answer with this status. `faults`: what is wrong with the body, by path."""
    title = PROBLEMS.get(status, "The request cannot be answered")
    content: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    if detail:
        content["detail"] = detail
    if faults:
        content["errors"] = [_as_json(fault) for fault in faults]
        content["more"] = len(faults) >= MOST_FAULTS
    return JSONResponse(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def _as_json(fault: Fault) -> dict[str, Any]:
    said: dict[str, Any] = {"path": fault.path, "message": fault.message}
    return said if fault.line is None else {**said, "line": fault.line}
