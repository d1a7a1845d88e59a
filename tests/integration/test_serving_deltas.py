"""Answers of both servers to a reader that asks only for new entries (RFC 3229, `A-IM: feed`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import feedparser
import pytest
from werkzeug.test import Client, TestResponse

from service.store.database.record import Record
from tests.feeds_server import a_feeds_server
from tests.publisher import PressRoom, a_story, a_web, get, some_stories, unpacked

NEWSBOAT = "newsboat/2.21.0 (Linux x86_64)"
READER = "python-reader/3.26 (+https://github.com/lemon24/reader)"
_addresses = (f"192.0.2.{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def room(standing_record: Record) -> PressRoom:
    room = PressRoom(standing_record)
    room.publish(*some_stories(5))
    return room


@pytest.fixture(scope="module", params=["web", "feeds"])
def web(room: PressRoom, request: pytest.FixtureRequest) -> Iterator[Client]:
    if request.param == "web":
        yield a_web(room)
        return
    with a_feeds_server(room.record) as server:
        yield server  # type: ignore[misc]


@pytest.fixture(scope="module")
def news(web: Client, room: PressRoom) -> tuple[str, set[str]]:
    """The tag of the feed as it was before two more stories came and one changed; their headlines."""
    etag: str = get(web, Accept_Encoding="gzip").headers["ETag"]
    stories = {number: f"Story {number}, after {etag[3:9]}" for number in (6, 7, 1)}
    room.publish(*(a_story(number, headline=headline) for number, headline in stories.items()))
    return etag, set(stories.values())


@pytest.fixture(scope="module")
def base(news: tuple[str, set[str]]) -> str:
    return news[0]


def delta(
    web: Client, base: str, *, agent: str = NEWSBOAT, a_im: str = "feed", address: str | None = None
) -> TestResponse:
    """Asks from an address of its own, unless it is given."""
    return get(
        web,
        User_Agent=agent,
        A_IM=a_im,
        If_None_Match=base,
        Accept_Encoding="gzip",
        X_Forwarded_For=address or next(_addresses),
    )


@pytest.mark.parametrize("agent", [NEWSBOAT, READER])
def test_known_reader_gets_only_the_entries_that_are_new_to_it(
    web: Client, news: tuple[str, set[str]], agent: str
) -> None:
    base, headlines = news
    answer = delta(web, base, agent=agent)
    assert (answer.status_code, answer.headers["IM"]) == (226, "feed")
    assert answer.headers["Delta-Base"] == base
    assert answer.headers["Cache-Control"] == "no-store, im"
    assert "CDN-Cache-Control" not in answer.headers
    assert answer.headers["Vary"] == "A-IM, If-None-Match, Accept-Encoding"
    assert answer.headers["ETag"] == get(web, Accept_Encoding="gzip").headers["ETag"]
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    titles = {entry.title for entry in feedparser.parse(unpacked(answer)).entries}
    assert titles == headlines
    assert delta(web, answer.headers["ETag"], agent=agent).status_code == 304


def test_reader_that_asks_again_from_the_same_version_gets_the_whole_feed(web: Client, base: str) -> None:
    assert [delta(web, base, address="203.0.113.6").status_code for _ in range(3)] == [226, 200, 200]
    assert delta(web, base, address="203.0.113.7").status_code == 226


@pytest.mark.parametrize(
    "asked",
    [
        {"agent": "feedparser/6.0.10 +https://github.com/kurtmckee/feedparser/"},
        {"agent": "rss2email/3.14"},
        {"agent": "Mozilla/5.0 (like newsboat/2)"},
        {"agent": ""},
        {"a_im": "diffe, gdiff"},
        {"a_im": "feed;q=0"},
        {"a_im": "nofeed"},
        {"base": '"0123456789abcdef0123456789abcdef.gz"'},
    ],
    ids=str,
)
def test_everyone_else_gets_the_whole_document(web: Client, base: str, asked: dict[str, Any]) -> None:
    assert delta(web, **{"base": base, **asked}).status_code == 200


@pytest.mark.parametrize("a_im", ["feed", "gdiff, feed", "FEED;q=0.9", "feed ; q=1, gdiff;q=0"])
def test_a_reader_may_ask_in_any_way_that_the_standard_knows(web: Client, base: str, a_im: str) -> None:
    assert delta(web, base, a_im=a_im).status_code == 226


def test_a_story_that_was_taken_down_is_new_to_every_reader(sqlite_record: Record) -> None:
    room = PressRoom(sqlite_record)
    web = a_web(room)
    _, killed = room.publish(a_story(1), a_story(8, headline="Minister named"))
    known = get(web, Accept_Encoding="gzip").headers["ETag"]
    room.kill(killed.article)
    answer = delta(web, known)
    assert answer.status_code == 226
    [notice] = feedparser.parse(unpacked(answer)).entries
    assert notice.id == killed.article
    assert b"Minister" not in unpacked(answer)
