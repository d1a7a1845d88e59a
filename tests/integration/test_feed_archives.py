"""Archives (RFC 5005): pages that whoever was away can read back, and that show what became of each story."""

from __future__ import annotations

import json

import pytest
from lxml import etree

from service.store import operations
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.feeds import archives
from service.store.feeds.feeds import ARCHIVE_PAGE, due_feeds
from tests.builders import a_desk, a_takedown, an_article, later, post
from tests.feed_desk import URL, FeedDesk

ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def desk(record: Record) -> FeedDesk:
    return FeedDesk(record)


def publish(desk: FeedDesk, source: Source, numbers: range, at: float = 0, **fields: object) -> None:
    for n in numbers:
        story = an_article(external_id=str(n), headline=f"Story {n}.", **fields)
        post(desk.record, source, story, now=later(at + n / 100))
    desk.work(later(at + 10))


def links(root: etree._Element) -> dict[str, str]:
    found = root.iter(f"{ATOM}link")
    return {link.get("rel", ""): link.get("href", "") for link in found if link.getparent() is not None
            and link.getparent().tag in {f"{ATOM}feed", "channel"}}  # fmt: skip


def titles(root: etree._Element) -> list[str]:
    return [found.findtext(f"{ATOM}title") or "" for found in root.findall(f"{ATOM}entry")]


def state(desk: FeedDesk, page: int, fmt: str = "atom") -> object:
    return archives.get_page(desk.record, "world", page, fmt)


def test_a_reader_that_was_away_finds_every_story_exactly_where_the_links_lead(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    total = 2 * ARCHIVE_PAGE + 17
    publish(desk, source, range(total))
    # Corrections of old stories fill the feed: what is on no page yet must not fall out of it.
    for n in range(70):
        changed = an_article(external_id=str(n), headline=f"Story {n}.", correction_note="Sorry.")
        post(desk.record, source, changed, now=later(20 + n / 100))
    desk.work(later(30))
    seen, root = set(titles(desk.atom("world"))), desk.atom("world")
    while "prev-archive" in (found := links(root)):
        page = int(found["prev-archive"].removeprefix(f"{URL}/feeds/world/").removesuffix(".atom"))
        root = desk.atom("world", page)
        seen |= set(titles(root))
    assert seen == {f"Story {n}." for n in range(total)}
    assert len(desk.items("world")) == 60 + 17


def test_pages_are_linked_both_ways_and_to_the_feed(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(2 * ARCHIVE_PAGE))
    base = f"{URL}/feeds/world"
    assert links(desk.atom("world"))["prev-archive"] == f"{base}/2.atom"
    for fmt in ("atom", "rss"):
        second = etree.fromstring(desk.body("world", fmt, 2))
        assert {rel: href for rel, href in links(second).items() if rel != "alternate"} == {
            "self": f"{base}/2.{fmt}",
            "current": f"{base}.{fmt}",
            "prev-archive": f"{base}/1.{fmt}",
            "next-archive": f"{base}/3.{fmt}",
        }
        assert len(list(second.iter("{http://purl.org/syndication/history/1.0}archive"))) == 1
        assert "prev-archive" not in links(etree.fromstring(desk.body("world", fmt, 1)))
    assert b"history/1.0" not in desk.body("world")


def test_a_page_that_is_not_complete_is_not_made(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(ARCHIVE_PAGE - 1))
    assert state(desk, 1) is None
    assert "prev-archive" not in links(desk.atom("world"))
    publish(desk, source, range(ARCHIVE_PAGE - 1, ARCHIVE_PAGE), at=20)
    assert titles(desk.atom("world", 1)) == [f"Story {n}." for n in reversed(range(ARCHIVE_PAGE))]


def test_new_stories_leave_a_page_as_it_is_and_a_takedown_changes_it(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(ARCHIVE_PAGE), packages=["p"])
    before = state(desk, 1)
    publish(desk, source, range(ARCHIVE_PAGE, 3 * ARCHIVE_PAGE), at=40)
    assert state(desk, 1) == before
    post(desk.record, source, a_takedown("killed", external_id="7"), now=later(70))
    desk.work(later(70))
    for page in (desk.atom("world", 1), etree.fromstring(desk.body("package/p", "atom", 1))):
        assert "Story 7." not in titles(page)
        assert "Story withdrawn" in titles(page)
        assert len(titles(page)) == ARCHIVE_PAGE
    after = state(desk, 1)
    post(desk.record, source, an_article(external_id="7", headline="Story 7."), now=later(80))
    desk.work(later(80))
    assert state(desk, 1) == after, "a killed story comes back by an operator, or by something surely newer"


def test_a_restored_story_is_on_its_page_again(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(ARCHIVE_PAGE))
    post(desk.record, source, a_takedown("withheld", external_id="7"), now=later(20))
    desk.work(later(20))
    assert "Story 7." not in titles(desk.atom("world", 1))
    publish(desk, source, range(7, 8), at=30)
    assert "Story 7." in titles(desk.atom("world", 1))


def test_a_notice_stays_on_its_page_when_its_time_in_the_feed_is_over(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(ARCHIVE_PAGE))
    post(desk.record, source, a_takedown("killed", external_id="7"), now=later(20))
    desk.work(later(20))
    desk.work(later(15 * 86_400))
    assert b"Story withdrawn" not in desk.body("world")
    assert b"Story withdrawn" in desk.body("world", "atom", 1)


def test_a_story_put_under_an_embargo_anew_is_a_notice_on_its_page_until_it_ends(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(ARCHIVE_PAGE))
    publish(desk, source, range(7, 8), at=20, embargo_until=later(100), summary="Held")
    assert "Story 7." not in titles(desk.atom("world", 1))
    assert len(titles(desk.atom("world", 1))) == ARCHIVE_PAGE
    assert b"Held" not in desk.body("world", page=1)
    desk.work(later(100))
    assert "Story 7." in titles(desk.atom("world", 1))


def test_an_embargoed_story_takes_its_place_in_the_order_of_release(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article(external_id="s", headline="Secret", embargo_until=later(60)))
    publish(desk, source, range(ARCHIVE_PAGE), at=1)
    assert "Secret" not in titles(desk.atom("world", 1))
    desk.work(later(60))
    publish(desk, source, range(ARCHIVE_PAGE, 2 * ARCHIVE_PAGE - 1), at=70)
    assert titles(desk.atom("world", 2))[-1] == "Secret"


def test_feeds_come_before_pages_and_pages_some_at_a_time(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    for n in range(ARCHIVE_PAGE):
        post(desk.record, source, an_article(external_id=str(n), packages=[f"p{i}" for i in range(20)]))
    while routing.route(desk.record, desk.now).more:
        pass
    assert desk.builder.drain() == 25 + 20
    assert len(json.loads(desk.body("package/p19", "json"))["items"]) == ARCHIVE_PAGE
    # 4 pages of 24, for `china` has none; and the feeds that lead to the pages made before.
    assert desk.builder.drain() == 20 + 4
    assert desk.builder.drain() == 4
    assert desk.builder.drain() == 0


def test_a_correction_of_a_story_on_a_page_is_read_there_after_sixty_others(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(ARCHIVE_PAGE), packages=["p"], summary="Four hurt")
    publish(
        desk, source, range(3), at=20, summary="Nobody was hurt", correction_note="Sorry.", packages=["p"]
    )
    publish(desk, source, range(100, 100 + 2 * ARCHIVE_PAGE), at=40, packages=["p"])
    assert b"Sorry." not in desk.body("world", "atom")
    for slug in ("world", "package/p", "all", "source/wire"):
        for fmt in ("atom", "rss"):
            page = desk.body(slug, fmt, 1)
            assert page.count(b"Nobody was hurt") >= 3
            assert page.count(b"Sorry.") >= 3


def test_a_page_of_a_takedown_is_made_before_those_of_corrections(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(3 * ARCHIVE_PAGE))
    for n in (1, ARCHIVE_PAGE + 1):
        post(desk.record, source, an_article(external_id=str(n), headline="Changed"), now=later(20))
    killed = a_takedown("killed", external_id=str(2 * ARCHIVE_PAGE + 1))
    post(desk.record, source, killed, now=later(21))
    while routing.route(desk.record, later(21)).more:
        pass
    due = archives.due_pages(desk.record, later(22))
    assert {each.page for each in due[:1]} == {3}
    assert {each.page for each in archives.due_takedowns(desk.record, later(22))} == {3}


def test_a_link_to_an_archive_leads_to_a_page_that_is_there(desk: FeedDesk) -> None:
    """The feed is built first: until the page is made too, all of its stories stand in the feed."""
    source = a_desk(desk.record)
    for n in range(ARCHIVE_PAGE + 20):
        post(desk.record, source, an_article(external_id=str(n), headline=f"Story {n}."), now=later(n / 100))
    desk.now = later(5)
    while routing.route(desk.record, desk.now).more:
        pass
    for due in due_feeds(desk.record):
        desk.builder.build(desk.builder._publisher(), due, desk.now)
    assert state(desk, 1) is None
    assert "prev-archive" not in links(desk.atom("world"))
    assert {f"Story {n}." for n in range(ARCHIVE_PAGE + 20)} == set(titles(desk.atom("world")))
    desk.work()
    assert links(desk.atom("world"))["prev-archive"] == f"{URL}/feeds/world/1.atom"
    assert state(desk, 1) is not None


def test_a_renamed_sections_archive_is_readable_all_the_while(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(ARCHIVE_PAGE))
    operations.rename_section(desk.record, "world", "abroad", actor="operator", now=later(20))
    page = archives.get_page(desk.record, "abroad", 1, "atom")
    assert page is not None
    desk.work(later(21))
    assert f"{URL}/feeds/abroad/1.atom".encode() in desk.body("abroad", "atom", 1)


def test_the_time_of_a_feed_never_goes_back_when_its_newest_story_moves_away(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(3))
    publish(desk, source, range(7, 8), at=100)
    before = desk.atom("world").findtext(f"{ATOM}updated")
    publish(desk, source, range(7, 8), at=200, sections=("china",))
    assert "Story 7." not in titles(desk.atom("world"))
    after = desk.atom("world").findtext(f"{ATOM}updated")
    assert before is not None
    assert after is not None
    assert after >= before


def test_a_held_story_has_a_notice_and_no_tombstone_and_a_killed_one_has_both(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    publish(desk, source, range(3))
    post(desk.record, source, a_takedown("withheld", external_id="1"), now=later(20))
    desk.work(later(20))
    assert len(titles(desk.atom("world"))) == 3
    assert b"deleted-entry" not in desk.body("world")
    post(desk.record, source, a_takedown("unpublished", external_id="2"), now=later(30))
    desk.work(later(30))
    assert desk.body("world").count(b"<at:deleted-entry") == 1
    assert len(json.loads(desk.body("world", "json"))["_dateline"]["deleted"]) == 1
