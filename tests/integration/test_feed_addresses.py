"""Where feeds are: their addresses over HTTP, what becomes of them, and how they are found."""

from __future__ import annotations

import gzip
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import feedparser
import pytest
from lxml import etree

from feeds import NAMELESS
from feeds.page import content_security_policy
from feeds.sitemap import NewsEntry
from service.app import create_app
from service.serving import catalogue
from service.serving.catalogue import NEWS_WINDOW, _entry, news_files
from service.settings import Settings
from service.store import operations
from service.store.database.record import Record
from service.store.errors import AlreadyExists, NotFound, NotPossible
from service.store.feeds import news
from service.store.feeds.feeds import ARCHIVE_PAGE, open_feeds
from service.store.feeds.whereabouts import whereabouts
from tests.builders import NOW, a_desk, an_article, later, post
from tests.feed_desk import URL, FeedDesk

OPML_VERSIONS = {"RSS", "RSS1", "RSS2", "scriptingNews"}


@pytest.fixture
def desk(sqlite_record: Record) -> FeedDesk:
    return FeedDesk(sqlite_record)


@pytest.fixture
def client(sqlite_record: Record) -> Any:
    settings = Settings(public_url=URL, operator_token="t", secret_key="")
    return create_app(settings, sqlite_record, lambda: None).test_client()


def test_a_feed_of_every_kind_answers_in_every_format(desk: FeedDesk, client: Any) -> None:
    post(desk.record, a_desk(desk.record), an_article(packages=["china-focus"]))
    desk.work()
    for slug in ("world", "all", "package/china-focus", "language/en", "source/wire"):
        for fmt, kind in (("rss", "rss+xml"), ("atom", "atom+xml"), ("json", "feed+json")):
            answer = client.get(f"/feeds/{slug}.{fmt}")
            assert (answer.status_code, answer.mimetype) == (200, f"application/{kind}")
            assert answer.headers["Link"].startswith(f'<{URL}/feeds/{slug}.{fmt}>; rel="self"')
            again = client.get(f"/feeds/{slug}.{fmt}", headers={"If-None-Match": answer.headers["ETag"]})
            assert again.status_code == 304
        page = client.get(f"/feeds/{slug}")
        assert (page.status_code, page.mimetype) == (200, "text/html")
        assert page.headers["Content-Security-Policy"] == content_security_policy(NAMELESS)


@pytest.mark.parametrize(
    "path",
    ["nowhere.rss", "world.ninjs", "world.html", "package/none.rss", "package.rss", "world/0.atom", "world/01.atom",
     "world/x.atom", "world/1/2.atom", "world/9.atom", "world/1.json", "nowhere", "world/1", "language/ur/1.rss",
     "language/en/9.rss", ".rss", "a/b/c.rss", "world/99999999999999999999.atom"],
)  # fmt: skip
def test_unknown_feed_is_not_found(desk: FeedDesk, client: Any, path: str) -> None:
    post(desk.record, a_desk(desk.record), an_article())
    desk.work()
    answer = client.get(f"/feeds/{path}")
    assert answer.status_code == 404
    assert "there is no feed" in answer.json["detail"]


def test_pages_of_an_archive_are_served_and_the_next_one_leads_to_the_feed(
    desk: FeedDesk, client: Any
) -> None:
    source = a_desk(desk.record)
    for n in range(ARCHIVE_PAGE):
        post(desk.record, source, an_article(external_id=str(n), packages=["p"]))
    desk.work(later(1))
    for slug in ("world", "package/p"):
        page = client.get(f"/feeds/{slug}/1.rss")
        assert (page.status_code, page.mimetype) == (200, "application/rss+xml")
        assert "must-revalidate" in page.headers["Cache-Control"]
        assert len(feedparser.parse(page.data).entries) == ARCHIVE_PAGE
        following = client.get(f"/feeds/{slug}/2.atom")
        assert (following.status_code, following.headers["Location"]) == (307, f"{URL}/feeds/{slug}.atom")
        assert client.get(f"/feeds/{slug}/3.atom").status_code == 404


def test_a_renamed_section_leads_from_its_old_addresses_to_the_new_ones_for_ever(
    desk: FeedDesk, client: Any
) -> None:
    source = a_desk(desk.record)
    for n in range(ARCHIVE_PAGE):
        post(desk.record, source, an_article(external_id=str(n)))
    desk.work()
    identity = desk.atom("world").findtext("{*}id")
    operations.rename_section(desk.record, "world", "abroad", actor="operator", now=later(1))
    desk.work(later(1))
    operations.rename_section(desk.record, "abroad", "foreign", actor="operator", now=later(2))
    desk.work(later(2))
    for old in ("world", "abroad"):
        for path in (".rss", ".atom", ".json", "", "/1.atom"):
            answer = client.get(f"/feeds/{old}{path}")
            assert (answer.status_code, answer.headers["Location"]) == (301, f"{URL}/feeds/foreign{path}")
    assert client.get("/feeds/foreign/1.atom").status_code == 200
    assert desk.atom("foreign").findtext("{*}id") == identity
    assert len(desk.items("foreign")) == ARCHIVE_PAGE
    assert {tuple(item["_dateline"]["sections"]) for item in desk.items("all")} == {("foreign",)}
    assert "foreign.rss" in client.get("/feeds.opml").text
    assert "world.rss" not in client.get("/feeds.opml").text


def test_a_source_may_go_on_using_the_old_name_of_a_section(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    operations.rename_section(desk.record, "world", "abroad", actor="operator", now=later(1))
    given = post(desk.record, source, an_article(), now=later(2))
    assert given.outcome == "accepted"
    desk.work(later(2))
    assert desk.headlines("abroad") == ["Harbour reopens after the storm"]


def test_a_section_may_take_its_old_name_back_but_no_other_may(desk: FeedDesk) -> None:
    post(desk.record, a_desk(desk.record), an_article())
    desk.work()
    operations.rename_section(desk.record, "world", "abroad", actor="operator", now=later(1))
    with pytest.raises(NotPossible, match="'abroad', to which it leads"):
        operations.add_section(desk.record, "world", "Other", None, actor="operator", now=later(2))
    with pytest.raises(NotPossible, match="choose another"):
        operations.rename_section(desk.record, "china", "world", actor="operator", now=later(2))
    with pytest.raises(AlreadyExists):
        operations.rename_section(desk.record, "abroad", "china", actor="operator", now=later(2))
    with pytest.raises(NotFound):
        operations.rename_section(desk.record, "world", "x", actor="operator", now=later(2))
    operations.rename_section(desk.record, "abroad", "world", actor="operator", now=later(3))
    desk.work(later(3))
    assert desk.headlines("world") == ["Harbour reopens after the storm"]
    found = whereabouts(desk.record, "abroad")
    assert found is not None
    assert found.slug == "world"


def test_a_closed_section_is_gone_and_its_stories_stay_in_the_other_feeds(
    desk: FeedDesk, client: Any
) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article())
    desk.work()
    operations.close_section(desk.record, "world", actor="operator", now=later(1))
    operations.close_section(desk.record, "world", actor="operator", now=later(2))
    for path in ("world.rss", "world", "world/1.atom"):
        answer = client.get(f"/feeds/{path}")
        assert (answer.status_code, answer.json["type"].rpartition("#")[2]) == (410, "problem-closed")
    given = post(desk.record, source, an_article(headline="Later"), now=later(3))
    assert given.outcome == "accepted"
    desk.work(later(3))
    assert desk.headlines("all") == ["Later"]
    assert "world" not in [each.slug for each in open_feeds(desk.record)]
    assert client.get("/feeds/world.rss").status_code == 410


def test_a_closed_json_feed_says_in_its_body_too_that_it_has_ended(desk: FeedDesk, client: Any) -> None:
    source = a_desk(desk.record)
    post(desk.record, source, an_article(headline="Secret"))
    desk.work()
    assert "expired" not in client.get("/feeds/world.json").json
    operations.rename_section(desk.record, "world", "abroad", actor="operator", now=later(1))
    operations.close_section(desk.record, "abroad", actor="operator", now=later(2))
    for name in ("world", "abroad"):
        answer = client.get(f"/feeds/{name}.json")
        assert (answer.status_code, answer.mimetype) == (410, "application/feed+json")
        assert answer.headers["Cache-Control"] == "no-store"
        assert json.loads(answer.data) == {
            "version": "https://jsonfeed.org/version/1.1",
            "title": "World",
            "home_page_url": f"{URL}/feeds",
            "feed_url": f"{URL}/feeds/abroad.json",
            "description": "the feed 'abroad' was closed and will not come back",
            "expired": True,
            "items": [],
        }
    assert client.head("/feeds/abroad.json").status_code == 410


def test_a_section_renamed_and_then_closed_is_gone_under_both_names(desk: FeedDesk, client: Any) -> None:
    a_desk(desk.record)
    operations.rename_section(desk.record, "world", "abroad", actor="operator", now=later(1))
    operations.close_section(desk.record, "abroad", actor="operator", now=later(2))
    assert {client.get(f"/feeds/{name}.rss").status_code for name in ("world", "abroad")} == {410}


# --- found


def test_opml_names_every_feed_as_the_validator_wants_it(desk: FeedDesk, client: Any) -> None:
    operations.add_section(desk.record, "arts", "Arts & <b>\x00Letters", "zh-Hans", actor="operator", now=NOW)
    post(desk.record, a_desk(desk.record), an_article(packages=['"Quoted" & \x01']))
    desk.work()
    answer = client.get("/feeds.opml")
    assert answer.headers["Content-Type"] == "text/x-opml; charset=utf-8"
    root = etree.fromstring(answer.data)
    assert (root.tag, root.get("version"), root.find("head/docs")) == ("opml", "2.0", None)
    groups = root.findall("body/outline")
    assert [dict(group.attrib) for group in groups] == [
        {"text": name} for name in ("Sections", "Packages", "Languages", "Sources")
    ]
    facts = root.findall("body/outline/outline")
    assert all((o.get("type"), o.get("version")) == ("rss", "RSS2") and o.get("text") for o in facts)
    assert facts[0].get("xmlUrl") == f"{URL}/feeds/all.rss"
    assert {o.get("text"): o.get("language") for o in facts}["Arts & <b>Letters"] == "zh-Hans"
    for outline in facts:
        path = (outline.get("xmlUrl") or "").removeprefix(URL)
        assert client.get(path).status_code == 200
        assert client.get((outline.get("htmlUrl") or "").removeprefix(URL)).status_code == 200
    assert client.get("/feeds.opml", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_the_page_of_all_feeds_leads_to_each_of_them(desk: FeedDesk, client: Any) -> None:
    post(desk.record, a_desk(desk.record), an_article(packages=["focus"], language="ur"))
    desk.work()
    page = client.get("/feeds")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    for slug in ("all", "world", "package/focus", "language/ur", "source/wire"):
        assert f'href="{URL}/feeds/{slug}.atom"' in page.text
    assert '<a href="https://news.example.org/feeds/language/ur" lang="ur" dir="rtl">اردو</a>' in page.text


def test_the_news_sitemap_has_the_stories_of_two_days_with_an_address_of_their_own(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    url = "https://paper.example/世界/1?a=1&b=2"
    for name, fields in {
        "shown": {"url": url, "language": "zh-Hans", "headline": "港口 <1> & 2"},
        "without": {},
        "old": {"url": "https://paper.example/old", "published_at": "2026-11-22T07:59:00Z"},
        "future": {"url": "https://paper.example/f", "published_at": "2026-11-25T07:59:00Z"},
        "secret": {"url": "https://paper.example/s", "embargo_until": later(60)},
    }.items():
        post(desk.record, source, an_article(external_id=name, **fields))
    two_days = sitemap_of(desk, 0)
    assert {entry["loc"]: entry["publication_date"] for entry in two_days} == {
        "https://paper.example/%E4%B8%96%E7%95%8C/1?a=1&b=2": "2026-11-24T08:00:00+00:00",
        "https://paper.example/f": "2026-11-24T08:00:00+00:00",  # a date ahead is that of its arrival
    }
    assert next(each for each in two_days if each["language"] == "zh-cn") == {
        "loc": "https://paper.example/%E4%B8%96%E7%95%8C/1?a=1&b=2",
        "name": "Wire",
        "language": "zh-cn",
        "publication_date": "2026-11-24T08:00:00+00:00",
        "title": "港口 <1> & 2",
    }
    assert sitemap_of(desk, 60)[0]["publication_date"] == "2026-11-24T08:01:00+00:00"
    assert sitemap_of(desk, 2 * 86_400 + 60) == []


def sitemap_of(desk: FeedDesk, seconds: float) -> list[dict[str, str | None]]:
    found = news.recent(desk.record, later(seconds), NEWS_WINDOW).stories
    files = news_files([_entry(each) for each in found], URL)
    if not files:
        return []
    root = etree.fromstring(files["news.xml"])
    return [
        {etree.QName(part).localname: part.text for part in url.iter() if len(part) == 0}
        for url in root.findall("{*}url")
    ]


def test_more_than_a_thousand_stories_are_in_several_files_with_an_index(client: Any) -> None:
    stories = [
        NewsEntry(f"https://a.example/{n}", "A", "ur", NOW - timedelta(seconds=n), f"S {n}")
        for n in range(1001)
    ]
    files = news_files(stories, URL)
    assert list(files) == ["news.xml", "news-1.xml", "news-2.xml"]
    index = etree.fromstring(files["news.xml"])
    assert etree.QName(index).localname == "sitemapindex"
    assert [loc.text for loc in index.iter("{*}loc")] == [f"{URL}/sitemaps/news-{n}.xml" for n in (1, 2)]
    counts = [len(etree.fromstring(files[f"news-{n}.xml"]).findall("{*}url")) for n in (1, 2)]
    assert counts == [1000, 1]
    assert list(news_files(stories[:1000], URL)) == ["news.xml"]
    assert client.get("/sitemaps/news.xml").status_code == 404  # an empty one would not be valid
    assert client.get("/sitemaps/news-1.xml").status_code == 404


def test_a_reader_finds_the_feeds_from_the_page_of_all_feeds_and_from_the_front_page(
    desk: FeedDesk, client: Any
) -> None:
    post(desk.record, a_desk(desk.record), an_article())
    desk.work()
    for path in ("/feeds", "/"):
        page = client.get(path, follow_redirects=True)
        links = re.findall(r'<link rel="alternate" type="([^"]+)"[^>]* href="([^"]+)"', page.text)
        assert ("application/rss+xml", f"{URL}/feeds/all.rss") in [
            (kind, address if address.startswith("http") else URL + address) for kind, address in links
        ]
        assert ("application/atom+xml", f"{URL}/feeds/all.atom") in [
            (kind, address if address.startswith("http") else URL + address) for kind, address in links
        ]


@pytest.mark.parametrize("path", ["/feeds/world", "/feeds/world.rss", "/feeds/language/en"])
def test_an_address_with_a_slash_too_many_leads_for_good_to_the_right_one(
    desk: FeedDesk, client: Any, path: str
) -> None:
    post(desk.record, a_desk(desk.record), an_article(language="en"))
    desk.work()
    answer = client.get(f"{path}/")
    assert (answer.status_code, answer.headers["Location"]) == (308, URL + path)
    assert client.get(path).status_code == 200


def news_of(desk: FeedDesk, seconds: float = 0, **options: Any) -> catalogue.NewsSitemap:
    return catalogue.NewsSitemap(desk.record, URL, lambda: later(seconds), **options)


def test_the_news_sitemap_is_a_404_while_there_is_no_news_and_is_named_nowhere(
    desk: FeedDesk, client: Any
) -> None:
    a_desk(desk.record)
    answer = client.get("/sitemaps/news.xml")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert news_of(desk).files() == {}
    assert "sitemap" not in client.get("/feeds").text


def test_a_killed_story_leaves_the_news_sitemap_within_a_second(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    story = an_article(external_id="1", url="https://paper.example/1", headline="Wrong person named")
    answer = post(desk.record, source, story, now=later(0))
    moment = [1.0]
    sitemap = catalogue.NewsSitemap(desk.record, URL, lambda: later(moment[0]))
    assert b"Wrong person named" in sitemap.files()["news.xml"]
    moment[0] = 2.0
    operations.kill(desk.record, answer.article, reason="Wrong", actor="operator", now=later(2))
    deadline = time.monotonic() + 1
    while sitemap.files():
        assert time.monotonic() < deadline, "the headline is still there"
        time.sleep(0.02)


def test_an_expired_story_leaves_the_news_sitemap_to_the_second(desk: FeedDesk) -> None:
    story = an_article(external_id="1", url="https://paper.example/1", expires_at=later(30))
    post(desk.record, a_desk(desk.record), story, now=later(0))
    moment = [1.0]
    sitemap = catalogue.NewsSitemap(desk.record, URL, lambda: later(moment[0]))
    assert sitemap.files()
    moment[0] = 31.0
    assert sitemap.files() == {}


def test_the_news_sitemap_has_each_address_once_short_enough_and_with_a_language_of_google(
    desk: FeedDesk,
) -> None:
    source = a_desk(desk.record)
    for number, fields in enumerate(
        [
            {"url": "https://paper.example/twice"},
            {"url": "https://paper.example/twice"},
            {"url": "https://paper.example/" + "a" * 2_100},
            {"url": "https://paper.example/ur", "language": "ur-PK"},
        ]
    ):
        post(desk.record, source, an_article(external_id=str(number), **fields), now=later(number))
    body = news_of(desk, 10, publication="The Harbour Desk").files()["news.xml"]
    root = etree.fromstring(body)
    assert sorted(loc.text or "" for loc in root.iter("{*}loc")) == [
        "https://paper.example/twice",
        "https://paper.example/ur",
    ]
    assert {name.text for name in root.iter("{*}name")} == {"The Harbour Desk"}
    assert {each.text for each in root.iter("{*}language")} == {"en", "ur"}


def test_the_news_sitemap_answers_as_every_document_does(desk: FeedDesk, client: Any) -> None:
    # The web's clock is the real one.
    recent = datetime.now(UTC) - timedelta(minutes=5)
    story = an_article(external_id="1", url="https://paper.example/1", published_at=recent.isoformat())
    post(desk.record, a_desk(desk.record), story, now=recent)
    plain = client.get("/sitemaps/news.xml")
    packed = client.get("/sitemaps/news.xml", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.data) == plain.data
    assert packed.headers["ETag"].startswith("W/")
    assert "Last-Modified" in plain.headers
    assert plain.headers["Vary"] == "Accept-Encoding"
    for tag in (plain.headers["ETag"], packed.headers["ETag"]):
        headers = {"If-None-Match": tag, "Accept-Encoding": "gzip"}
        assert client.get("/sitemaps/news.xml", headers=headers).status_code == 304
    since = {"If-Modified-Since": plain.headers["Last-Modified"]}
    assert client.get("/sitemaps/news.xml", headers=since).status_code == 304
