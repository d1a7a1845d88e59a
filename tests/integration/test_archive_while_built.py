"""Pages of an archive while they are being built: who asks for one gets it, or the feed that has its stories."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.feeds import feeds
from service.store.feeds.feeds import ARCHIVE_PAGE, wake_feeds
from service.store.schema.operations import notice
from tests.builders import a_desk, an_article, later, post
from tests.desk import eventually
from tests.feed_desk import FeedDesk
from tests.feeds_server import a_feeds_server
from tests.front import a_web_site
from tests.http_server import a_server_in_a_thread
from workers.publish import builder

IMPORTED = 250
PAGES = IMPORTED // ARCHIVE_PAGE


def ask(port: int, path: str) -> tuple[int, str, bytes]:
    """The status, the path that it leads to, and the body."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, urlsplit(answer.headers["Location"] or "").path, answer.read()


def read(port: int, page: int) -> str:
    """The answer to a reader of this page, be it there or in the feed that the page leads to meanwhile."""
    status, target, body = ask(port, f"/feeds/world/{page}.atom")
    if status == 307:
        assert target == "/feeds/world.atom"
        status, _, body = ask(port, target)
    assert status in (200, 404), (page, status, body)
    return body.decode() if status == 200 else ""


def titles(port: int) -> set[str]:
    feed = json.loads(ask(port, "/feeds/world.json")[2])
    return {item["title"] for item in feed["items"]}


STORY = re.compile(r"<title[^>]*>(First|Story [0-9]+\.)</title>")
PREVIOUS = re.compile(rb'href="[^"]*(/feeds/world/[0-9]+)\.atom" rel="prev-archive"')


class BackwardReader:
    """Reads the feed, then its pages backwards until one holds nothing new, as docs/feeds.md says."""

    def __init__(self, port: int) -> None:
        self.stories: set[str] = set()
        self._port = port

    def look(self) -> int:
        """How many stories it knows then."""
        known = set(self.stories)
        path, new = "/feeds/world", True
        while path and new:
            status, _, body = ask(self._port, f"{path}.atom")
            assert status == 200, (path, status)
            found = set(STORY.findall(body.decode()))
            new = path == "/feeds/world" or not found <= known
            self.stories |= found
            previous = PREVIOUS.search(body)
            path = previous[1].decode() if previous else ""
        return len(self.stories)


def imported(desk: FeedDesk, source: Source) -> None:
    """Takes an import in, without building its feeds."""
    posted(desk, source)
    routed(desk)


def posted(desk: FeedDesk, source: Source, **fields: Any) -> None:
    for number in range(IMPORTED):
        story = an_article(external_id=str(number), headline=f"Story {number}.", **fields)
        post(desk.record, source, story, now=later(1 + number / 1000))
    desk.now = later(10)


def routed(desk: FeedDesk) -> None:
    while routing.route(desk.record, desk.now).more:
        pass
    wake_feeds(desk.record, desk.now)


@contextmanager
def a_server(record: Record, server: str) -> Iterator[int]:
    """The port of the web, or of the feeds server."""
    with a_server_in_a_thread(a_web_site(record)) if server == "web" else a_feeds_server(record) as running:
        yield running.port


@pytest.mark.parametrize("server", ["web", "feeds"])
def test_no_page_of_an_archive_is_refused_while_an_import_is_built(
    sqlite_record: Record, server: str
) -> None:
    desk = FeedDesk(sqlite_record)
    source = a_desk(sqlite_record)
    post(sqlite_record, source, an_article(external_id="first", headline="First"))
    desk.work()
    with a_server(sqlite_record, server) as port:
        imported(desk, source)

        def pages() -> list[str]:
            return [read(port, page) for page in range(1, PAGES + 1)]

        def all_are_there() -> bool:
            found = pages()
            return all(found) and all(
                any(f"Story {n}." in each for each in found) for n in range(IMPORTED - 1)
            )

        pages()
        while desk.builder.drain():
            pages()
        # A server looks for what was built some times a second.
        eventually(all_are_there, within=10, what="every story of the import")
        eventually(lambda: f"Story {IMPORTED - 1}." in titles(port), within=10, what="the newest story")


@pytest.mark.parametrize("server", ["web", "feeds"])
def test_reader_of_an_import_of_more_than_a_feed_holds_is_led_to_no_page_that_is_not_there(
    sqlite_record: Record, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGES_UNMADE", 2)  # a feed holds the stories of two pages that are not made
    desk = FeedDesk(sqlite_record)
    source = a_desk(sqlite_record)
    post(sqlite_record, source, an_article(external_id="first", headline="First"))
    desk.work()
    with a_server(sqlite_record, server) as port:
        reader = BackwardReader(port)
        imported(desk, source)
        reader.look()
        assert reader.stories == {"First"}
        while desk.builder.drain():
            assert reader.look() in (1, IMPORTED + 1)
        eventually(lambda: reader.look() == IMPORTED + 1, within=10, what="every story")


def test_news_of_an_import_that_is_too_large_for_a_moment_does_not_wait_for_all_its_pages(
    sqlite_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGES_UNMADE", 2)
    monkeypatch.setattr(builder, "PAGES_FIRST_SECONDS", 0.0)
    desk = FeedDesk(sqlite_record)
    imported(desk, a_desk(sqlite_record))
    desk.builder.drain()
    assert f"Story {IMPORTED - 1}." in desk.headlines("world")
    desk.work()
    assert desk.body("world", page=PAGES)


@pytest.mark.parametrize("meanwhile", [False, True], ids=["before the build", "while feeds are built"])
def test_stories_of_an_import_that_is_too_large_for_a_feed_stand_on_pages_and_none_is_cut(
    sqlite_record: Record, meanwhile: bool
) -> None:
    desk = FeedDesk(sqlite_record, feed_bytes=400_000)
    source = a_desk(sqlite_record)
    post(sqlite_record, source, an_article(external_id="first", headline="First"))
    desk.work()
    posted(desk, source, body_html=f"<p>{'The ferry left at dawn. ' * 60}</p>")
    routing.route(sqlite_record, desk.now, limit=1)
    built_before = desk.headlines("all")

    def goes_on() -> bool:
        if not meanwhile or desk.headlines("all") != built_before:  # others are still to be built
            routed(desk)
        return True

    desk.builder.drain(goes_on)
    assert len(desk.items("world")) < IMPORTED
    assert all(len(item["content_html"]) > 1_400 for item in desk.items("world") if item["title"] != "First")
    with sqlite_record.reading() as connection:
        assert connection.execute(select(notice.c.words).where(notice.c.kind == "feed.too_large")).all() == []


def test_kill_in_another_feed_waits_for_no_page_of_an_import(
    sqlite_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGES_UNMADE", 0)
    monkeypatch.setattr(builder, "TAKEDOWN_SECONDS", 0.0)
    monkeypatch.setattr(builder, "PAGES_FIRST_SECONDS", 60.0)
    desk = FeedDesk(sqlite_record)
    source = a_desk(sqlite_record)
    story = an_article(external_id="wrong", headline="Wrong", sections=("china",))
    post(sqlite_record, source, story)
    desk.work()
    imported(desk, source)
    pages_at_the_kill: list[int] = []

    def pages_made() -> int:
        return sum(each.archived for each in feeds.open_feeds(sqlite_record))

    def goes_on() -> bool:
        if pages_made() == 1 and not pages_at_the_kill:
            killed = an_article(external_id="wrong", status="killed", headline="Wrong", sections=("china",))
            post(sqlite_record, source, killed, now=desk.now)
            routing.route(sqlite_record, desk.now)
            pages_at_the_kill.append(-1)
        elif pages_at_the_kill == [-1] and "Wrong" not in desk.headlines("china"):
            pages_at_the_kill[:] = [pages_made()]
        return True

    desk.builder.drain(goes_on)
    assert pages_at_the_kill[0] in (1, 2)
    assert pages_made() > 10


def test_several_pages_of_a_feed_are_made_between_two_builds_of_it(sqlite_record: Record) -> None:
    desk = FeedDesk(sqlite_record)
    imported(desk, a_desk(sqlite_record))
    made = []
    while desk.builder.drain():
        [world] = [each for each in feeds.open_feeds(sqlite_record) if each.slug == "world"]
        made.append(world.archived)
    assert made[0] == PAGES
