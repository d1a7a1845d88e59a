"""Hostile articles, from the front door to every document: what the W3C validator flags never gets out."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import feedparser
import pytest
from lxml import etree

import feeds
from service.intake.adapters import native
from service.store.database.record import Record
from tests.builders import NOW, a_desk, post
from tests.feed_desk import FeedDesk

FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd\ufffe\uffff]")
HOSTILE: dict[str, dict[str, Any]] = {
    "controls": {"headline": "Har\x00bour\x1b[31m\x85\x9f\ufffd", "body_html": "<p>a\x0bb\x00c\ufffe</p>"},
    "cdata": {"headline": "a]]>b<![CDATA[c", "body_html": "<p>]]&gt; ]]> <![CDATA[x]]></p>", "summary": "]]>"},
    "bidi": {
        "language": "ur",
        "headline": "بندرگاہ (Karachi Port) 2026 \u202eدوبارہ\u202c کھلی",
        "summary": "\u2067اردو\u2069 and English, 50% میں",
        "body_html": "<p dir=rtl>جہاز <b>MV Ever Given</b> واپس آ گیا۔</p>",
    },
    "cjk": {"language": "zh-Hant", "headline": "𠮷野家與𪚥", "body_html": "<p>𠮷𠮷𠮷 👩‍👩‍👧</p>"},
    "script": {
        "headline": "<script>alert(1)</script>Bridge & <b>river</b>",
        "body_html": "<p onclick=x style='position:fixed;background:url(javascript:1)'>a</p><script>alert(2)</script>"
        "<style>p{}</style><iframe src=//evil.example></iframe><object data=x></object><embed src=x>"
        "<a href='javascript:alert(3)'>b</a><img src=x onerror=alert(4)>",
    },
    "relative": {
        "url": "https://paper.example/world/1",
        "body_html": "<p><a href='/a'>a</a> <a href='b?c=d&e'>b</a> <img src='../i.png' alt=''></p>",
    },
    "markup": {"body_html": "<p><b>a<i>b</b>c</i><p>d<table><tr><td>e<div>&nbsp;&copy;&bogus;</p></article>"},
    "future": {"published_at": "2041-01-01T00:00:00Z"},
    "ancient": {"published_at": "1999-01-01T00:00:00Z"},
    "addresses": {
        "url": "https://paper.example/世界/?q=港",
        "images": [{"url": "https://img.example/船.jpg", "bytes": 0}, {"url": "https://img.example/b.png"}],
        "origin": {"name": "A & B", "url": "HTTP://Harbour.Example"},
    },
    "mebibyte": {"body_html": "<p>" + "港口 harbour بندرگاہ " * 30_000 + "</p>"},
    "names": {
        "authors": [{"name": "Ann \x07<Lee>"}, {"name": "李雷", "url": "https://a.example/李"}],
        "original_author": "\u200fعائشہ", "responsible_editor": "韩]]>梅", "correction_note": "<i>Not</i> & \x1f noon",
        "keywords": ["a&b", "<c>"], "packages": ["خاص <رپورٹ>"],
    },
}  # fmt: skip


def accept(desk: FeedDesk, source: Any, name: str) -> None:
    body = {"id": name, "headline": name, "body_html": "<p>x</p>", "sections": ["world"], **HOSTILE[name]}
    reading = native.read(json.dumps(body, ensure_ascii=True).encode())
    post(desk.record, source, reading.posted)


@pytest.fixture(params=sorted(HOSTILE))
def hostile(request: pytest.FixtureRequest, sqlite_record: Record) -> FeedDesk:
    """A desk whose section holds one hostile article and nothing else."""
    desk = FeedDesk(sqlite_record)
    accept(desk, a_desk(sqlite_record), request.param)
    desk.work()
    return desk


def contents(desk: FeedDesk) -> list[str]:
    """The texts of each format that readers take for HTML."""
    read = [
        feedparser.parse(desk.body("world", fmt), sanitize_html=False).entries[0] for fmt in feeds.ARCHIVED
    ]
    return [*(entry.content[0].value for entry in read), desk.items("world")[0]["content_html"]]


def test_documents_are_well_formed_and_tell_the_story(hostile: FeedDesk) -> None:
    for fmt in feeds.RENDITIONS:
        text = hostile.body("world", fmt).decode()
        assert not FORBIDDEN.search(text)
    strict = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    (entry,) = etree.fromstring(hostile.body("world", "atom"), strict).findall("{*}entry")
    (item,) = etree.fromstring(hostile.body("world", "rss"), strict).findall("channel/item")
    (shown,) = hostile.items("world")
    assert entry.findtext("{*}id") == item.findtext("guid") == shown["id"]
    assert entry.findtext("{*}title") == item.findtext("title") == shown["title"] != ""
    assert entry.findtext("{*}content") == item.findtext("{*}encoded") == shown["content_html"] != ""


def test_nothing_that_runs_or_leads_nowhere_gets_out(hostile: FeedDesk) -> None:
    for content in contents(hostile):
        root = etree.fromstring(f"<div>{content}</div>", etree.HTMLParser())
        tags = {element.tag for element in root.iter()}
        assert tags.isdisjoint(
            {"script", "style", "iframe", "object", "embed", "form", "base", "link", "meta"}
        )
        for element in root.iter():
            assert not [name for name in element.attrib if name.startswith("on") or name == "style"]
            for name in ("href", "src"):
                if name in element.attrib:
                    assert element.get(name, "").startswith(("https://", "http://", "mailto:"))


def test_addresses_in_elements_are_absolute_uris_in_ascii(hostile: FeedDesk) -> None:
    for fmt in feeds.ARCHIVED:
        root = etree.fromstring(hostile.body("world", fmt))
        found = [v for e in root.iter() for n, v in e.attrib.items() if n in ("href", "url")]
        found += [e.text or "" for e in root.iter("link") if e.text]
        assert found
        assert all(re.fullmatch(r"https?://[a-z0-9.:-]+/[!-~]*", address) for address in found), found


def test_dates_are_plausible_and_in_order(hostile: FeedDesk) -> None:
    item = etree.fromstring(hostile.body("world", "rss")).find("channel/item")
    assert item is not None
    published = parsedate_to_datetime(item.findtext("pubDate") or "")
    modified = datetime.fromisoformat(item.findtext("{*}modified") or "")
    assert datetime(1990, 1, 1, tzinfo=UTC) < published <= modified
    assert (modified - NOW).total_seconds() < 1


def test_all_of_them_together_are_in_one_feed_with_distinct_times(sqlite_record: Record) -> None:
    desk = FeedDesk(sqlite_record)
    source = a_desk(sqlite_record)
    for name in HOSTILE:
        accept(desk, source, name)
    desk.work()
    shown = [entry.findtext("{*}updated") for entry in desk.atom("world").findall("{*}entry")]
    assert len(set(shown)) == len(HOSTILE)
    for fmt in feeds.ARCHIVED:
        read = feedparser.parse(desk.body("world", fmt))
        assert (bool(read.bozo), len(read.entries)) == (False, len(HOSTILE))
    channel = etree.fromstring(desk.body("world", "rss"))[0]
    assert channel.find("image") is None
    for item in channel.findall("item"):
        assert len(item.findall("enclosure")) <= 1
        assert item.find("author") is None
        assert item.findtext("title") == html.unescape(item.findtext("title") or "")
