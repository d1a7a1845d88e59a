"""The demo's blog, which runs Ghost: its stories as the webhooks that Ghost sends, signed as Ghost signs."""

from __future__ import annotations

import hmac
import json
from datetime import datetime
from typing import Any

from service import times

_EVENTS = {"posted": "post.published", "edited": "post.published.edited"}


def webhook(story: dict[str, Any], action: str, now: datetime) -> bytes:
    """The body of the webhook for a step of the story."""
    article = story["article"]
    html: str = article["body_html"]
    if action == "edited":
        for before, after in story["then"]["article"]["replace"].items():
            html = html.replace(before, after)
    at = times.to_iso(now, timespec="seconds")
    current = {
        "id": article["id"],
        "title": article["headline"],
        "custom_excerpt": article["summary"],
        "html": html,
        "url": article["url"],
        "status": "published",
        "visibility": "public",
        "published_at": at,
        "updated_at": at,
        "authors": article["authors"],
        "tags": [
            {"name": each, "slug": each.lower(), "visibility": "public"} for each in article["sections"]
        ],
    }
    hook = {"event": _EVENTS[action], "post": {"current": current, "previous": {}}}
    return json.dumps(hook, ensure_ascii=False).encode()


def signature(body: bytes, secret: str, now: datetime) -> str:
    """The X-Ghost-Signature: the time, in milliseconds, is signed along."""
    at = str(int(now.timestamp() * 1000))
    return f"sha256={hmac.digest(secret.encode(), body + at.encode(), 'sha256').hex()}, t={at}"
