"""Paper's own API on loopback: the stories that are public, as its editors left them, and the faults that it has."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from service import times
from tests.paper_system import PAPER_TOKEN, a_story


@dataclass
class Paper:
    """The system: `stories` are all it has, `hidden` the ids that are not public. `fails`: the status of every answer
    while it is set; `lists`: the ids that its list shows, if that is wrong. `broken`: stories at which it fails, with
    the status; `asks_to_wait`: the Retry-After of the answers to come, each a 429 (None: it does not say)."""

    stories: dict[str, dict[str, Any]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    fails: int = 0
    lists: list[str] | None = None
    broken: dict[str, int] = field(default_factory=dict)
    asks_to_wait: list[str | None] = field(default_factory=list)
    page: int = 3
    seen: list[str] = field(default_factory=list)
    url: str = ""
    before_answer: Any = None  # called with the path before a story is answered

    def publish(self, story_id: str, at: str = "2026-01-02T08:00:00Z", **changes: Any) -> dict[str, Any]:
        self.stories[story_id] = a_story(id=story_id, updated_at=at, **changes)
        self.hidden.discard(story_id)
        return self.stories[story_id]

    def public(self) -> list[str]:
        return sorted(each for each in self.stories if each not in self.hidden)

    def answer(self, path: str) -> tuple[int, Any]:
        parts = urlsplit(path)
        query = {name: value[0] for name, value in parse_qs(parts.query).items()}
        if self.fails:
            return self.fails, {}
        if parts.path == "/ids":
            ids = self.public() if self.lists is None else self.lists
            return 200, self._page("ids", ids, "/ids?", query)
        if parts.path == "/stories":
            since = times.from_iso(query["since"])
            changed = [
                self.stories[each]
                for each in self.public()
                if times.from_iso(self.stories[each]["updated_at"]) >= since
            ]
            return 200, self._page(
                "stories", changed, f"/stories?since={query['since'].replace('+', '%2B')}&", query
            )
        story_id = parts.path.rpartition("/")[2]
        if self.before_answer:
            self.before_answer(story_id)
        if story_id in self.broken:
            return self.broken[story_id], {}
        if story_id not in self.public():
            return 404, {}
        return 200, self.stories[story_id]

    def _page(self, name: str, found: list[Any], path: str, query: dict[str, str]) -> dict[str, Any]:
        start = int(query.get("start", "0"))
        page: dict[str, Any] = {name: found[start : start + self.page]}
        if start + self.page < len(found):
            page["next"] = f"{self.url}{path}start={start + self.page}"
        return page


@contextmanager
def a_paper_server() -> Iterator[Paper]:
    paper = Paper()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            paper.seen.append(self.path)
            authorized = self.headers.get("Authorization") == f"Bearer {PAPER_TOKEN}"
            wait = paper.asks_to_wait.pop(0) if paper.asks_to_wait else ""
            status, body = paper.answer(self.path) if authorized else (401, {})
            if wait != "":
                status, body = 429, {}
            raw = json.dumps(body).encode()
            self.send_response(status)
            if wait:
                self.send_header("Retry-After", wait)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    paper.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield paper
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
