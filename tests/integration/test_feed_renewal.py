"""A desk's name, logo or address that changes is seen in what was made already: feeds, and pages of archives."""

from __future__ import annotations

import pytest

from feeds import Masthead
from service.store.articles.sources import Source
from service.store.feeds import documents, renewal
from service.store.feeds.feeds import ARCHIVE_PAGE
from tests.builders import an_article, later, post
from tests.feed_desk import URL, FeedDesk
from workers.publish.builder import FeedBuilder, FeedRules

NAME = Masthead("Harbour Daily", "https://news.example.org/logo.png")


def renewed(desk: FeedDesk, masthead: Masthead) -> FeedBuilder:
    """A builder of a worker that was started with this name."""
    builder = FeedBuilder(desk.record, URL, lambda: desk.now, rules=FeedRules(masthead=masthead))
    while builder.drain() or builder.renewing:
        pass
    return builder


@pytest.fixture
def archived(desk: FeedDesk, source: Source) -> FeedDesk:
    """A desk with a page of its archive made."""
    for number in range(ARCHIVE_PAGE + 2):
        story = an_article(external_id=str(number), headline=f"Story {number}")
        post(desk.record, source, story, now=later(number))
    desk.work(later(1_000))
    assert b"Story 0" in desk.body("world", "atom", 1)
    return desk


def test_a_desk_that_gets_a_name_has_it_in_every_feed_and_page_made_before(archived: FeedDesk) -> None:
    before = documents.get_document(archived.record, "world", "rss")
    archived.now = later(2_000)
    renewed(archived, NAME)
    for slug, fmt, page in (
        ("world", "rss", None),
        ("all", "atom", None),
        ("china", "rss", None),
        ("world", "atom", 1),
    ):
        assert b"Harbour Daily" in archived.body(slug, fmt, page)
        assert b"https://news.example.org/logo.png" in archived.body(slug, fmt, page)
    after = documents.get_document(archived.record, "world", "rss")
    assert before
    assert after
    assert before.etag != after.etag
    assert before.modified_at < after.modified_at


def test_feeds_are_made_again_once_and_not_at_every_start(archived: FeedDesk) -> None:
    renewed(archived, NAME)
    assert (
        FeedBuilder(archived.record, URL, lambda: archived.now, rules=FeedRules(masthead=NAME)).drain() == 0
    )


def test_two_workers_with_different_names_do_not_make_all_feeds_again_for_ever(archived: FeedDesk) -> None:
    first = renewed(archived, NAME)
    second = renewed(archived, Masthead("The Other"))
    assert (first.drain(), second.drain(), first.drain()) == (0, 0, 0)


def test_a_worker_killed_in_the_midst_of_it_leaves_the_rest_to_the_next(archived: FeedDesk) -> None:
    style = "another style"
    assert renewal.step(archived.record, style, renewal.Progress(), archived.now) is not None
    assert not renewal.is_current(archived.record, style)
    renewed(archived, NAME)
    assert b"Harbour Daily" in archived.body("world", "atom", 1)
