"""The OpenAPI 3.1 description of the push API, made of the tables by which rows are checked and answers are given."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from engine.customers.importing.cells import LONGEST_ID
from engine.customers.push.body import MOST_BYTES, MOST_ITEMS, MOST_ROWS
from engine.customers.push.fields import FIELDS, INDEXED, ITEM_FIELDS, PUSH_KINDS, Field, PushKind
from workers.web.api.problems import MEDIA_TYPE, PREFIX, PROBLEMS

JSON_TYPES = ("application/json",)
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
MEDIA_TYPES = (*JSON_TYPES, *NDJSON_TYPES)
DOCUMENTED = (400, 401, 413, 415, 422, 429, 503)
"""The statuses, 200 aside, with which a POST may be answered."""

_FLAG = ("yes", "no", "true", "false")
_AMOUNT = r"^\s*\d{0,13}(\.\d*)?\s*$"
_COUNT = r"^\s*\d{1,15}\s*$"
_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    415: {"Accept": "The types that are taken"},
    429: {"Retry-After": "Seconds until the next request may come"},
    503: {"Retry-After": "Seconds"},
}
_ABOUT = f"""\
Rows are inserted or updated by their id: the same push twice changes nothing, a later state of an order updates it. A
push is one object, a list of at most {MOST_ROWS:,}, or as many lines of NDJSON; at most {MOST_BYTES:,} bytes and
{MOST_ITEMS:,} items of orders. It lands whole or not at all: after any answer but 200 nothing of it was written. A
field that is left out stays as it is in the database; null empties it. Other methods are answered with 405."""


def describe(url: str) -> dict[str, Any]:
    """The description, as JSON. `url`: where the API is reached."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Yanshu push API", "version": version("yanshu"), "description": _ABOUT},
        "servers": [{"url": url}],
        "security": [{"token": []}],
        "paths": {
            **{f"{PREFIX}{kind}": {"post": _operation(kind)} for kind in PUSH_KINDS},
            f"{PREFIX}openapi.json": {"get": _itself()},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                **{kind: _row(FIELDS[kind]) for kind in PUSH_KINDS},
                "item": _row(ITEM_FIELDS),
                "landed": _landed(),
                "counts": _counts(),
                "problem": _problem(),
            },
            "responses": {str(status): _refusal(status) for status in DOCUMENTED},
        },
    }


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _operation(kind: PushKind) -> dict[str, Any]:
    row = _ref("schemas", kind)
    rows: dict[str, Any] = {"oneOf": [row, {"type": "array", "items": row, "maxItems": MOST_ROWS}]}
    # A line of NDJSON is a row (OpenAPI 3.1 has no word for a stream of them).
    content: dict[str, Any] = {name: {"schema": rows} for name in JSON_TYPES}
    content |= {name: {"schema": row} for name in NDJSON_TYPES}
    refused = {str(status): _ref("responses", str(status)) for status in DOCUMENTED}
    landed = {
        "description": "All rows are in the database",
        "content": {"application/json": {"schema": _ref("schemas", "landed")}},
    }
    return {
        "operationId": f"push_{kind}",
        "summary": f"Push {kind}",
        "requestBody": {"required": True, "content": content},
        "responses": {"200": landed, **refused},
    }


def _itself() -> dict[str, Any]:
    answer = {"description": "This description", "content": {"application/json": {}}}
    return {"summary": "This description", "security": [], "responses": {"200": answer}}


def _row(fields: Mapping[str, Field]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: _schema(field) for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.required],
        "additionalProperties": False,
    }


def _schema(field: Field) -> dict[str, Any]:
    types = field.types
    schema: dict[str, Any] = {
        "type": types[0] if len(types) == 1 else list(types),
        "description": field.says,
        "examples": [field.example],
        **_limits(field),
    }
    if field.words and field.holds == "word":
        schema["enum"] = [*field.words, *(() if field.required else (None,))]
    return schema


def _limits(field: Field) -> dict[str, Any]:
    limits: dict[str, dict[str, Any]] = {
        "id": {"minLength": 1, "maxLength": LONGEST_ID},
        "amount": {"minimum": 0, "pattern": _AMOUNT},
        "count": {"minimum": 0, "pattern": _COUNT},
        "flag": {"enum": [True, False, *_FLAG, None]},
        "items": {"items": _ref("schemas", "item")},
    }
    if field.name in INDEXED:
        return {"maxLength": LONGEST_ID}
    return limits.get(field.holds, {})


def _counts() -> dict[str, Any]:
    names = ("rows", "inserted", "updated", "unchanged")
    number = {"type": "integer", "minimum": 0}
    return {
        "type": "object",
        "properties": dict.fromkeys(names, number),
        "required": list(names),
        "description": "rows = inserted + updated + unchanged",
    }


def _landed() -> dict[str, Any]:
    counts = _counts()
    more = {
        "kind": {"type": "string", "enum": list(PUSH_KINDS)},
        "items": {"oneOf": [_ref("schemas", "counts"), {"type": "null"}]},
        "warnings": {"type": "array", "items": {"type": "string"}},
    }
    return counts | {
        "properties": {**more, **counts["properties"]},
        "required": [*more, *counts["required"]],
    }


def _problem() -> dict[str, Any]:
    text = {"type": "string"}
    fault = {
        "type": "object",
        "properties": {
            "path": text | {"description": "The place in the body", "examples": ["$[3].amount"]},
            "message": text,
            "line": {"type": "integer", "description": "Of NDJSON, from 1"},
        },
        "required": ["path", "message"],
    }
    return {
        "type": "object",
        "description": "Problem details (RFC 9457)",
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "errors": {"type": "array", "items": fault},
            "more": {"type": "boolean", "description": "Whether there may be more errors"},
        },
        "required": ["type", "title", "status"],
    }


def _refusal(status: int) -> dict[str, Any]:
    headers = {
        name: {"description": says, "schema": {"type": "string"}}
        for name, says in _HEADERS.get(status, {}).items()
    }
    return {
        "description": PROBLEMS[status],
        "content": {MEDIA_TYPE: {"schema": _ref("schemas", "problem")}},
        **({"headers": headers} if headers else {}),
    }
