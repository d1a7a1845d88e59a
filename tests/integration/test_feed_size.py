"""A feed of very large stories: each document has a limit, nothing is lost, and the operator hears of it."""

from __future__ import annotations

import json

import pytest
from lxml import etree

from service.serving.compression import compress
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.feeds.feeds import ARCHIVE_PAGE
from service.store.notices import latest
from tests.builders import a_desk, an_article, later, post
from tests.feed_desk import FeedDesk
from tests.reading import Reader
from workers.publish.builder import FeedBuilder, FeedRules

LIMIT = 200_000
LARGE = "<p>" + "Word of the council. " * 2_000 + "</p>"  # 42 KB


@pytest.fixture
def desk(record: Record) -> FeedDesk:
    made = FeedDesk(record)
    made.builder = FeedBuilder(
        record, "https://news.example.org", lambda: made.now, rules=FeedRules(feed_bytes=LIMIT)
    )
    return made


def publish(desk: FeedDesk, source: Source, count: int, body: str = LARGE) -> None:
    for n in range(count):
        story = an_article(
            external_id=str(n), headline=f"Story {n}.", body_html=body, summary=f"In short {n}."
        )
        post(desk.record, source, story, now=later(n / 100))
    desk.work(later(10))


def test_a_feed_of_55_large_stories_stays_within_its_limit_and_loses_none(desk: FeedDesk) -> None:
    publish(desk, a_desk(desk.record), 55)
    for fmt in ("rss", "atom", "json", "html"):
        assert len(desk.body("world", fmt)) <= LIMIT
        assert len(compress(desk.body("world", fmt), "gzip", best=False)) < LIMIT
    shown = desk.items("world")
    assert [item["title"] for item in shown] == [f"Story {n}." for n in range(54, ARCHIVE_PAGE - 1, -1)]
    assert len(shown[0]["content_html"]) > 40_000
    assert "In short 50." in shown[-1]["content_html"]
    assert len(shown[-1]["content_html"]) < 1_000
    page = desk.atom("world", 1)
    assert len(page.findall("{*}entry")) == ARCHIVE_PAGE
    assert len(etree.tostring(page)) <= LIMIT + 20_000


def test_the_newest_story_of_a_feed_stays_by_its_summary_if_it_alone_is_too_large(desk: FeedDesk) -> None:
    publish(desk, a_desk(desk.record), 1, LARGE * 10)
    (item,) = desk.items("world")
    assert item["title"] == "Story 0."
    assert "In short 0." in item["content_html"]
    assert len(desk.body("world", "rss")) < LIMIT


def test_the_operator_hears_once_that_a_feed_is_too_large(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, 55)
    post(desk.record, source, an_article(external_id="1", headline="Again", body_html=LARGE), now=later(20))
    desk.work(later(20))
    found = [
        each for each in latest(desk.record) if each.kind == "feed.too_large" and each.about == "feed:world"
    ]
    assert len(found) == 1
    assert "DATELINE_FEED_BYTES" in found[0].words


def test_a_partners_own_feed_has_all_stories_within_the_limit(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    reader = Reader(desk, ["world"])
    publish(desk, source, 20)
    assert [item["title"] for item in reader.read()] == [f"Story {n}." for n in range(19, -1, -1)]
    assert len(reader.get("json").data) <= LIMIT


def test_a_json_feed_holds_each_body_once(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    words = "The harbour reopens."
    both = {"body_html": f"<p>{words}</p>", "body_text": words}
    post(desk.record, source, an_article(external_id="both", **both))
    post(desk.record, source, an_article(external_id="text", body_html=None, body_text=words))
    desk.work()
    for item in json.loads(desk.body("world", "json"))["items"]:
        assert ("content_html" in item) != ("content_text" in item)
