"""Feeds as readers fetch them: exact headers, 304s for every way of asking, no cookies, nothing before its time."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pytest
from lxml import etree

from service.app import create_app
from service.settings import Settings
from service.store import operations
from service.store.database.record import Record
from service.store.deliveries import routing
from tests.web import (
    OPERATOR,
    PUBLIC_URL,
    CutOff,
    WebDesk,
    an_app,
    now,
    some_sections,
    the_article,
    the_problem,
)
from workers.publish.builder import FeedBuilder

TYPES = {
    "rss": "application/rss+xml; charset=utf-8",
    "atom": "application/atom+xml; charset=utf-8",
    "json": "application/feed+json; charset=utf-8",
}
CACHE = "public, max-age=60, s-maxage=300, stale-while-revalidate=600, stale-if-error=86400"
VALIDATORS = ("ETag", "Last-Modified", "Cache-Control", "Link")
SECRET_HEADLINE = "Merger of the two largest ferry lines agreed"


def build(desk: WebDesk) -> None:
    routing.route(desk.record, now())
    FeedBuilder(desk.record, PUBLIC_URL, now).drain()


@pytest.fixture(scope="module")
def feeds(shared_desk: WebDesk) -> WebDesk:
    """A desk with built feeds, and an embargoed story."""
    assert shared_desk.post().status_code == 202
    ends = (now() + timedelta(hours=1)).isoformat()
    secret = the_article(id="secret", headline=SECRET_HEADLINE, embargo_until=ends)
    assert shared_desk.post(secret).status_code == 202
    build(shared_desk)
    return shared_desk


@pytest.mark.parametrize("fmt", TYPES)
def test_a_feed_comes_with_exactly_the_promised_headers(feeds: WebDesk, fmt: str) -> None:
    answer = feeds.get(f"/feeds/world.{fmt}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == TYPES[fmt]
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert answer.headers["Cache-Control"] == CACHE
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {"ETag", "Link"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    own, *others = answer.headers["Link"].split(", ")
    assert own == f'<{PUBLIC_URL}/feeds/world.{fmt}>; rel="self"'
    assert others == [
        f'<{PUBLIC_URL}/feeds/world.{each}>; rel="alternate"; type="{TYPES[each].partition(";")[0]}"'
        for each in TYPES
        if each != fmt
    ]
    assert re.fullmatch('"[0-9a-f]{32}"', answer.headers["ETag"])
    assert parsedate_to_datetime(answer.headers["Last-Modified"]) <= now()
    assert answer.headers["Last-Modified"].endswith(" GMT")
    assert b"Harbour reopens" in answer.data


PLACES = ("/feeds/world.rss", "/feeds/all.atom", "/feeds/business.json", "/feeds.opml")


@pytest.mark.parametrize("path", PLACES)
def test_head_is_get_without_the_body(feeds: WebDesk, path: str) -> None:
    full, head = feeds.get(path), feeds.client.head(path)
    assert head.status_code == 200
    assert head.data == b""
    same = [(n, v) for n, v in full.headers if n != "Date"]
    assert [(n, v) for n, v in head.headers if n != "Date"] == same


@pytest.mark.parametrize("path", PLACES)
def test_no_feed_sets_a_cookie_or_varies_by_one(feeds: WebDesk, path: str) -> None:
    for browser in (feeds.client, feeds.inside()):
        answer = browser.get(path)
        assert "Set-Cookie" not in answer.headers
        assert "Cookie" not in answer.headers.get("Vary", "")


def asked(desk: WebDesk, path: str, **headers: str) -> Any:
    return desk.get(path, {name.replace("_", "-"): value for name, value in headers.items()})


MATCHING = ('"{}"', 'W/"{}"', '"{}-gzip"', 'W/"{}-gzip"', '"{}-br"', '"{};br"', '"x", "{}"', 'W/"x" , W/"{}" ,"y"',
            '  "{}"  ', "*", " * ")  # fmt: skip
OTHERS = ('"x"', 'W/"x"', "{}", "'{}'", '"{}x"', '"x{}"', '"gzip"', '""', "", ",,,", '"', 'W/', '"*"', "\x7f",
          '"' + "x" * 50_000)  # fmt: skip


@pytest.mark.parametrize("tags", MATCHING)
def test_a_reader_that_has_the_feed_gets_a_304_however_its_tag_was_rewritten(
    feeds: WebDesk, tags: str
) -> None:
    for path in PLACES:
        full = feeds.get(path)
        answer = asked(feeds, path, If_None_Match=tags.format(full.headers["ETag"].strip('"')))
        assert answer.status_code == 304
        assert answer.data == b""
        assert not {"Content-Length", "Content-Type", "Set-Cookie"} & set(answer.headers.keys())
        for name in VALIDATORS:
            assert answer.headers.get(name) == full.headers.get(name)


@pytest.mark.parametrize("tags", OTHERS, ids=range(len(OTHERS)))
def test_a_reader_with_another_tag_gets_the_feed(feeds: WebDesk, tags: str) -> None:
    full = feeds.get("/feeds/world.rss")
    answer = asked(feeds, "/feeds/world.rss", If_None_Match=tags.format(full.headers["ETag"].strip('"')))
    assert answer.status_code == 200
    assert answer.data == full.data


def test_a_reader_that_knows_only_the_time_gets_a_304_until_the_feed_changes(feeds: WebDesk) -> None:
    full = feeds.get("/feeds/world.rss")
    modified = parsedate_to_datetime(full.headers["Last-Modified"])
    for since, status in (
        (modified, 304),
        (modified + timedelta(days=1), 200),  # no time of ours: who made it up may hold an older feed
        (modified - timedelta(seconds=1), 200),
    ):
        answer = asked(feeds, "/feeds/world.rss", If_Modified_Since=format_datetime(since, usegmt=True))
        assert answer.status_code == status
    assert feeds.client.head(
        "/feeds/world.rss", headers={"If-Modified-Since": full.headers["Last-Modified"]}
    ).status_code == 304  # fmt: skip


@pytest.mark.parametrize(
    "since",
    ["", "yesterday", "0", "2026-01-02T08:00:00Z", "Mon, 99 Foo 2026 00:00:00 GMT",
     "Thu, 01 Jan 2026 00:00:00 +99999999999999", "Thu, 01 Jan 99999 00:00:00 GMT", "Thu, 01 Jan 0001 00:00:00 +2359",
     "9" * 5000, "\x7f"],
    ids=range(10),
)  # fmt: skip
def test_a_time_that_is_none_is_passed_over(feeds: WebDesk, since: str) -> None:
    assert asked(feeds, "/feeds/world.rss", If_Modified_Since=since).status_code == 200


def test_the_tag_beats_the_time(feeds: WebDesk) -> None:
    full = feeds.get("/feeds/world.rss")
    late = format_datetime(now() + timedelta(days=1), usegmt=True)
    early = "Thu, 01 Jan 1970 00:00:00 GMT"
    ask = {"If-None-Match": '"another"', "If-Modified-Since": late}
    assert feeds.get("/feeds/world.rss", ask).status_code == 200
    ask = {"If-None-Match": full.headers["ETag"], "If-Modified-Since": early}
    assert feeds.get("/feeds/world.rss", ask).status_code == 304


def test_opml_names_every_feed_and_is_well_formed(feeds: WebDesk) -> None:
    answer = feeds.get("/feeds.opml")
    assert answer.headers["Content-Type"] == "text/x-opml; charset=utf-8"
    opml = etree.fromstring(answer.data)
    assert opml.tag == "opml"
    assert opml.get("version") == "2.0"
    addresses = [
        str(each) for each in opml.xpath("body/outline[@text='Sections']/outline[@type='rss']/@xmlUrl")
    ]  # type: ignore[union-attr]
    assert addresses == [f"{PUBLIC_URL}/feeds/{each}.rss" for each in ("all", "world", "business")]
    assert all(feeds.get(each.removeprefix(PUBLIC_URL)).status_code == 200 for each in addresses)


@pytest.mark.parametrize("path", [f"/feeds/{slug}.{fmt}" for slug in ("world", "all") for fmt in TYPES])
def test_an_embargoed_story_is_in_no_feed(feeds: WebDesk, path: str) -> None:
    assert SECRET_HEADLINE.encode() not in feeds.get(path).data


def test_a_killed_story_leaves_nothing_of_itself_in_the_feeds(desk: WebDesk) -> None:
    desk.post(the_article(body_html="<p>Ninety-nine ferries.</p>"))
    build(desk)
    before = {fmt: desk.get(f"/feeds/world.{fmt}") for fmt in TYPES}
    desk.post({"id": "42", "status": "killed"})
    build(desk)
    for fmt, old in before.items():
        assert b"Ninety-nine" in old.data
        new = asked(desk, f"/feeds/world.{fmt}", If_None_Match=old.headers["ETag"])
        assert new.status_code == 200
        assert b"Ninety-nine" not in new.data
        assert b"Harbour reopens" not in new.data
        assert parsedate_to_datetime(new.headers["Last-Modified"]) > parsedate_to_datetime(
            old.headers["Last-Modified"]
        )


def test_building_an_unchanged_feed_again_changes_no_validator(sqlite_desk: WebDesk) -> None:
    sqlite_desk.post()
    build(sqlite_desk)
    first = sqlite_desk.get("/feeds/world.json")
    with sqlite_desk.record.writing() as connection:
        connection.exec_driver_sql("UPDATE feed SET wanted = wanted + 1")
    FeedBuilder(sqlite_desk.record, PUBLIC_URL, lambda: now() + timedelta(hours=1)).drain()
    again = sqlite_desk.get("/feeds/world.json")
    assert [again.headers[name] for name in VALIDATORS] == [first.headers[name] for name in VALIDATORS]


def test_unbuilt_feed_is_a_503_and_unknown_feed_a_404_that_lists_the_feeds(record: Record) -> None:
    client = an_app(record).test_client()
    the_problem(client.get("/feeds/all.rss"), 404)  # no section, no feed
    some_sections(record)
    for slug in ("world", "all"):
        answer = client.get(f"/feeds/{slug}.rss")
        assert the_problem(answer, 503)["type"] == "/docs#problem-not-built"
        assert int(answer.headers["Retry-After"]) > 0
    assert "world, business, all" in the_problem(client.get("/feeds/sports.rss"), 404)["detail"]
    assert "rss, atom, json" in the_problem(client.get("/feeds/world.xml"), 404)["detail"]
    assert the_problem(client.post("/feeds/world.rss"), 405)["type"] == "/docs#problem-method-not-allowed"


def test_a_record_that_is_away_is_the_feed_as_it_was_and_never_an_empty_one(cut_off: CutOff) -> None:
    cut_off.desk.post()
    build(cut_off.desk)
    before = cut_off.desk.get("/feeds/world.rss")
    cut_off.cut()
    after = cut_off.desk.get("/feeds/world.rss")
    assert (after.status_code, after.data, after.headers) == (200, before.data, before.headers)
    never_held = cut_off.desk.get("/feeds/world.atom")
    the_problem(never_held, 503)
    assert int(never_held.headers["Retry-After"]) > 0


def test_the_json_feed_and_the_trace_name_the_same_article(feeds: WebDesk) -> None:
    [item] = json.loads(feeds.get("/feeds/world.json").data)["items"]
    assert feeds.get(f"/v1/articles/{item['id']}", OPERATOR).json["external_id"] == "42"


def a_desk_with_a_logo(record: Record) -> Any:
    named = Settings(
        public_url=PUBLIC_URL, desk_name="Harbour Daily", logo_url="https://cdn.example:8443/l/logo.png"
    )
    return create_app(named, record, lambda: None).test_client()


def test_browsers_find_an_icon_with_and_without_a_logo(sqlite_record: Record) -> None:
    plain = create_app(Settings(public_url=PUBLIC_URL), sqlite_record, lambda: None).test_client()
    icon = plain.get("/favicon.ico")
    assert (icon.status_code, icon.mimetype, icon.data[:4]) == (200, "image/svg+xml", b"<svg")
    moved = a_desk_with_a_logo(sqlite_record).get("/favicon.ico")
    assert (moved.status_code, moved.headers["Location"]) == (302, "https://cdn.example:8443/l/logo.png")


def test_the_list_of_feeds_has_the_desk_s_name_and_may_load_its_icon_alone(sqlite_record: Record) -> None:
    operations.add_section(sqlite_record, "world", "World", "en", actor="operator", now=now())
    desk = a_desk_with_a_logo(sqlite_record)
    page = desk.get("/feeds")
    assert "<h1>Feeds of Harbour Daily</h1>" in page.text
    assert '<link rel="icon" href="https://cdn.example:8443/l/logo.png">' in page.text
    assert "img-src 'self' https://cdn.example:8443" in page.headers["Content-Security-Policy"]
    assert (
        '<link rel="alternate" type="application/atom+xml" title="World – Harbour Daily (Atom)"' in page.text
    )
    assert 'text="World – Harbour Daily"' in desk.get("/feeds.opml").text
    start = desk.get("/", follow_redirects=True)
    assert '<link rel="alternate" type="application/rss+xml"' in start.text
