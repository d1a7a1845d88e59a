"""A story's content as the record keeps it: canonical JSON."""

from __future__ import annotations

import json
from typing import Any

import orjson


def canonical(content: dict[str, Any]) -> str:
    """The same content is the same text."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def read(content: str) -> dict[str, Any]:
    """Exactly what was written."""
    found: dict[str, Any] = json.loads(content)
    return found


def glance(content: str) -> dict[str, Any]:
    """In a third of the time, for who looks and does not pass it on: a number beyond 64 bits loses digits."""
    try:
        found: dict[str, Any] = orjson.loads(content)
    except orjson.JSONDecodeError:  # what the standard library takes beyond the standard, such as NaN
        return read(content)
    return found
