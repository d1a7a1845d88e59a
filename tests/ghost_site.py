"""A Ghost in this process: its editors' acts, the webhooks that they fire, and its Content API, as Ghost 6 has them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from service import times
from service.intake.adapters.adapter import ApiAnswer, ApiRequest
from workers.net.api_client import ApiUnreachable

GHOST_URL = "https://ghost.example"


@dataclass
class GhostSite:
    """`posts` are all it has, public or not. Each act returns the webhooks that it fires. `reachable`: whether its API
    answers."""

    posts: dict[str, dict[str, Any]] = field(default_factory=dict)
    reachable: bool = True
    page: int = 2

    def publish(self, post_id: str, at: datetime, title: str) -> list[dict[str, Any]]:
        """Publishes a post or changes it; it is public afterwards."""
        moment = times.to_iso(at.replace(microsecond=0))
        before = self.posts.get(post_id, {})
        self.posts[post_id] = {
            "id": post_id,
            "title": title,
            "html": f"<p>{title}</p>",
            "status": "published",
            "visibility": "public",
            "published_at": before.get("published_at", moment),
            "updated_at": moment,
            "tags": [{"name": "World", "slug": "world", "visibility": "public"}],
        }
        return [self._hook("post.published.edited", post_id), {"event": "site.changed"}]

    def set(self, post_id: str, at: datetime, **changes: str) -> list[dict[str, Any]]:
        """One editor's act on one post: a draft again, members only."""
        self.posts[post_id] |= {**changes, "updated_at": times.to_iso(at.replace(microsecond=0))}
        return [self._hook("post.edited", post_id), {"event": "site.changed"}]

    def set_in_bulk(self, status: str) -> list[dict[str, Any]]:
        """An act on all of the list: no post's updated_at moves, and only the site says that it changed."""
        for post in self.posts.values():
            post["status"] = status
        return [{"event": "site.changed"}]

    def delete(self, post_id: str) -> list[dict[str, Any]]:
        before = self.posts.pop(post_id)
        gone = {"event": "post.deleted", "post": {"current": {}, "previous": before}}
        return [{"event": "site.changed"}, gone]

    def public(self) -> list[str]:
        return sorted(
            each["id"]
            for each in self.posts.values()
            if each["status"] == "published" and each["visibility"] == "public"
        )

    def _hook(self, event: str, post_id: str) -> dict[str, Any]:
        return {"event": event, "post": {"current": dict(self.posts[post_id]), "previous": {}}}

    def ask(self, request: ApiRequest, _base_url: str, token: str) -> ApiAnswer:
        """The Content API's answer: published posts alone, members-only ones among them."""
        if not self.reachable:
            raise ApiUnreachable("did not answer: nobody is there")
        parts = urlsplit(request.url)
        query = {name: value[0] for name, value in parse_qs(parts.query).items()}
        assert query["key"] == "{token}"
        assert token
        shown = [each for each in self.posts.values() if each["status"] == "published"]
        if wanted := parts.path.removeprefix("/ghost/api/content/posts/").strip("/"):
            found = [each for each in shown if each["id"] == unquote(wanted)]
            missing = {"errors": [{"type": "NotFoundError", "context": "Post not found."}]}
            return _answer(200, {"posts": found}) if found else _answer(404, missing)
        if query["filter"] == "visibility:public":
            listed = sorted(
                (each for each in shown if each["visibility"] == "public"), key=lambda each: str(each["id"])
            )
        else:
            since = query["filter"].partition("'")[2].rstrip("'")  # SQLite compares the texts
            listed = [each for each in shown if _as_stored(each["updated_at"]) >= since]
            listed.sort(key=lambda each: str(each["updated_at"]))
        number = int(query["page"])
        end = number * self.page
        fields = query["fields"].split(",")
        posts = [{name: each[name] for name in fields} for each in listed[end - self.page : end]]
        pagination = {"page": number, "next": number + 1 if end < len(listed) else None}
        return _answer(200, {"posts": posts, "meta": {"pagination": pagination}})

    def close(self) -> None:
        """There is no connection."""


def _as_stored(moment: str) -> str:
    return f"{times.from_iso(moment):%Y-%m-%d %H:%M:%S}"


def _answer(status: int, value: Any) -> ApiAnswer:
    return ApiAnswer(status, {}, json.dumps(value).encode())
