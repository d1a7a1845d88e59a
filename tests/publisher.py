"""Feeds of a test's own: stories posted through the store, rendered by the worker's feed builder, served by the web."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import Any

import brotli
import zstandard
from werkzeug.datastructures import Headers
from werkzeug.test import Client, TestResponse

from service.app import create_app
from service.settings import Settings
from service.store import operations
from service.store.articles.idempotency import Answer
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import routing
from tests.builders import a_desk, an_article, later, post
from workers.publish.builder import FeedBuilder

PUBLIC_URL = "https://news.example.org"
RSS = "/feeds/world.rss"
UNPACK = {
    "br": brotli.decompress,
    "zstd": zstandard.decompress,
    "gzip": gzip.decompress,
    "identity": bytes,
}


@dataclass
class FeedPublisher:
    """A desk with the sections world and china. Each `publish` is a minute after the last."""

    record: Record
    public_url: str = PUBLIC_URL
    source: Source = field(init=False)
    minutes: int = 0

    def __post_init__(self) -> None:
        self.source = a_desk(self.record)
        self._builder = FeedBuilder(self.record, self.public_url, lambda: later(60 * self.minutes))
        self._builder.drain()

    def publish(self, *stories: dict[str, Any]) -> list[Answer]:
        """Posts the stories and builds the feeds that they are in."""
        self.minutes += 1
        moment = later(60 * self.minutes)
        answers = [
            post(self.record, self.source, an_article(**{"updated_at": moment, **story}), now=moment)
            for story in stories
        ]
        self._build()
        return answers

    def kill(self, article: str) -> None:
        self.minutes += 1
        operations.kill(
            self.record, article, reason="Wrong person named", actor="operator", now=later(60 * self.minutes)
        )
        self._build()

    def _build(self) -> None:
        routing.route(self.record, later(60 * self.minutes))
        self._builder.drain()


def a_story(number: int, **changes: Any) -> dict[str, Any]:
    words = f"Word {number} of the council. " * 20
    return {
        "external_id": str(number),
        "headline": f"Story {number}",
        "body_html": f"<p>{words}</p>",
        **changes,
    }


def some_stories(count: int) -> list[dict[str, Any]]:
    return [a_story(number) for number in range(1, count + 1)]


def a_web(room: FeedPublisher) -> Client:
    """The web application on the room's record. It asks the record at each request, so it is never behind."""
    settings = Settings(public_url=room.public_url, operator_token="t")
    return Client(create_app(settings, room.record, lambda: None))


def get(web: Client, path: str = RSS, method: str = "GET", **headers: str) -> TestResponse:
    """Header names with underscores; without Accept-Encoding unless it is given."""
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return web.open(path, method=method, headers=Headers(named))


def unpacked(answer: TestResponse) -> bytes:
    return UNPACK[answer.headers.get("Content-Encoding", "identity")](answer.data)
