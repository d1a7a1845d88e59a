"""A desk whose feeds are built through the store and the feed builder, as workers do it, without their processes."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from lxml import etree

from service.settings import FEED_BYTES
from service.store.articles import accept
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.feeds import archives, documents
from service.store.feeds.feeds import wake_feeds
from tests.builders import NOW, an_article, post
from workers.publish.builder import FeedBuilder, FeedRules

URL = "https://news.example.org"


def publish(desk: FeedDesk, source: Source, external_id: str, **changes: Any) -> str:
    """Posts a story (of the section world unless given) and builds its feeds; returns its public id."""
    story = an_article(**{"external_id": external_id, "headline": f"Story {external_id}", **changes})
    answer = post(desk.record, source, story, now=desk.now)
    desk.work()
    return answer.article


class FeedDesk:
    """Routes and publishes at a chosen moment, and reads the documents as readers would."""

    def __init__(
        self,
        record: Record,
        *,
        withdrawn_stays: timedelta = timedelta(days=14),
        feed_bytes: int = FEED_BYTES,
    ) -> None:
        self.record = record
        self.now = NOW
        rules = FeedRules(withdrawn_stays=withdrawn_stays, feed_bytes=feed_bytes)
        self.builder = FeedBuilder(record, URL, lambda: self.now, rules=rules)

    def work(self, now: datetime | None = None) -> int:
        """Routes and builds as workers do at this moment; returns the number of built documents."""
        self.now = now or self.now
        accept.return_due(self.record, self.now)
        while routing.route(self.record, self.now).more:
            pass
        wake_feeds(self.record, self.now)
        built = 0
        while more := self.builder.drain():
            built += more
        return built

    def body(self, slug: str, fmt: str = "atom", page: int | None = None) -> bytes:
        if page is not None:
            found = archives.get_page(self.record, slug, page, fmt)
        else:
            found = documents.get_document(self.record, slug, fmt)
        assert found is not None, f"there is no {slug} ({fmt}, page {page})"
        return found.body

    def items(self, slug: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.body(slug, "json"))["items"]
        return items

    def headlines(self, slug: str) -> list[str]:
        return [item["title"] for item in self.items(slug)]

    def atom(self, slug: str, page: int | None = None) -> etree._Element:
        return etree.fromstring(self.body(slug, "atom", page))
