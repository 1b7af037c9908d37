"""Reading a posted form, urlencoded or multipart, within a limit (RFC 8058 §3.1: a receiver must take both)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

LIMIT_BYTES = 16 * 1024
_FIELDS = 20


async def read_form(request: Request) -> dict[str, str]:
    """The text fields of the body, the first of each name; files are passed over.

    Raises HTTPException 413 where the body is over `LIMIT_BYTES`, 400 where it is not a form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await _read(request)
    if kind == "application/x-www-form-urlencoded":
        return _urlencoded(body)
    if kind == "multipart/form-data":
        return await _multipart(request, body)
    raise HTTPException(400)


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:12]) > LIMIT_BYTES:
        raise HTTPException(413)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LIMIT_BYTES:
                raise HTTPException(413)
    except ClientDisconnect:
        raise HTTPException(400) from None
    return bytes(body)


def _urlencoded(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS
        )
    except ValueError:
        raise HTTPException(400) from None
    return dict(reversed(pairs))


async def _multipart(request: Request, body: bytes) -> dict[str, str]:
    async def replay() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers, replay(), max_files=_FIELDS, max_fields=_FIELDS, max_part_size=LIMIT_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, UnicodeError):
        raise HTTPException(400) from None
    try:
        items = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    finally:
        await form.close()
    return dict(reversed(items))
