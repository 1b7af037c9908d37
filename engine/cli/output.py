"""Answers for programs: one JSON document with a `schema_version`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.cli.context import SCHEMA_VERSION

# JSON escapes the old control characters itself; these would still reach a terminal as they are.
_UNSEEN = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *range(0x2028, 0x202F))}


def document(payload: Mapping[str, Any]) -> str:
    """The payload as JSON, `schema_version` first; moments in ISO 8601, exact decimals as text.

    >>> print(document({"count": 3}))
    {
      "schema_version": 1,
      "count": 3
    }
    """
    whole = {"schema_version": SCHEMA_VERSION, **payload}
    text = json.dumps(whole, ensure_ascii=False, indent=2, default=_spell)
    return text.translate(_UNSEEN)


def _spell(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a JSON document")
