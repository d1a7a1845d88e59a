"""One process at a time builds feeds; and should it be two, no document of an older state is written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

import pytest
from sqlalchemy import select, text

import feeds
from service.store.articles.sources import Source
from service.store.coordination import leases
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.feeds import archives, placements
from service.store.feeds.archives import PageDue
from service.store.feeds.documents import Rendering
from service.store.feeds.feeds import ARCHIVE_PAGE, FeedDue, due_feeds, open_feeds
from service.store.schema.articles import article
from tests.builders import a_desk, a_takedown, an_article, later, post
from tests.feed_desk import URL, FeedDesk
from workers.leader import Clocks, LeaderLease
from workers.publish.builder import FeedBuilder
from workers.publish.task import PUBLISH_LEASE, PublishTask

A_BUILD = 4.0  # seconds that it takes here


@pytest.fixture
def desk(record: Record) -> FeedDesk:
    return FeedDesk(record)


# --- one at a time


class SlowHours:
    """Time that goes on by some seconds whenever a builder asks for it: before each document."""

    def __init__(self, meanwhile: Callable[[datetime], None]) -> None:
        self.seconds = 0.0
        self._meanwhile = meanwhile

    def now(self) -> datetime:
        return later(self.seconds)

    def steady(self) -> float:
        return self.seconds

    def of_builder(self) -> datetime:
        self.seconds += A_BUILD
        self._meanwhile(self.now())
        return self.now()


def a_publish_task(record: Record, hours: SlowHours) -> PublishTask:
    lease = LeaderLease(record, Clocks(hours.now, hours.steady))
    builder = FeedBuilder(record, URL, hours.of_builder, steady=hours.steady)
    return PublishTask(builder, lease, "one", hours.steady)


def ask_for_many(record: Record, count: int = 12) -> None:
    FeedBuilder(record, URL, lambda: later(0)).drain()  # a new desk notes how its feeds are written
    post(record, a_desk(record), an_article(packages=[f"p{n}" for n in range(count)]))
    routing.route(record, later(0))


def test_a_long_drain_keeps_its_lease_to_the_end(record: Record) -> None:
    ask_for_many(record)
    taken: list[bool] = []

    def try_to_take(now: datetime) -> None:
        taken.append(leases.acquire(record, "publish", "other", now=now, lasts=PUBLISH_LEASE))

    hours = SlowHours(try_to_take)
    a_publish_task(record, hours).drain()
    assert len(taken) > 12
    assert hours.seconds > 4 * PUBLISH_LEASE.total_seconds()
    assert not any(taken)
    assert due_feeds(record) == []
    assert leases.acquire(record, "publish", "other", now=hours.now(), lasts=PUBLISH_LEASE), (
        "it was given back"
    )


def test_a_publisher_that_has_lost_the_lease_builds_no_more_and_leaves_it_to_the_other(
    record: Record,
) -> None:
    ask_for_many(record)
    before = len(due_feeds(record))

    def take_over(_: datetime) -> None:
        lease = leases.find(record, "publish")
        if lease is not None and lease.holder != "other":
            assert leases.take_over(record, lease, "other", now=later(3600), lasts=PUBLISH_LEASE)

    a_publish_task(record, SlowHours(take_over)).drain()
    assert len(due_feeds(record)) == before - 1
    lease = leases.find(record, "publish")
    assert lease is not None
    assert lease.holder == "other"


# --- two at once


def publish(desk: FeedDesk, source: Source, numbers: range, at: float) -> None:
    for n in numbers:
        post(
            desk.record,
            source,
            an_article(external_id=str(n), headline=f"Story {n}."),
            now=later(at + n / 100),
        )
    route(desk, at + 1)


def kill(desk: FeedDesk, source: Source, name: str, at: float) -> None:
    post(desk.record, source, a_takedown("killed", external_id=name), now=later(at))
    route(desk, at)


def route(desk: FeedDesk, at: float) -> None:
    while routing.route(desk.record, later(at)).more:
        pass


def the_due_page(desk: FeedDesk, at: float) -> PageDue:
    (due,) = [each for each in archives.due_pages(desk.record, later(at)) if each.feed == "world"]
    return due


def test_a_page_built_before_another_takedown_does_not_bring_back_the_killed_story(
    desk: FeedDesk,
) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(ARCHIVE_PAGE), 0)
    desk.work(later(1))
    with_story_8 = desk.body("world", "atom", 1)
    kill(desk, source, "7", 10)
    slow = the_due_page(desk, 10)
    kill(desk, source, "8", 20)
    desk.work(later(20))
    as_it_is = desk.body("world", "atom", 1)
    made = {"atom": Rendering(with_story_8, "older")}
    archives.store_page(desk.record, slow, made, due_at=None, now=later(21))
    assert desk.body("world", "atom", 1) == as_it_is
    assert b"Story 8." not in as_it_is


def test_a_page_made_while_another_takedown_asks_for_it_stays_due(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(ARCHIVE_PAGE), 0)
    desk.work(later(1))
    kill(desk, source, "7", 10)
    slow = the_due_page(desk, 10)
    kill(desk, source, "8", 20)
    made = {"atom": Rendering(b"older", "older")}
    archives.store_page(desk.record, slow, made, due_at=None, now=later(21))
    assert the_due_page(desk, 21).due_at != slow.due_at, "the wish that came meanwhile stands"
    desk.work(later(22))
    assert b"Story 8." not in desk.body("world", "atom", 1)


def test_a_story_killed_while_its_page_is_made_for_the_first_time_is_not_on_it(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(ARCHIVE_PAGE), 0)
    (world,) = [each for each in due_feeds(desk.record) if each.slug == "world"]
    placements.number_new(desk.record, world, later(1))
    slow = the_due_page(desk, 1)
    kill(desk, source, "7", 2)
    made = {fmt: Rendering(b"Story 7.", "older") for fmt in feeds.ARCHIVED}
    archives.store_page(desk.record, slow, made, due_at=None, now=later(3))
    assert archives.get_page(desk.record, "world", 1, "atom") is None
    desk.work(later(4))
    assert b"Story 7." not in desk.body("world", "atom", 1)
    assert b"Story withdrawn" in desk.body("world", "atom", 1)


def test_numbers_that_another_gave_count_for_a_publisher_that_read_the_feed_before(desk: FeedDesk) -> None:
    """Else its document would lead to no archive, though there is one, until something changes again."""
    source = a_desk(desk.record)
    for n in range(ARCHIVE_PAGE):  # public when they are numbered, not when they are routed
        post(desk.record, source, an_article(external_id=str(n), embargo_until=later(2)), now=later(0))
    route(desk, 1)
    (early,) = [each for each in due_feeds(desk.record) if each.slug == "world"]
    assert early.sequence == 0
    placements.number_new(desk.record, early, later(2))
    assert placements.number_new(desk.record, early, later(2)) == ARCHIVE_PAGE


def test_two_publishers_at_once_leave_the_documents_of_one_alone(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    desk.now = later(10_000)
    done, failures = threading.Event(), []

    def build(builder: FeedBuilder) -> None:
        try:
            while not done.is_set():
                builder.drain()
        except Exception as error:
            failures.append(error)

    builders = [FeedBuilder(desk.record, URL, lambda: later(10_000)) for _ in range(2)]
    threads = [threading.Thread(target=build, args=(builder,)) for builder in builders]
    for thread in threads:
        thread.start()
    for n in range(2 * ARCHIVE_PAGE + 30):
        story = an_article(external_id=str(n), headline=f"Story {n}.", packages=["p"])
        post(desk.record, source, story, now=later(n))
        if n % 4 == 3:
            post(desk.record, source, a_takedown("killed", external_id=str(n - 3)), now=later(n + 0.5))
        if n % 3 == 0:
            route(desk, n + 0.6)
    done.set()
    for thread in threads:
        thread.join(60)
    assert failures == []
    desk.work(later(10_000))
    left = everything(desk)
    assert len(left) >= 5 * (4 + 2), "a page of each feed's archive, or two"
    with desk.record.writing() as connection:
        connection.execute(text("UPDATE feed SET wanted = wanted + 1"))
        connection.execute(text("UPDATE archive SET due_at = 1"))
    FeedDesk(desk.record).work(later(10_000))
    assert everything(desk) == left
    killed = select(article.c.external_id).where(article.c.status == "killed")
    with desk.record.reading() as connection:
        gone = connection.execute(killed).scalars().all()
    assert len(gone) == (2 * ARCHIVE_PAGE + 30) // 4
    for body in left.values():
        assert not [number for number in gone if f"Story {number}.".encode() in body]


def everything(desk: FeedDesk) -> dict[tuple[str, int | None, str], bytes]:
    public: list[FeedDue] = [each for each in open_feeds(desk.record) if each.slug != "china"]
    whole = {(each.slug, None, fmt): desk.body(each.slug, fmt) for each in public for fmt in feeds.RENDITIONS}
    return whole | {
        (each.slug, page, fmt): desk.body(each.slug, fmt, page)
        for each in public
        for page in range(1, each.archived + 1)
        for fmt in feeds.ARCHIVED
    }
