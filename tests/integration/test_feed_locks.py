"""Building feeds and routing pushes side by side: the push never waits for the feed, and neither misses the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text

from service.store import operations
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.feeds import archives, contents, documents, placements
from service.store.feeds.documents import Rendering
from service.store.feeds.feeds import ARCHIVE_PAGE, due_feeds, open_feeds
from tests.builders import an_article, later, post
from tests.feed_desk import FeedDesk, publish

SECONDS = 10


@contextmanager
def stopped_at(record: Record, beginning: str) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The first statement that begins so stops once it was carried out: (it has, it may go on)."""
    reached, released = threading.Event(), threading.Event()

    def wait(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith(beginning) and not reached.is_set():
            reached.set()
            assert released.wait(SECONDS)

    event.listen(record.engine, "after_cursor_execute", wait)
    try:
        yield reached, released
    finally:
        released.set()
        event.remove(record.engine, "after_cursor_execute", wait)


def test_routing_does_not_wait_for_the_documents_of_a_feed(
    record: Record, desk: FeedDesk, source: Source
) -> None:
    if record.is_sqlite:
        pytest.skip("SQLite lets one writer in at a time")
    publish(desk, source, "1")
    post(record, source, an_article(external_id="2", headline="Story 2"), now=later(1))
    routing.route(record, later(1))
    desk.now = later(2)
    with stopped_at(record, "UPDATE document") as (reached, released):
        building = threading.Thread(target=desk.builder.drain)
        building.start()
        assert reached.wait(SECONDS)
        post(record, source, an_article(external_id="3", headline="Story 3"), now=later(2))
        routed: list[int] = []
        router = threading.Thread(target=lambda: routed.append(routing.route(record, later(2)).events))
        router.start()
        router.join(SECONDS / 2)
        assert routed == [1]
        released.set()
        building.join(SECONDS)
    desk.work(later(3))
    assert desk.headlines("world") == ["Story 3", "Story 2", "Story 1"]


def test_a_build_that_a_closing_overtakes_leaves_no_document(
    record: Record, desk: FeedDesk, source: Source
) -> None:
    publish(desk, source, "1")
    due = next(each for each in open_feeds(record) if each.slug == "world")
    operations.close_section(record, "world", actor="operator", now=later(1))
    bodies = {"rss": Rendering(b"<rss/>", "0" * 32)}
    assert documents.store_documents(record, due, bodies, due_at=None, now=later(2)) is None
    desk.work(later(3))
    assert documents.get_document(record, "world", "rss") is None


def test_an_older_build_changes_nothing(record: Record, desk: FeedDesk, source: Source) -> None:
    publish(desk, source, "1")
    older = next(each for each in open_feeds(record) if each.slug == "world")
    before = desk.body("world", "rss")
    bodies = {"rss": Rendering(b"<rss>of an earlier moment</rss>", "0" * 32)}
    assert documents.store_documents(record, older, bodies, due_at=None, now=later(2)) is None
    assert desk.body("world", "rss") == before


def test_page_rendered_before_a_kill_was_routed_is_not_stored(
    record: Record, desk: FeedDesk, source: Source
) -> None:
    """Nobody can mark a page that is not there yet: it would show the killed story for ever."""
    named = {}
    for number in range(ARCHIVE_PAGE):
        story = an_article(external_id=str(number), headline=f"Story {number}")
        named[number] = post(record, source, story, now=later(number / 100)).article
    desk.now = later(1)
    routing.route(record, desk.now, limit=200)
    for due in due_feeds(record):
        placements.number_new(record, due, desk.now)
    page = next(each for each in archives.due_pages(record, desk.now) if each.feed == "world")
    shown = contents.page_placements(record, "world", page.page, desk.now)
    assert len(shown) == ARCHIVE_PAGE
    bodies = {"rss": Rendering(b"<rss>all of them</rss>", "1" * 32)}
    operations.kill(record, named[7], reason="Wrong person", actor="operator", now=later(2))
    routing.route(record, later(2))
    stored = archives.store_page(record, page, bodies, due_at=None, now=later(2))
    assert not stored
    assert archives.get_page(record, "world", 1, "rss") is None
    desk.work(later(3))
    assert b"Story 8" in desk.body("world", "rss", 1)
    assert b"Story 7<" not in desk.body("world", "rss", 1)


def test_entries_are_stored_packed_and_unpacked_ones_are_served(
    record: Record, desk: FeedDesk, source: Source
) -> None:
    publish(desk, source, "1")
    served = desk.body("world", "rss")
    query = text("SELECT body FROM document WHERE feed = 'world' AND format = 'rss'")
    with record.reading() as connection:
        kept = bytes(connection.execute(query).scalar_one())
    assert kept != served
    assert len(kept) < len(served)
    with record.writing() as connection:
        connection.execute(
            text("UPDATE document SET body = :body WHERE feed = 'world' AND format = 'rss'"), {"body": served}
        )
    assert desk.body("world", "rss") == served
