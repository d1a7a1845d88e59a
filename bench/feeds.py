"""Row `build`: the cost of a feed's build, against building the same hundred entries whole, by others and by hand.

All of it runs in this process, in processor time. It does not depend on the database and is measured on SQLite.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import feedgenerator
from cryptography.fernet import Fernet

import feeds
from bench.run import Run
from bench.table import Line, Target
from feeds.feedgen_xml import full_build
from feeds.public import description, public, public_feed
from feeds.text import rfc2822
from service.store import migrations, operations
from service.store.articles import accept, sources
from service.store.articles.posts import Post, PostedArticle
from service.store.database.record import Record, open_record
from service.store.deliveries import routing
from service.store.feeds import contents, sections
from service.store.feeds.contents import Placement
from service.store.feeds.feeds import due_feeds
from workers.publish.assemble import Entries, Entry, compose
from workers.publish.builder import FeedBuilder
from workers.publish.items import Publisher

STORIES = 100
START = datetime(2026, 1, 2, 8, tzinfo=UTC)
URL = "https://news.example.org"
BODY = "<p>" + "The first ferry left at dawn, and the harbour was full of people. " * 40 + "</p>"

Row = tuple[str, float, float, str]
# From the issue: a change costs no more than this, and no more than this share of a whole build by feedgen.
MOST_MS, MOST_TIMES = 0.3, 1 / 25


def measure(_run: Run, database: str) -> list[Line]:
    """One changed story in a section of a hundred; then the same through the record."""
    if database != "sqlite":
        print(f"build on {database}: left out, measured on sqlite alone", file=sys.stderr)
        return []
    return [
        Line("build", database, what, unit, _target(what), ours=[ours], bare=[bare])
        for what, ours, bare, unit in _rows()
    ]


def _target(what: str) -> Target | None:
    if not what.endswith("all by feedgen"):
        return None
    return Target(
        f"≤ {MOST_MS:g}; ≤ {MOST_TIMES:g} × bare",
        lambda ours, ratio: ours <= MOST_MS and ratio is not None and ratio <= MOST_TIMES,
    )


def _rows() -> Iterator[Row]:
    """(measure, ours, the bare building block, unit)"""
    items = [an_item(number) for number in range(STORIES)]
    for fmt in feeds.ARCHIVED:
        ours = build_time(items, fmt)
        yield f"{fmt}: one of {STORIES} changed, against all by feedgen", ours, feedgen_time(items, fmt), "ms"
    ours = build_time(items, "rss")
    yield (
        f"rss: one of {STORIES} changed, against all by feedgenerator",
        ours,
        feedgenerator_time(items),
        "ms",
    )
    yield f"rss: one of {STORIES} changed, against all by plain strings", ours, string_time(items), "ms"
    ours = build_time(items, "json")
    yield f"json: one of {STORIES} changed, against all serialised", ours, render_time(items, "json"), "ms"
    yield "rss: one story serialised, against feedgen's bare entry", *entry_times(items[0]), "ms"
    yield "all formats through the record, against the three builds alone", *record_times(items), "ms"


def an_item(number: int, **fields: Any) -> feeds.Item:
    defaults: dict[str, Any] = {
        "id": f"tag:news.example.org,2026-01-02:item/{number:06d}",
        "revision": 1,
        "headline": f"Harbour reopens, day {number}",
        "published": START,
        "updated": START + timedelta(minutes=number, microseconds=number),
        "language": "en",
        "url": f"https://paper.example/world/{number}",
        "summary": "Ships are back in the harbour.",
        "body_html": BODY,
        "authors": (feeds.ItemAuthor("Ann Lee"),),
        "origin": feeds.ItemOrigin("Harbour Daily", "https://harbour.example/story"),
        "sections": (("world", "World"),),
    }
    return feeds.Item(**{**defaults, **fields})


def build_time(items: list[feeds.Item], fmt: feeds.Format) -> float:
    """The part of a build that follows the serialising of the changed story: its time, the splice, the ETag."""
    entries = {number: _entries(item) for number, item in enumerate(items)}
    shown = [
        Placement(
            number,
            item.id,
            1,
            withdrawn=False,
            changed_at=item.updated,
            placed_at=item.updated,
            content_hash="-",
        )
        for number, item in enumerate(items)
    ]
    moments = iter(range(10_000_000))

    def build() -> None:
        moved = shown[0]._replace(changed_at=START + timedelta(days=1, microseconds=next(moments)))
        compose(_FEED, [moved, *shown[1:]], entries, [fmt])

    return _ms(build, 200)


def feedgen_time(items: list[feeds.Item], fmt: str) -> float:
    public_items, feed = [public(item) for item in items], public_feed(_FEED)
    return _ms(lambda: full_build(feed, public_items, (), START, fmt), 7)


def feedgenerator_time(items: list[feeds.Item]) -> float:
    def build() -> None:
        feed = feedgenerator.Rss201rev2Feed(title="World", link=URL, description="World", language="en")
        for item in items:
            feed.add_item(
                title=item.headline, link=item.url, description=item.summary, content=item.body_html,
                unique_id=item.id, pubdate=item.published, updateddate=item.updated, author_name="Ann Lee",
                categories=["World"],
            )  # fmt: skip
        feed.writeString("utf-8")

    return _ms(build, 15)


def string_time(items: list[feeds.Item]) -> float:
    """The floor for a whole build: escaping and formatting, no tree, no check."""

    def build() -> None:
        parts = [
            f"<item><title>{escape(item.headline)}</title><link>{escape(item.url or '')}</link>"
            f"<description>{escape(description(item))}</description><guid>{item.id}</guid>"
            f"<pubDate>{rfc2822(item.published)}</pubDate><category>World</category>"
            f"<content:encoded><![CDATA[{item.body_html}]]></content:encoded></item>"
            for item in items
        ]
        f"<rss><channel><title>World</title>{''.join(parts)}</channel></rss>".encode()

    return _ms(build, 60)


def render_time(items: list[feeds.Item], fmt: feeds.Format) -> float:
    return _ms(lambda: feeds.render(_FEED, items, fmt), 7)


def entry_times(item: feeds.Item) -> tuple[float, float]:
    """Ours, with cleaning and the check that the entry parses alone; and feedgen's build of a feed of one story."""
    public_item, feed = public(item), public_feed(_FEED)
    return (
        _ms(lambda: feeds.entry(item, "rss"), 60),
        _ms(lambda: full_build(feed, [public_item], (), START, "rss"), 60),
    )


def record_times(items: list[feeds.Item]) -> tuple[float, float]:
    """The cost of one feed's build after a changed story was posted and routed, with all that it reads and writes."""
    alone = sum(build_time(items, fmt) for fmt in feeds.FORMATS)
    with tempfile.TemporaryDirectory() as folder:
        record = open_record(f"sqlite:///{Path(folder) / 'bench.db'}", Fernet.generate_key().decode())
        try:
            return _record_build_time(record), alone
        finally:
            record.close()


def _record_build_time(record: Record) -> float:
    migrations.migrate(record)
    operations.add_section(record, "world", "World", "en", actor="operator", now=START)
    source = operations.add_source(
        record,
        sources.NewSource("wire", "Wire", "native", key_id="k", key_hash="0" * 64, secret="whsec_QUFB"),
        actor="operator",
        now=START,
    )
    now = START

    def post(number: int) -> None:
        content = {"headline": f"Day {number}", "body_html": BODY, "language": "en", "note": now.isoformat()}
        posted = PostedArticle(str(number), content, ("world",), "usable")
        accept.accept(record, Post(source, posted, None, "", "news.example.org", now))
        routing.route(record, now)

    builder = FeedBuilder(record, URL, lambda: now)
    for number in range(contents.NEWEST):
        now += timedelta(seconds=1)
        post(number)
    builder.drain()
    spent = []
    publisher = Publisher(URL, sections.titles(record))
    for number in range(30):
        now += timedelta(seconds=1)
        post(number)
        (due,) = [each for each in due_feeds(record) if each.slug == "world"]
        started = time.process_time()
        builder.build(publisher, due, now)
        spent.append((time.process_time() - started) * 1000)
    return statistics.median(spent)


_FEED = feeds.Feed(
    slug="world",
    title="World",
    id="tag:news.example.org,2026-01-02:feed/world",
    public_url=URL,
    home_url=f"{URL}/feeds/world",
    masthead=feeds.Masthead("The Paper"),
    updated=START,
    language="en",
)


def _entries(item: feeds.Item) -> Entries:
    return {fmt: Entry.of(feeds.entry(item, fmt)) for fmt in feeds.FORMATS}


def _ms(work: Callable[[], object], times: int) -> float:
    """The median of the work's processor time, in milliseconds."""
    work()
    spent = []
    for _ in range(times):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return statistics.median(spent) * 1000
