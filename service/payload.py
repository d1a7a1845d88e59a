"""The body of a push. The same event gives the same bytes at every attempt: that is what is signed."""

from __future__ import annotations

import json
import re
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
    happened = _rfc3339(told.occurred_at)
    head = f'{{"type":{_json(told.type)},"timestamp":"{happened}","data":'
    if told.status != "usable":
        return f"{head}{_json(data)}}}".encode()
    added = {"published_at": _rfc3339(told.first_published_at), "updated_at": happened}
    if len(told.content) <= len("{}") or _ADDED.search(told.content):
        content = json.loads(told.content)
        if "published_at" in content:
            del added["published_at"]
        if not content or content.keys() & (data.keys() | added.keys()):
            return f"{head}{_json(data | content | added)}}}".encode()
    # The content is JSON already: to read it and write it again would cost more than all the rest.
    return f"{head}{_json(data)[:-1]},{told.content[1:-1]},{_json(added)[1:]}}}".encode()


# Any name of ours, as a key, wherever in the content.
_ADDED = re.compile(r'[{,]"(?:article|revision|status|supersedes|published_at|updated_at)":')


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
