"""What there is to find: all feeds as a page and as OPML, and the news sitemap. Without HTTP: it is exported too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from feeds import Feed, opml, page, sitemap
from feeds.public import public_feed
from service.store.database.record import Record
from service.store.feeds import news
from service.store.feeds.feeds import FeedDue, open_feeds
from service.store.feeds.kinds import ALL, kind_of

GROUPS = {"section": "Sections", "package": "Packages", "language": "Languages", "source": "Sources"}
WINDOW = timedelta(days=2)  # Google News wants no older stories
FRESH = timedelta(seconds=60)


def outline(record: Record, public_url: str) -> bytes:
    """All feeds as OPML."""
    return opml.opml_bytes(f"Feeds of {_authority(public_url)}", groups(record, public_url))


def index(record: Record, public_url: str) -> bytes:
    """All feeds as a page."""
    return page.index_bytes(_authority(public_url), public_url, groups(record, public_url))


def groups(record: Record, public_url: str) -> list[tuple[str, list[Feed]]]:
    """The feeds by kind, `all` first; kinds without a feed are left out."""
    found: dict[str, list[Feed]] = {kind: [] for kind in GROUPS}
    for each in sorted(open_feeds(record), key=lambda each: each.slug != ALL):
        found[kind_of(each.slug)].append(_feed(each, public_url))
    return [(GROUPS[kind], feeds) for kind, feeds in found.items() if feeds]


class NewsMap:
    """The files of the news sitemap, made anew at most once a minute, whoever asks."""

    def __init__(self, record: Record, public_url: str, clock: Callable[[], datetime]) -> None:
        self._record = record
        self._public_url = public_url
        self._clock = clock
        self._files: dict[str, bytes] = {}
        self._until: datetime | None = None
        self._lock = threading.Lock()

    def files(self) -> dict[str, bytes]:
        """By name: `news.xml`, and `news-1.xml`… if one file cannot hold all."""
        with self._lock:
            now = self._clock()
            if self._until is None or now >= self._until:
                told = news.recent(self._record, now, WINDOW)
                self._files = news_files([_told(each) for each in told], self._public_url)
                self._until = now + FRESH
            return self._files


def news_files(stories: list[sitemap.Told], public_url: str) -> dict[str, bytes]:
    """One file, or an index and the files it names."""
    parts = [stories[at : at + sitemap.MOST] for at in range(0, len(stories), sitemap.MOST)]
    if len(parts) <= 1:
        return {"news.xml": sitemap.sitemap_bytes(stories)}
    names = {f"news-{number}.xml": part for number, part in enumerate(parts, 1)}
    addresses = [f"{public_url}/sitemaps/{name}" for name in names]
    return {
        "news.xml": sitemap.index_bytes(addresses),
        **{name: sitemap.sitemap_bytes(part) for name, part in names.items()},
    }


def _told(each: news.Recent) -> sitemap.Told:
    return sitemap.Told(each.url, each.source_name, each.language or "en", each.published_at, each.headline)


def _feed(each: FeedDue, public_url: str) -> Feed:
    """Where a feed is and what it is called: what an outline and an index tell of it."""
    return public_feed(
        Feed(
            slug=each.slug,
            title=each.title,
            id=each.slug,
            public_url=public_url,
            home_url=public_url,
            authority=_authority(public_url),
            updated=each.made_at,
            language=each.language,
        )
    )


def _authority(public_url: str) -> str:
    return urlsplit(public_url).hostname or "localhost"
