"""The body of a push. The same event gives the same bytes at every attempt: that is what is signed."""

from __future__ import annotations

import json
from typing import Any

import orjson

from service.store.content import glance, read
from service.store.deliveries.push_content import PushContent
from service.times import to_iso


def body(push: PushContent) -> bytes:
    """`{"type", "timestamp", "data"}` as JSON in UTF-8 (interface.md, "A push to a partner").

    An article that was taken down is named, without any of its content: no headline, no text, no image.
    """
    data: dict[str, Any] = {
        "article": push.article,
        "revision": push.revision,
        "status": push.status,
        "supersedes": list(range(1, push.revision)),
    }
    happened = to_iso(push.occurred_at)
    head = f'{{"type":{_json(push.type)},"timestamp":"{happened}","data":'
    if push.status != "usable":
        return f"{head}{_json(data)}}}".encode()
    added = {"published_at": to_iso(push.first_published_at), "updated_at": happened}
    names = glance(push.content).keys()
    if not names or not names.isdisjoint(_OURS):
        content = read(push.content)
        if "published_at" in content:
            del added["published_at"]
        if not content or content.keys() & (data.keys() | added.keys()):
            whole = json.dumps(data | content | added, ensure_ascii=False, separators=(",", ":"))
            return f"{head}{whole}}}".encode()
    # The content is JSON already: writing it again would cost more than all the rest.
    return f"{head}{_json(data)[:-1]},{push.content[1:-1]},{_json(added)[1:]}}}".encode()


def removal(push: PushContent) -> bytes:
    """The body for an endpoint that is to have an article no more, which is public elsewhere."""
    return body(push._replace(type="article.unpublished", status="unpublished"))


_OURS = frozenset({"article", "revision", "status", "supersedes", "published_at", "updated_at"})


def _json(value: Any) -> str:
    """JSON of our own values. Numbers of sources may be longer than orjson can write."""
    return orjson.dumps(value).decode()
