"""Feeds as readers take them: the story's own link, a time that moves, a name that is one."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import feedparser
import pytest
from lxml import etree

from service.serving import catalogue
from service.store import operations
from service.store.articles.sources import Source
from service.store.feeds import documents
from tests.builders import NOW, later
from tests.feed_desk import URL, FeedDesk, publish

SIX_DIGITS = re.compile(rb"\d\d:\d\d:\d\d\.\d{4,}")
PHOTO = {"url": "https://img.example/ship.jpg", "alt": "A ship"}


@pytest.mark.parametrize("fmt", ["rss", "atom"])
def test_a_story_without_an_address_opens_on_a_page_of_ours_and_not_its_photo(
    desk: FeedDesk, source: Source, fmt: str
) -> None:
    article = publish(desk, source, "1", url=None, images=[PHOTO])
    (entry,) = feedparser.parse(desk.body("world", fmt)).entries
    page, _, place = entry.link.partition("#")
    assert page == f"{URL}/feeds/world"
    assert f'<article id="{place}"'.encode() in desk.body("world", "html")
    assert desk.items("world")[0]["url"] == entry.link
    operations.kill(desk.record, article, reason="wrong", actor="operator", now=later(60))
    desk.work(later(61))
    (notice,) = feedparser.parse(desk.body("world", fmt)).entries
    page, _, place = notice.link.partition("#")
    assert page == f"{URL}/feeds/all"
    assert f'<article id="{place}"'.encode() in desk.body("all", "html")


def test_a_story_of_a_closed_section_opens_on_the_page_of_all_stories(desk: FeedDesk, source: Source) -> None:
    publish(desk, source, "1", url=None, sections=["china"])
    operations.close_section(desk.record, "china", actor="operator", now=later(10))
    publish(desk, source, "2", url=None, sections=["china"])
    assert {item["url"].partition("#")[0] for item in desk.items("all")} == {f"{URL}/feeds/all"}


def test_the_whole_of_a_story_without_an_address_is_on_our_page(desk: FeedDesk, source: Source) -> None:
    body = "<p>One &amp; <b>two</b></p><p>" + "three " * 100 + "</p><p>The end.</p>"
    publish(desk, source, "1", url=None, body_html=body, summary="Short.")
    shown = desk.body("world", "html").decode()
    assert "<p>One &amp; two</p>" in shown
    assert "<p>The end.</p>" in shown


def test_no_time_has_more_than_three_digits_of_a_second(desk: FeedDesk, source: Source) -> None:
    moment = NOW + timedelta(microseconds=884_692)
    desk.now = moment
    article = publish(desk, source, "1", published_at=(moment - timedelta(microseconds=7)).isoformat())
    operations.kill(
        desk.record, article, reason="wrong", actor="operator", now=moment + timedelta(microseconds=12_345)
    )
    desk.work(moment + timedelta(seconds=1))
    publish(desk, source, "2", published_at=moment.isoformat(), url="https://paper.example/2")
    made = [desk.body(slug, fmt) for slug in ("world", "all") for fmt in ("rss", "atom", "json", "html")]
    sitemap = catalogue.NewsSitemap(desk.record, URL, lambda: desk.now).files()
    assert sitemap
    assert [SIX_DIGITS.findall(body) for body in (*made, *sitemap.values())] == [[]] * 9
    for written in re.findall(rb'<time datetime="([^"]+)"', desk.body("world", "html")):
        assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?\+00:00", written)


@pytest.mark.parametrize("microsecond", [0, 400_123])
def test_sixty_stories_of_one_moment_have_times_of_their_own(
    desk: FeedDesk, source: Source, microsecond: int
) -> None:
    """As many of one embargo; or ten, which is what a moment can hold that is no whole second."""
    opens = (NOW + timedelta(hours=1)).replace(microsecond=microsecond)
    for number in range(10 if microsecond else 60):
        publish(desk, source, str(number), embargo_until=opens)
    desk.work(opens + timedelta(seconds=1))
    times = [entry.findtext("{*}updated") or "" for entry in desk.atom("world").findall("{*}entry")]
    assert len(times) == len(set(times)) == (10 if microsecond else 60)
    assert all(abs(datetime.fromisoformat(each) - opens) < timedelta(seconds=0.5) for each in times)


def test_a_correction_moves_the_time_that_readers_show_in_every_format(
    desk: FeedDesk, source: Source
) -> None:
    publish(desk, source, "1", summary="Ships are back.")
    before = {fmt: desk.body("world", fmt) for fmt in ("rss", "atom", "json", "html")}
    changed_before = documents.get_document(desk.record, "world", "rss")
    desk.now = later(3_600)
    publish(desk, source, "1", summary="Ships are back.", correction_note="It was the other port.")
    (item,) = desk.items("world")
    assert item["summary"] == "Correction: It was the other port. Ships are back."
    assert item["date_modified"] > item["date_published"]
    for path in ("{*}entry/{*}updated", "{*}updated"):
        old, new = (etree.fromstring(body).findtext(path) for body in (before["atom"], desk.body("world")))
        assert old
        assert new
        assert old < new
    story = etree.fromstring(desk.body("world", "rss")).find("channel/item")
    assert story is not None
    assert story.findtext("{*}modified") == story.findtext("{*}updated") == item["date_modified"]
    assert (story.findtext("description") or "").startswith("Correction: It was the other port.")
    assert b"Changed <time" in desk.body("world", "html")
    changed = documents.get_document(desk.record, "world", "rss")
    assert changed
    assert changed_before
    assert changed.modified_at > changed_before.modified_at


def test_the_machine_s_name_is_nobody_s_name(desk: FeedDesk, source: Source) -> None:
    publish(desk, source, "1", authors=[])
    for fmt in ("rss", "atom"):
        read = feedparser.parse(desk.body("world", fmt))
        assert "news.example.org" not in {read.feed.get("author"), read.entries[0].get("author")}
    assert "authors" not in desk.items("world")[0]
    assert b'"authors"' not in desk.body("world", "json")
    assert b"<h1>Feeds</h1>" in catalogue.index(desk.record, URL)
