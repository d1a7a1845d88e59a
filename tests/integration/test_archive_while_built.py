"""Pages of an archive while they are being built: who asks for one gets it, or the feed that has its stories."""

from __future__ import annotations

import http.client
import json
import re
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.feeds import feeds
from service.store.feeds.feeds import ARCHIVE_PAGE, wake_feeds
from tests.builders import a_desk, an_article, later, post
from tests.feed_desk import FeedDesk
from tests.feeds_server import a_feeds_server
from tests.front import a_web_site
from tests.http_server import a_server_in_a_thread

IMPORTED = 300
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


PREVIOUS = re.compile(rb'href="[^"]*(/feeds/world/[0-9]+)\.atom" rel="prev-archive"')


class BackwardReader:
    """Reads the feed, then its pages backwards until one holds nothing new, as docs/feeds.md says."""

    def __init__(self, port: int) -> None:
        self.stories: set[str] = set()
        self._port = port

    def look(self) -> None:
        path, new = "/feeds/world", True
        while path and new:
            status, _, body = ask(self._port, f"{path}.atom")
            assert status == 200, (path, status)
            found = set(re.findall(r"Story [0-9]+\.", body.decode()))
            new = path == "/feeds/world" or not found <= self.stories
            self.stories |= found
            previous = PREVIOUS.search(body)
            path = previous[1].decode() if previous else ""


@pytest.mark.parametrize("server", ["web", "feeds"])
@pytest.mark.parametrize("unmade", [feeds.PAGES_UNMADE, 2])
def test_no_page_of_an_archive_is_refused_while_an_import_of_300_stories_is_built(
    sqlite_record: Record, server: str, unmade: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        feeds, "PAGES_UNMADE", unmade
    )  # with 2 the feed does not hold all that are on no page yet
    desk = FeedDesk(sqlite_record)
    source = a_desk(sqlite_record)
    post(sqlite_record, source, an_article(external_id="first", headline="First"))
    desk.work()
    with (
        a_server_in_a_thread(a_web_site(sqlite_record))
        if server == "web"
        else a_feeds_server(sqlite_record) as running
    ):
        for number in range(IMPORTED):
            story = an_article(external_id=str(number), headline=f"Story {number}.")
            post(sqlite_record, source, story, now=later(1 + number / 1000))
        desk.now = later(10)
        while routing.route(sqlite_record, desk.now).more:
            pass
        wake_feeds(sqlite_record, desk.now)
        reader = BackwardReader(running.port)
        found = [read(running.port, page) for page in range(1, PAGES + 1)]
        while desk.builder.drain():
            found = [read(running.port, page) for page in range(1, PAGES + 1)]
            reader.look()
        assert all(found)
        assert all(any(f"Story {number}." in each for each in found) for number in range(IMPORTED - 1))
        feed = json.loads(ask(running.port, "/feeds/world.json")[2])
        assert f"Story {IMPORTED - 1}." in {item["title"] for item in feed["items"]}
        assert reader.stories == {f"Story {number}." for number in range(IMPORTED)}
