"""The record goes back by some minutes while processes live on: the numbers of rows then name other stories."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from service.store.database.record import Record
from service.store.deliveries import push_content, settlements
from service.store.deliveries.states import State
from service.store.feeds import documents
from service.store.feeds.documents import Rendering
from service.store.feeds.feeds import due_feeds
from tests.builders import NOW, a_desk, an_article, an_endpoint, later, post
from tests.feed_desk import FeedDesk
from tests.sending import WORKER, claim, settlement, work
from workers.deliver.push_requests import PushBuilder


@contextmanager
def set_back(path: Path) -> Iterator[None]:
    """All that is written within is gone at the end, as after a copy was put back: in the file that all have open."""
    with closing(sqlite3.connect(":memory:")) as kept:
        with closing(sqlite3.connect(path)) as live:
            live.backup(kept)
        yield
        with closing(sqlite3.connect(path)) as live:
            kept.backup(live)


def test_no_push_has_another_storys_body_when_the_record_was_set_back(
    sqlite_record: Record, tmp_path: Path
) -> None:
    record = sqlite_record
    source = a_desk(record)
    an_endpoint(record)
    builder = PushBuilder(record)
    with set_back(tmp_path / "dateline.db"):
        lost = post(record, source, an_article(headline="Lost"))
        work(record, NOW)
        [old] = claim(record, NOW)
        builder.bodies([old], push_content.push_contents(record, builder.missing([old])))
    other = post(record, source, an_article(headline="Another"), now=later(5))
    work(record, later(5))
    [new] = claim(record, later(5))
    assert (new.id, new.event_id, new.attempts) == (old.id, old.event_id, old.attempts)
    [(claimed, body)] = builder.bodies([new], push_content.push_contents(record, builder.missing([new])))
    push = builder.build(claimed, body, later(5))
    assert other.article.encode() in push.body
    assert b"Lost" not in push.body
    assert lost.article.encode() not in push.body
    assert dict(push.headers)["webhook-id"] == new.public_id != old.public_id
    answered = [settlement(old, State.DELIVERED, NOW)]
    assert settlements.settle(record, answered, lease=WORKER, now=later(6)) == set()
    assert settlements.settle(
        record, [settlement(new, State.DELIVERED, NOW)], lease=WORKER, now=later(6)
    ) == {new.id}


def test_delivery_whose_event_the_record_does_not_know_any_more_is_not_sent(
    sqlite_record: Record, tmp_path: Path
) -> None:
    record = sqlite_record
    source = a_desk(record)
    an_endpoint(record)
    builder = PushBuilder(record)
    with set_back(tmp_path / "dateline.db"):
        post(record, source, an_article(headline="Lost"))
        work(record, NOW)
        [old] = claim(record, NOW)
    post(record, source, an_article(headline="Another"), now=later(5))
    found = push_content.push_contents(record, builder.missing([old]))
    assert builder.bodies([old], found) == []


def test_no_feed_has_a_story_that_the_record_does_not_know_when_it_was_set_back(
    sqlite_record: Record, tmp_path: Path
) -> None:
    record = sqlite_record
    source = a_desk(record)
    desk = FeedDesk(record)
    desk.work()
    kept = post(record, source, an_article(external_id="kept", headline="Kept"))
    desk.work()
    with set_back(tmp_path / "dateline.db"):
        lost = post(record, source, an_article(external_id="1", headline="Lost"), now=later(1))
        post(record, source, an_article(external_id="kept", headline="Revised and lost"), now=later(1))
        desk.work(later(1))
        assert desk.headlines("world") == ["Revised and lost", "Lost"]
    new = post(record, source, an_article(external_id="2", headline="Another"), now=later(2))
    post(record, source, an_article(external_id="kept", headline="Revised again"), now=later(3))
    desk.work(later(3))
    assert {item["id"] for item in desk.items("world")} == {new.article, kept.article}
    for slug, fmt in documents.listing(record):
        body = desk.body(slug, fmt)
        assert b"Lost" not in body, slug
        assert b"and lost" not in body, slug
        assert lost.article.encode() not in body
    assert sorted(desk.headlines("world")) == ["Another", "Revised again"]


def test_build_of_before_is_not_written_over_the_record_that_was_set_back(
    sqlite_record: Record, tmp_path: Path
) -> None:
    record = sqlite_record
    source = a_desk(record)
    desk = FeedDesk(record)
    desk.work()
    with set_back(tmp_path / "dateline.db"):
        for number in range(3):
            post(record, source, an_article(external_id=str(number), headline="Lost"), now=later(number))
            work(record, later(number))
        [world] = [each for each in due_feeds(record) if each.slug == "world"]
    late = {"rss": Rendering(b"Lost", "etag")}
    assert documents.store_documents(record, world, late, due_at=None, now=later(5)) is None
    assert b"Lost" not in desk.body("world", "rss")
