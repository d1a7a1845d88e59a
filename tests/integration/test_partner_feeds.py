"""The stories in a partner's own feed, which nobody else learns of."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import feedparser
import pytest
from lxml import etree

from feeds import FORMATS
from service.serving import catalogue
from service.serving.export import Exporter
from service.store import operations
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.errors import NotFound, NotPossible, UnknownSections
from service.store.feeds import documents, listings, partner_feeds
from service.store.feeds.contents import NEWEST
from service.store.feeds.feeds import due_feeds, open_feeds
from service.store.feeds.partner_contents import MOST_CHANGED, UNREAD_STAYS
from tests.builders import NOW, a_desk, a_takedown, an_article, later, post
from tests.feed_desk import URL, FeedDesk, publish
from tests.reading import Reader

HASH = "0" * 64


def kill(desk: FeedDesk, article: str, seconds: float) -> None:
    desk.now = later(seconds)
    operations.kill(desk.record, article, reason="Wrong person", actor="operator", now=desk.now)
    desk.work()


def test_a_partner_reads_the_stories_of_its_sections_once_each_the_last_changed_first(
    desk: FeedDesk, source: Source
) -> None:
    operations.add_section(desk.record, "sport", "Sport", "en", actor="operator", now=NOW)
    both, everything = Reader(desk, ["world", "china"]), Reader(desk)
    for number, where in enumerate([("world",), ("china", "world"), ("sport",)]):
        desk.now = later(number)
        publish(desk, source, str(number), sections=where)
    assert both.headlines() == ["Story 1", "Story 0"]
    assert everything.headlines() == ["Story 2", "Story 1", "Story 0"]
    assert everything.read() == desk.items("all")  # entries are the public ones, byte for byte


def test_a_partner_reads_a_section_of_any_script(desk: FeedDesk, source: Source) -> None:
    for slug in ("中国", "اردو"):
        operations.add_section(desk.record, slug, slug, None, actor="operator", now=NOW)
    reader = Reader(desk, ["中国"])
    publish(desk, source, "1", sections=("中国",))
    publish(desk, source, "2", sections=("اردو",))
    assert reader.headlines() == ["Story 1"]
    assert reader.get("json").headers["Link"].isascii()


@pytest.mark.parametrize("fmt", FORMATS)
def test_readers_take_a_partners_feed_and_its_documents_do_not_tell_its_address(
    desk: FeedDesk, source: Source, fmt: str
) -> None:
    reader = Reader(desk, ["world"])
    publish(desk, source, "1")
    answer = reader.get(fmt)
    assert reader.token.encode() not in answer.data
    assert b"partner/" not in answer.data.replace(b"feed/partner/", b"")  # its id is the only mention
    own = f'<{URL}/partner/feeds/{reader.token}.{fmt}>; rel="self"'
    assert answer.headers["Link"].startswith(own)
    if fmt == "json":
        told = json.loads(answer.data)
        assert "feed_url" not in told
        assert (told["title"], told["language"]) == ("World", "en")
    else:
        parsed = feedparser.parse(answer.data)
        assert not parsed.bozo
        assert parsed.feed.title == "World"
        assert etree.fromstring(answer.data).xpath("//*[@rel='self' or @rel='prev-archive']") == []
        assert [each.title for each in parsed.entries] == ["Story 1"]


def test_a_feed_is_titled_by_its_sections_unless_it_is_given_a_title(desk: FeedDesk) -> None:
    slug = Reader(desk).slug

    def title_of(token: str, **options: Any) -> str:
        new = partner_feeds.NewPartnerFeed(slug, token_hash=token, **options)
        return operations.add_feed(desk.record, new, actor="operator", now=NOW).title

    assert title_of("1", sections=["world", "china"]) == "World, China"
    assert title_of("2") == "All sections"
    assert title_of("3", title="For Herald") == "For Herald"


def test_impossible_feed_is_refused_and_leaves_nothing(desk: FeedDesk) -> None:
    with pytest.raises(NotFound, match="there is no partner 'nobody'"):
        operations.add_feed(
            desk.record, partner_feeds.NewPartnerFeed("nobody", token_hash=HASH), actor="operator", now=NOW
        )
    slug = Reader(desk).slug
    before = len(due_feeds(desk.record))
    with pytest.raises(UnknownSections, match="moon"):
        operations.add_feed(
            desk.record,
            partner_feeds.NewPartnerFeed(slug, token_hash=HASH, sections=["moon"]),
            actor="operator",
            now=NOW,
        )
    assert len(due_feeds(desk.record)) == before
    with pytest.raises(NotFound, match="there is no feed '99'"):
        operations.rotate_feed(desk.record, 99, HASH, actor="operator", now=NOW)
    with pytest.raises(NotFound, match="there is no feed '99'"):
        operations.revoke_feed(desk.record, 99, actor="operator", now=NOW)


def test_a_partners_feed_is_in_no_list_and_at_no_public_address(
    desk: FeedDesk, source: Source, tmp_path: Path
) -> None:
    reader = Reader(desk, title="Only for Herald")
    publish(desk, source, "1")
    slug = f"partner/{reader.feed_id}"
    assert reader.headlines() == ["Story 1"]
    record = desk.record
    assert slug not in {each.slug for each in open_feeds(record)}
    assert slug not in {feed for feed, _ in documents.listing(record)}
    assert slug not in {each.feed for each in listings.listing(record)}
    assert all(documents.get_document(record, slug, fmt) is None for fmt in FORMATS)
    for page in (catalogue.outline(record, URL), catalogue.index(record, URL)):
        assert b"Herald" not in page
        assert b"partner" not in page
    assert Exporter(record, URL, tmp_path, lambda: NOW).sync().files > 5
    assert not (tmp_path / "feeds" / "partner").exists()
    for path in (f"/feeds/{slug}.json", f"/feeds/{slug}", f"/feeds/{slug}/1.atom", "/feeds/partner.rss"):
        assert reader.client.get(path).status_code == 404, path


def test_embargoed_story_comes_at_its_time(desk: FeedDesk, source: Source) -> None:
    reader = Reader(desk, ["world"])
    publish(desk, source, "1")
    publish(desk, source, "2", embargo_until=later(600))
    desk.work(later(599))
    assert reader.headlines() == ["Story 1"]
    desk.work(later(600))
    assert reader.headlines() == ["Story 2", "Story 1"]


def test_a_renamed_section_is_still_read_and_a_closed_one_is_not(desk: FeedDesk, source: Source) -> None:
    reader = Reader(desk, ["world", "china"])
    publish(desk, source, "1")
    publish(desk, source, "2", sections=("china",))
    operations.rename_section(desk.record, "world", "abroad", actor="operator", now=later(1))
    desk.work(later(1))
    publish(desk, source, "3", sections=("abroad",))
    assert sorted(reader.headlines()) == ["Story 1", "Story 2", "Story 3"]
    operations.close_section(desk.record, "china", actor="operator", now=later(2))
    desk.work(later(2))
    assert sorted(reader.headlines()) == ["Story 1", "Story 3"]


def fill(desk: FeedDesk, source: Source, first: int, last: int, seconds: float) -> None:
    desk.now = later(seconds)
    for number in range(first, last):
        post(
            desk.record, source, an_article(external_id=str(number), headline=f"Story {number}"), now=desk.now
        )
    desk.work()


def test_partner_that_was_away_misses_nothing_up_to_a_bound(sqlite_record: Record) -> None:
    source, desk = a_desk(sqlite_record), FeedDesk(sqlite_record)
    reader = Reader(desk, ["world"])
    fill(desk, source, 0, 40, 60)
    desk.now = later(7200)
    assert len(reader.read()) == 40
    fill(desk, source, 40, 140, 86_400)  # a day later; nobody has read since
    desk.now = later(86_400 + 7200)
    assert len(reader.read()) == 100
    fill(desk, source, 140, 141, 2 * 86_400)  # all were read but one: the newest are enough
    assert len(reader.read()) == NEWEST
    fill(desk, source, 141, 141 + MOST_CHANGED + 20, 4 * 86_400)
    assert len(reader.read()) == MOST_CHANGED


def test_takedown_stays_until_the_partner_read_it(desk: FeedDesk, source: Source) -> None:
    reader = Reader(desk, ["world"])
    story = publish(desk, source, "1")
    assert reader.headlines() == ["Story 1"]
    day = 86_400.0
    kill(desk, story, day)
    for days in (16, 89):  # long after the public feed has dropped the notice
        desk.now = later(days * day)
        publish(desk, source, f"at {days}")
        assert "1" not in {each.get("external_id") for each in desk.items("world")}
        assert [each["_dateline"]["status"] for each in desk.items("world")].count("killed") == 0
    told = reader.read()
    assert [each["_dateline"]["status"] for each in told] == ["usable", "usable", "killed"]
    desk.now = later(90 * day)
    publish(desk, source, "after")
    assert "killed" not in {each["_dateline"]["status"] for each in reader.read()}


def test_a_new_feed_has_no_notice_of_a_story_that_it_never_showed(desk: FeedDesk, source: Source) -> None:
    """An importer would publish "Story withdrawn" as a new article. The partner's older feed has the notice."""
    old = Reader(desk, ["world"])
    desk.work()
    bad = publish(desk, source, "bad")
    assert bad in {item["id"] for item in old.read()}
    kill(desk, bad, 5)
    assert publish(desk, source, "good", summary="A story") != bad
    new = Reader(desk, ["world"])
    second = Reader(desk, ["world"], slug=old.slug)
    desk.work()
    for reader in (new, second):
        assert bad not in {item["id"] for item in reader.read()}
    shown = {item["id"]: item["_dateline"]["status"] for item in old.read()}
    assert shown[bad] == "killed"
    desk.work(later(5) + timedelta(days=14))
    assert bad not in {item["id"] for item in old.read()}


def test_takedown_that_was_read_stays_its_usual_days_however_much_is_published(
    sqlite_record: Record,
) -> None:
    source, desk = a_desk(sqlite_record), FeedDesk(sqlite_record)
    reader = Reader(desk, ["world"])
    story = publish(desk, source, "first")
    reader.read()
    kill(desk, story, 60)
    reader.read()
    for hour in range(1, 4):
        fill(desk, source, hour * 100, hour * 100 + 70, hour * 7200)
        assert reader.read()[-1]["_dateline"]["status"] == "killed"
    desk.now = later(15 * 86_400)
    publish(desk, source, "last")
    assert "killed" not in {each["_dateline"]["status"] for each in reader.read()}


def test_a_partner_that_is_gone_for_good_is_not_waited_for_without_end(
    desk: FeedDesk, source: Source
) -> None:
    reader = Reader(desk, ["world"])
    story = publish(desk, source, "1")
    reader.read()
    kill(desk, story, 60)
    desk.now = later(60) + UNREAD_STAYS
    publish(desk, source, "2")
    assert reader.headlines() == ["Story 2"]


def test_new_feed_does_not_begin_with_notices_for_others(desk: FeedDesk, source: Source) -> None:
    old = Reader(desk, ["world"])
    story = publish(desk, source, "1")
    old.read()
    kill(desk, story, 60)
    desk.now = later(30 * 86_400)
    new = Reader(desk, ["world"])
    publish(desk, source, "2")
    assert new.headlines() == ["Story 2"]


def test_reader_of_a_story_that_moved_and_was_killed_gets_the_notice(desk: FeedDesk, source: Source) -> None:
    reader = Reader(desk, ["world"])
    publish(desk, source, "1")
    reader.read()
    desk.now = later(60)
    publish(desk, source, "1", sections=("china",))
    assert reader.headlines() == []
    desk.now = later(120)
    post(desk.record, source, a_takedown("withheld", external_id="1"), now=desk.now)
    desk.work()
    [notice] = reader.read()
    assert notice["_dateline"]["status"] == "withheld"
    assert reader.held() == {"1": 3}


def test_a_notice_that_waits_to_be_read_does_not_keep_the_workers_building(
    desk: FeedDesk, source: Source
) -> None:
    reader = Reader(desk, ["world"])
    story = publish(desk, source, "1")
    reader.read()
    kill(desk, story, 60)
    desk.work(later(60) + timedelta(days=14, seconds=1))
    assert desk.work() == 0


def test_a_revoked_feed_is_not_built_any_more_and_cannot_be_brought_back(
    desk: FeedDesk, source: Source
) -> None:
    reader = Reader(desk)
    publish(desk, source, "1")
    reader.revoke()
    assert not operations.revoke_feed(desk.record, reader.feed_id, actor="operator", now=NOW)
    post(desk.record, source, an_article(external_id="2"), now=later(1))
    routing.route(desk.record, later(1))
    assert f"partner/{reader.feed_id}" not in {each.slug for each in due_feeds(desk.record)}
    with pytest.raises(NotPossible, match="dateline feed add"):
        reader.rotate()


def test_the_same_stories_make_the_same_bytes_and_an_unchanged_feed_keeps_its_validators(
    desk: FeedDesk, source: Source
) -> None:
    one, other = Reader(desk, ["world"]), Reader(desk, ["world"])
    publish(desk, source, "1")
    before = one.get("rss")
    assert before.data == other.get("rss").data
    with desk.record.writing() as connection:
        connection.exec_driver_sql("UPDATE feed SET wanted = wanted + 1")
    desk.work(later(3600))
    after = one.get("rss")
    assert (after.data, after.headers["ETag"]) == (before.data, before.headers["ETag"])
    assert after.headers["Last-Modified"] == before.headers["Last-Modified"]
