"""The body of a push. The same event gives the same bytes at every attempt: that is what is signed."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from service.store.pushes import Told


def body(told: Told) -> bytes:
    """`{"type", "timestamp", "data"}` as JSON in UTF-8 (interface.md, "A push to a partner").

    A story taken down is named, and nothing of it is told: no headline, no text, no image.
    """
    data: dict[str, Any] = {
        "article": told.article,
        "revision": told.revision,
        "status": told.status,
        "supersedes": list(range(1, told.revision)),
    }
    if told.status == "usable":
        data |= told.content
        data.setdefault("published_at", _rfc3339(told.first_published_at))
        data["updated_at"] = _rfc3339(told.occurred_at)
    message = {"type": told.type, "timestamp": _rfc3339(told.occurred_at), "data": data}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
