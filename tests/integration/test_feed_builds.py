"""Which stories stand in which feeds, what a change costs, and when a feed changes by itself."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

import feeds
from service.store import operations
from service.store.articles import accept
from service.store.database.record import Record, open_record
from service.store.deliveries import routing
from service.store.feeds import documents, sections
from service.store.feeds.entries import prune_entries
from service.store.feeds.feeds import due_feeds, open_feeds
from service.store.feeds.takedowns import due_takedowns
from tests.builders import NOW, a_desk, a_source, a_takedown, an_article, later, post
from tests.conftest import KEY
from tests.feed_desk import FeedDesk, publish
from workers.publish import entry_cache


@pytest.fixture
def desk(record: Record) -> FeedDesk:
    return FeedDesk(record)


@pytest.fixture
def serialised(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """How often each story was serialised in each format."""
    counted: Counter[tuple[str, str]] = Counter()
    real: Callable[..., dict[feeds.Format, bytes | None]] = entry_cache.serialise

    def counting(desk: object, story: entry_cache.Story) -> dict[feeds.Format, bytes | None]:
        made = real(desk, story)
        counted.update((story.public_id, fmt) for fmt in made)
        return made

    monkeypatch.setattr(entry_cache, "serialise", counting)
    return counted


# --- kinds


def test_story_is_in_the_feeds_of_its_sections_packages_language_and_source(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    story = an_article(packages=["china-focus", "دریائے سندھ"], language="zh-Hans-CN", headline="港口")
    post(desk.record, source, story)
    desk.work()
    slugs = [each.slug for each in open_feeds(desk.record)]
    assert slugs == [
        "world", "china", "all", "language/zh", "language/zh-hans", "package/b5065c29",
        "package/china-focus", "source/wire",
    ]  # fmt: skip
    shown = {slug: desk.headlines(slug) for slug in slugs}
    assert shown.pop("china") == []
    assert set(map(tuple, shown.values())) == {("港口",)}


def test_title_of_a_feed_names_its_subject(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article(packages=["China Focus"], language="ur"))
    operations.add_package(desk.record, "belt-and-road", "Belt and Road", actor="operator", now=NOW)
    desk.work()
    titles = {each.slug: (each.title, each.language) for each in open_feeds(desk.record)}
    assert titles["package/china-focus"] == ("China Focus", None)
    assert titles["package/belt-and-road"] == ("Belt and Road", None)
    assert titles["language/ur"] == ("اردو", "ur")
    assert titles["source/wire"] == ("Wire", None)
    assert titles["all"] == ("All sections", None)
    assert json.loads(desk.body("package/belt-and-road", "json"))["items"] == []


def test_a_package_gets_its_title_after_its_first_story_too(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article(packages=["focus"]))
    desk.work()
    assert (
        operations.add_package(desk.record, "focus", "In focus", actor="operator", now=NOW) == "package/focus"
    )
    desk.work()
    assert json.loads(desk.body("package/focus", "json"))["title"] == "In focus"
    assert desk.headlines("package/focus") == ["Harbour reopens after the storm"]


def test_a_story_that_leaves_a_package_leaves_its_feed(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article(packages=["focus"]))
    desk.work()
    post(desk.record, source, an_article(packages=[], headline="Second"), now=later(1))
    desk.work(later(1))
    assert desk.headlines("package/focus") == []
    assert desk.headlines("world") == ["Second"]


@pytest.mark.parametrize("name", ["all", "package", "language", "source"])
def test_no_section_may_take_the_name_of_a_kind(record: Record, name: str) -> None:
    with pytest.raises(sections.NotPossible, match="choose another"):
        operations.add_section(record, name, "Mine", None, actor="operator", now=NOW)


# --- what a change costs


def test_a_story_in_ten_sections_is_serialised_once_in_each_format(
    desk: FeedDesk, serialised: Counter[tuple[str, str]]
) -> None:
    slugs = tuple(f"s{n}" for n in range(10))
    source = a_desk(desk.record, *slugs)
    for n in range(3):
        post(desk.record, source, an_article(external_id=str(n), sections=slugs), now=later(n))
    desk.work(later(5))
    assert set(serialised.values()) == {1}
    assert len(serialised) == 3 * len(feeds.RENDITIONS)
    post(desk.record, source, an_article(external_id="1", sections=slugs, headline="New"), now=later(9))
    desk.work(later(9))
    assert sorted(serialised.values()) == [1] * 8 + [2] * 4
    assert desk.headlines("s7")[0] == "New"


def test_after_a_restart_nothing_is_serialised_again(
    desk: FeedDesk, serialised: Counter[tuple[str, str]]
) -> None:
    source = a_desk(desk.record)
    for n in range(3):
        post(desk.record, source, an_article(external_id=str(n)), now=later(n))
    desk.work(later(5))
    before = desk.body("world")
    serialised.clear()
    restarted = FeedDesk(desk.record)
    post(desk.record, source, an_article(external_id="new", headline="Newest"), now=later(6))
    restarted.work(later(6))
    assert set(serialised.values()) == {1}
    assert len(serialised) == len(feeds.RENDITIONS)
    assert before.partition(b"<entry")[2] in restarted.body("world")


def test_a_story_that_cannot_be_shown_is_left_out_and_the_feed_stands(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article(external_id="bad", headline="\x00"))
    post(desk.record, source, an_article(external_id="good"), now=later(1))
    desk.work(later(2))
    assert desk.headlines("world") == ["Harbour reopens after the storm"]
    FeedDesk(desk.record).work(later(3))  # what is kept of it in the record says so too
    assert len(desk.atom("world").findall("{*}entry")) == 1


def test_entries_in_the_record_are_bounded(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    for n in range(6):
        post(desk.record, source, an_article(external_id=str(n)), now=later(n))
        desk.work(later(n))
    assert prune_entries(desk.record, most=8) == 16
    assert prune_entries(desk.record, most=8) == 0
    post(desk.record, source, an_article(external_id="new"), now=later(9))
    FeedDesk(desk.record).work(later(9))
    assert len(desk.items("world")) == 7


def test_the_etag_moves_when_and_only_when_the_bytes_do(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article())
    desk.work()
    first = documents.get_document(desk.record, "world", "rss")
    operations.add_package(desk.record, "x", "X", actor="operator", now=NOW)
    with desk.record.writing() as connection:
        connection.execute(text("UPDATE feed SET wanted = wanted + 1"))
    FeedDesk(desk.record).work(later(60))
    assert documents.get_document(desk.record, "world", "rss") == first
    post(desk.record, source, an_article(headline="Other"), now=later(61))
    desk.work(later(61))
    second = documents.get_document(desk.record, "world", "rss")
    assert first is not None
    assert second is not None
    assert (second.etag != first.etag, second.modified_at > first.modified_at) == (True, True)


# --- time


def test_an_embargoed_story_is_nowhere_until_its_second_and_then_the_newest(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    secret = an_article(external_id="s", headline="Secret", embargo_until=later(60), packages=["p"])
    post(desk.record, source, secret)
    post(desk.record, source, an_article(external_id="o", headline="Open"), now=later(5))
    desk.work(later(59.999999))
    for each in open_feeds(desk.record):
        for fmt in feeds.RENDITIONS:
            assert b"Secret" not in desk.body(each.slug, fmt)
    assert desk.work(later(60)) > 0
    assert desk.headlines("world") == ["Secret", "Open"]
    assert desk.headlines("package/p") == ["Secret"]
    (item,) = desk.items("package/p")
    assert item["date_published"] == "2026-11-24T08:01:00+00:00"


def test_an_expired_story_is_left_out_at_its_second_even_before_its_event(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article(headline="Fleeting", expires_at=later(60)))
    desk.work(later(1))
    assert desk.headlines("world") == ["Fleeting"]
    post(desk.record, source, an_article(external_id="2", headline="Lasting"), now=later(60))
    desk.work(later(60))
    assert desk.headlines("world") == ["Lasting"]
    accept.expire_due(desk.record, later(60.1))
    desk.work(later(61))
    assert desk.headlines("world") == ["Story no longer available", "Lasting"]


@pytest.mark.parametrize("status", ["withheld", "killed", "unpublished"])
def test_withdrawn_story_keeps_its_place_as_a_notice_for_the_configured_time(
    record: Record, status: str
) -> None:
    desk = FeedDesk(record, withdrawn_stays=timedelta(days=3))
    source = a_desk(record)
    given = post(record, source, an_article(headline="Secret", body_html="<p>Secret</p>"))
    post(record, source, an_article(external_id="2", headline="Other"), now=later(1))
    desk.work(later(2))
    post(record, source, a_takedown(status), now=later(10))
    desk.work(later(10))
    item, other = desk.items("world")
    assert item["id"] == given.article
    assert item["_dateline"]["status"] == status
    assert item["date_modified"] > other["date_modified"]
    # A held story may come back: a reader that obeys a tombstone would retire it for good.
    stones = [] if status == "withheld" else [given.article]
    assert [gone.get("ref") for gone in desk.atom("world").findall("{*}deleted-entry")] == stones
    for fmt in feeds.RENDITIONS:
        assert b"Secret" not in desk.body("world", fmt)
    end = later(10) + timedelta(days=3)
    assert desk.work(end - timedelta(microseconds=1)) == 0
    assert desk.work(end) > 0
    assert desk.headlines("world") == ["Other"]
    assert b"deleted-entry" not in desk.body("world")


def test_notice_is_in_every_feed_that_had_the_story(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article(sections=("china",)))
    desk.work()
    post(desk.record, source, an_article(sections=("world",)), now=later(1))
    desk.work(later(1))
    assert desk.headlines("china") == []
    post(desk.record, source, a_takedown("killed"), now=later(2))
    desk.work(later(2))
    assert desk.headlines("china") == desk.headlines("world") == ["Story withdrawn"]


def test_story_that_never_was_public_leaves_no_notice_even_if_taken_down_twice(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article(embargo_until=later(60)))
    post(desk.record, source, a_takedown("withheld"), now=later(1))
    post(desk.record, source, a_takedown("killed"), now=later(90))
    desk.work(later(100))
    assert desk.items("world") == desk.items("all") == []


def test_a_story_under_a_new_embargo_is_killed_at_once(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article())
    desk.work()
    post(desk.record, source, an_article(headline="Two", embargo_until=later(600)), now=later(1))
    desk.work(later(1))
    assert [item["_dateline"]["status"] for item in desk.items("world")] == ["withheld"]
    post(desk.record, source, a_takedown("killed"), now=later(2))
    desk.work(later(2))
    (item,) = desk.items("world")
    assert (item["title"], item["date_modified"][:19]) == ("Story withdrawn", "2026-11-24T08:00:02")


def test_a_restored_story_is_itself_again(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    given = post(desk.record, source, an_article())
    desk.work()
    operations.kill(desk.record, given.article, reason="r", actor="operator", now=later(1))
    desk.work(later(1))
    operations.restore(desk.record, given.article, reason=None, actor="operator", now=later(2))
    desk.work(later(2))
    assert desk.headlines("world") == ["Harbour reopens after the storm"]
    assert b"deleted-entry" not in desk.body("world")


def test_a_correction_of_a_story_older_than_the_newest_shows_with_its_note(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    for n in range(65):
        post(desk.record, source, an_article(external_id=str(n), headline=f"Story {n}"), now=later(n))
    desk.work(later(200))
    assert "Story 0" not in desk.headlines("world")
    note = "It was noon."
    post(
        desk.record,
        source,
        an_article(external_id="0", headline="Story 0", correction_note=note),
        now=later(300),
    )
    desk.work(later(300))
    assert desk.headlines("world")[0] == "Story 0"
    assert note in desk.items("world")[0]["content_html"]


# --- order


def test_the_same_events_in_another_order_and_database_give_the_same_bytes(
    record: Record, sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "other.db")
    other = open_record(f"sqlite:///{tmp_path / 'other.db'}", KEY)
    first, second = _made_of(record, seed=1), _made_of(other, seed=2)
    other.close()
    assert first == second
    assert len(first) == 4 * 11


def _made_of(record: Record, seed: int) -> dict[tuple[str, str], bytes]:
    """The documents of twelve stories of three revisions each, whose events came in this order.

    The stories are filed in the same order: by it those of one moment get different times.
    """
    source = a_desk(record)
    desk, order = FeedDesk(record), random.Random(seed)
    left = {n: [1, 2] for n in range(12)}
    for n in left:
        _post_revision(record, source, n, 0)
    while left:
        n = order.choice(sorted(left))
        revision = left[n].pop(0)
        _post_revision(record, source, n, revision)
        if not left[n]:
            del left[n]
        if order.random() < 0.2:
            desk.work(later(1000))
    desk.work(later(1000))
    return {
        (each.slug, fmt): desk.body(each.slug, fmt) for each in open_feeds(record) for fmt in feeds.RENDITIONS
    }


def _post_revision(record: Record, source: object, n: int, revision: int) -> None:
    """The moments are those of the event, whenever it comes; ids are given, as those of other days would be."""
    at = later(100 * revision + n // 3)  # three at a time in the same microsecond
    story = an_article(
        external_id=str(n),
        headline=f"Story {n}.{revision}",
        sections=("world",) if revision < 2 or n % 2 else ("china",),
        packages=[f"p{n % 3}"],
        language=("en", "ur", "zh-Hant")[n % 3],
        embargo_until=later(400) if n % 4 == 0 else None,
        version=revision,
        published_at="2026-11-24T08:00:00Z",
    )
    if n % 5 == 3 and revision == 2:
        story = a_takedown("killed", external_id=str(n), version=revision)
    given = post(record, source, story, now=at)  # type: ignore[arg-type]
    if revision == 0:
        with record.writing() as connection:
            fixed = f"tag:news.example.org,2026-11-24:item/{n:03d}"
            connection.execute(
                text("UPDATE article SET public_id = :fixed WHERE public_id = :made"),
                {"fixed": fixed, "made": given.article},
            )


def test_two_sources_have_a_feed_each(desk: FeedDesk) -> None:
    wire = a_desk(desk.record)
    radio = a_source(desk.record, "radio")
    post(desk.record, wire, an_article(headline="By wire"))
    post(desk.record, radio, an_article(headline="By radio"), now=later(1))
    desk.work(later(1))
    assert desk.headlines("source/wire") == ["By wire"]
    assert desk.headlines("source/radio") == ["By radio"]
    assert desk.headlines("all") == ["By radio", "By wire"]


def test_routing_and_building_at_the_same_time_never_wait_for_each_other_for_ever(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    done, failures = threading.Event(), []

    def build() -> None:
        try:
            while not done.is_set():
                desk.builder.drain()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    desk.now = later(1000)
    for n in range(60):
        story = an_article(external_id=str(n % 20), headline=f"Story {n}", packages=["p"])
        post(desk.record, source, story, now=later(n))
        routing.route(desk.record, later(n))
    done.set()
    thread.join(30)
    assert failures == []
    desk.work(later(1000))
    assert desk.headlines("package/p") == [f"Story {n}" for n in range(59, 39, -1)]


def test_a_kill_is_built_before_hundreds_of_other_feeds_that_wait(record: Record) -> None:
    desk = FeedDesk(record)
    source = a_desk(record)
    bad = publish(desk, source, "bad", packages=["z-last"])
    # Each story opens a feed of its own, and all of them wait longer than those of the kill.
    for number in range(60):
        post(record, source, an_article(external_id=str(number), packages=[f"a{number}"]), now=later(1))
    routing.route(record, later(1))
    operations.kill(record, bad, reason="Wrong person", actor="operator", now=later(2))
    while routing.route(record, later(2)).more:
        pass
    desk.now = later(3)
    first = due_takedowns(record)
    assert {each.slug for each in first} == {"all", "world", "package/z-last", "source/wire", "language/en"}
    steps = iter([True] * (1 + len(first)))
    desk.builder.drain(lambda: next(steps, False))
    assert "Story bad" not in desk.headlines("package/z-last")
    assert "Story bad" not in desk.headlines("all")
    assert len(due_feeds(record)) >= 60
