"""Public stories of a feed are numbered without gaps: by routing where it can know, else by the build."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import text

from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import routing
from tests.builders import a_desk, a_takedown, an_article, later, post
from tests.feed_desk import FeedDesk


@pytest.fixture
def source(record: Record) -> Source:
    source = a_desk(record)
    post(record, source, an_article(external_id="first"))
    FeedDesk(record).work(later(1))
    return source


def route(record: Record, now: datetime) -> None:
    while routing.route(record, now).more:
        pass


def numbers(record: Record, feed: str = "world") -> dict[str, int | None]:
    query = text(
        "SELECT a.external_id, p.sequence FROM placement p JOIN article a ON a.id = p.article_id WHERE p.feed = :feed"
    )
    with record.reading() as connection:
        return {row.external_id: row.sequence for row in connection.execute(query, {"feed": feed})}


def last(record: Record, feed: str = "world") -> int:
    query = text("SELECT sequence FROM feed WHERE slug = :feed")
    with record.reading() as connection:
        return int(connection.execute(query, {"feed": feed}).scalar_one())


def test_routed_stories_have_their_numbers_at_once_in_the_order_of_events(
    record: Record, source: Source
) -> None:
    for name in "cab":
        post(record, source, an_article(external_id=name), now=later(10))
    route(record, later(11))
    assert numbers(record) == numbers(record, "all") == {"first": 1, "c": 2, "a": 3, "b": 4}
    assert last(record) == last(record, "source/wire") == 4
    FeedDesk(record).work(later(12))
    assert last(record) == 4


def test_an_update_keeps_its_number_and_takes_none(record: Record, source: Source) -> None:
    post(record, source, an_article(external_id="a"), now=later(10))
    post(record, source, an_article(external_id="a", headline="Changed."), now=later(11))
    route(record, later(12))
    post(record, source, an_article(external_id="a", headline="Changed again."), now=later(13))
    post(record, source, an_article(external_id="b"), now=later(13))
    route(record, later(14))
    assert numbers(record) == {"first": 1, "a": 2, "b": 3}


def test_story_that_moves_into_a_section_is_numbered_when_its_feed_is_built(
    record: Record, source: Source
) -> None:
    post(record, source, an_article(external_id="a", sections=()), now=later(10))
    route(record, later(11))
    post(record, source, an_article(external_id="a"), now=later(12))
    post(record, source, an_article(external_id="b"), now=later(12))
    route(record, later(13))
    assert numbers(record) == {"first": 1, "a": None, "b": 2}
    FeedDesk(record).work(later(14))
    assert numbers(record) == {"first": 1, "a": 3, "b": 2}


@pytest.mark.parametrize(
    ("field", "numbered"), [("embargo_until", 2), ("expires_at", None)], ids=["embargoed", "expired"]
)
def test_story_that_is_not_public_has_no_number(
    record: Record, source: Source, field: str, numbered: int | None
) -> None:
    moment = later(60) if field == "embargo_until" else later(11)
    post(record, source, an_article(external_id="a", **{field: moment}), now=later(10))
    route(record, later(12))
    assert numbers(record) == {"first": 1, "a": None}
    FeedDesk(record).work(later(61))
    assert numbers(record) == {"first": 1, "a": numbered}


def test_story_killed_before_it_was_routed_never_has_a_number(record: Record, source: Source) -> None:
    post(record, source, an_article(external_id="a"), now=later(10))
    post(record, source, a_takedown("killed", external_id="a"), now=later(10.5))
    route(record, later(11))
    FeedDesk(record).work(later(12))
    assert numbers(record)["a"] is None
    assert last(record) == 1


def test_story_from_a_clock_that_is_ahead_is_numbered_at_once_and_keeps_its_number(
    record: Record, source: Source
) -> None:
    """A time ahead hides no story: only an embargo and an expiry do."""
    post(record, source, an_article(external_id="a"), now=later(20))
    route(record, later(11))
    assert numbers(record) == {"first": 1, "a": 2}
    FeedDesk(record).work(later(21))
    assert numbers(record) == {"first": 1, "a": 2}
    assert last(record) == 2


def test_a_new_feed_begins_with_the_story_that_made_it(record: Record, source: Source) -> None:
    for name in "abcd":
        post(record, source, an_article(external_id=name, packages=["focus"]), now=later(10))
    routing.route(record, later(11), limit=2)
    routing.route(record, later(11), limit=2)
    assert numbers(record, "package/focus") == {"a": 1, "b": 2, "c": 3, "d": 4}
    FeedDesk(record).work(later(12))
    assert last(record, "package/focus") == 4


def test_a_closed_feed_gives_no_numbers(record: Record, source: Source) -> None:
    with record.writing() as connection:
        connection.execute(text("UPDATE feed SET closed_at = 1 WHERE slug = 'all'"))
    post(record, source, an_article(external_id="a"), now=later(10))
    route(record, later(11))
    assert numbers(record, "all")["a"] is None
    assert numbers(record)["a"] == 2
